//! Infers the fields of a schema from samples.

use event_types::{EventType, Json, MAX_DEPTH, MAX_PRECISION};

use super::samples::SampleError;
use super::seen::{Array, Kind, Members, Numbers, Seen, Texts};
use super::{Assumption, Given, MAX_ENUM, Parts, text, texts};
use crate::words::{capitalised, singular, spaced};

/// How often each value of an enum must be seen on average.
const ENUM_REPEATS: usize = 5;

/// The most characters of a value of an enum.
const MAX_ENUM_CHARS: usize = 32;

/// Last words in the name of a field whose values are not an enum, however few the samples have.
const OPEN: [&str; 9] = ["code", "email", "id", "key", "name", "number", "phone", "sku", "version"];

/// Words in the name of a field that holds money.
const MONEY: [&str; 17] = [
    "amount", "balance", "charge", "cost", "discount", "fee", "gross", "net", "paid", "payment", "price", "refund",
    "revenue", "subtotal", "tax", "total", "vat",
];

/// Digits after the point that an amount of money may have.
const MAX_MONEY_PLACES: usize = 4;

/// The minimum of digits before the point of an amount of money: more can't be added later.
const MIN_MONEY_WHOLE: usize = 7;

/// Fields that identify a person or a thing, without the ending `_id`.
const PERSONS: [&str; 14] = [
    "account", "buyer", "client", "customer", "device", "driver", "email", "member", "patient", "person", "phone",
    "player", "user", "visitor",
];

/// Names of an event's time, best first.
const TIMES: [&str; 4] = ["occurred_at", "time", "timestamp", "created_at"];

type Property = (String, Json);

pub(super) struct Fields<'a> {
    given: &'a Given,
    seen: &'a Members,
    others: &'a [EventType],
    pub assumptions: Vec<Assumption>,
}

fn failed(problem: String) -> SampleError {
    SampleError { line: None, problem }
}

impl<'a> Fields<'a> {
    pub fn new(given: &'a Given, seen: &'a Members, others: &'a [EventType]) -> Self {
        Self { given, seen, others, assumptions: Vec::new() }
    }

    fn assume(&mut self, about: &str, assumed: impl Into<String>, change: impl Into<String>) {
        self.assumptions.push(Assumption::new(about, assumed, change));
    }

    fn file(&self) -> String {
        format!("events/{}.json", self.given.name)
    }

    /// Which fields are the own id, the time, and so on.
    pub fn parts(&mut self) -> Result<Parts, SampleError> {
        let id = self.id()?;
        let time = self.time()?;
        let erase: Vec<String> = self
            .seen
            .fields
            .iter()
            .filter(|(name, seen)| *name != id && is_person(name) && can_erase(seen))
            .map(|(name, _)| name.clone())
            .collect();
        let mut sort: Vec<String> = erase.first().cloned().into_iter().collect();
        sort.extend([time.clone(), id.clone()]);
        let in_schema = |key: &str| format!("edit {key} in {}", self.file());
        let (sort_change, erase_change) = (in_schema("x-sort"), in_schema("x-erase"));
        self.assume("x-sort", format!("{}: the order of rows in the lake's files", sort.join(", ")), sort_change);
        let assumed = match &erase[..] {
            [] => "no field: events can be erased by their own id only".to_owned(),
            names => format!("{}: by its values `cargo dataless erase` finds a person's events", names.join(", ")),
        };
        self.assume("x-erase", assumed, erase_change);
        Ok(Parts { id, time, sort, erase })
    }

    fn id(&mut self) -> Result<String, SampleError> {
        let own = format!("{}_id", singular(&self.given.name));
        let unique = |seen: &Seen| matches!(&seen.kind, Some((Kind::Text(texts), _)) if texts.uuids && !texts.repeated);
        if let Some(name) = &self.given.id {
            let seen = self.field("--id", name)?;
            if !unique(seen) {
                return Err(failed(format!("--id {name}: its values are not unique uuids")));
            }
            return Ok(name.clone());
        }
        let mut found: Vec<&String> = Vec::new();
        for (name, seen) in &self.seen.fields {
            // The own id of another type is a reference to it.
            if unique(seen) && self.others.iter().all(|other| other.id != *name) {
                found.push(name);
            }
        }
        let rank =
            |name: &str| [own.as_str(), "id", "event_id", "uuid"].iter().position(|best| *best == name).unwrap_or(9);
        found.sort_by_key(|name| rank(name));
        let [best, rest @ ..] = &found[..] else {
            return Err(failed(format!(
                "no field has a uuid of its own in every sample: an event needs an own id, by which repeats are found. Add \
                 `{own}` with a uuid (36 characters, with hyphens) to the samples"
            )));
        };
        let best = (*best).clone();
        let also = alternatives(rest);
        self.assume("x-id", format!("`{best}`: a uuid that no two samples share{also}"), "--id FIELD");
        Ok(best)
    }

    fn time(&mut self) -> Result<String, SampleError> {
        let is_time = |seen: &Seen| matches!(&seen.kind, Some((Kind::Text(texts), _)) if texts.times);
        let always = |seen: &Seen| seen.count == self.seen.objects;
        if let Some(name) = &self.given.time {
            let seen = self.field("--time", name)?;
            if !is_time(seen) || !always(seen) {
                return Err(failed(format!("--time {name}: it is not a time in every sample")));
            }
            return Ok(name.clone());
        }
        let times = self.seen.fields.iter().filter(|(_, seen)| is_time(seen) && always(seen));
        let mut found: Vec<&String> = times.map(|(name, _)| name).collect();
        let rank = |name: &str| {
            // `ordered_at` is the time of orders.
            let stem = singular(&self.given.name);
            let own = name.strip_suffix("_at").is_some_and(|verb| verb.starts_with(&*stem));
            if own { 0 } else { TIMES.iter().position(|best| *best == name).map_or(9, |rank| rank + 1) }
        };
        found.sort_by_key(|name| rank(name));
        let [best, rest @ ..] = &found[..] else {
            return Err(failed(
                "no field has a time in every sample: an event needs one. Add `occurred_at`, as 2026-11-21T08:15:30Z or \
                 2026-11-21 08:15:30 (UTC), to each sample"
                    .to_owned(),
            ));
        };
        let best = (*best).clone();
        let also = alternatives(rest);
        self.assume("x-time", format!("`{best}`: a time in every sample{also}"), "--time FIELD");
        Ok(best)
    }

    fn field(&self, option: &str, name: &str) -> Result<&'a Seen, SampleError> {
        let found = self.seen.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, seen)| seen).ok_or_else(|| failed(format!("{option} {name}: no sample has this field")))
    }

    /// The properties of an event, and which are required.
    pub fn properties(&mut self, parts: &Parts) -> Result<(Vec<Property>, Vec<String>), SampleError> {
        let seen = self.seen;
        self.object(seen, "", 1, Some(parts))
    }

    fn object(
        &mut self,
        seen: &Members,
        prefix: &str,
        depth: usize,
        parts: Option<&Parts>,
    ) -> Result<(Vec<Property>, Vec<String>), SampleError> {
        let mut properties = Vec::new();
        let mut required = Vec::new();
        for (name, field) in &seen.fields {
            let path = format!("{prefix}{name}");
            let mut schema = vec![("description".to_owned(), text(&capitalised(&spaced(name))))];
            schema.extend(self.value(field, &path, depth)?);
            let is_id = parts.is_some_and(|parts| parts.id == *name);
            if let Some(reference) = parts.filter(|_| !is_id).and_then(|_| self.reference(name, field)) {
                schema.push(("x-references".to_owned(), text(&reference)));
                let change = format!("remove x-references in {}", self.file());
                self.assume(&path, format!("refers to {reference}, since it has its name"), change);
            }
            if field.count == seen.objects && !is_id {
                required.push(name.clone());
            } else if !is_id {
                let (absent, of) = (seen.objects - field.count, seen.objects);
                let assumed = format!("optional: {absent} of {of} {} don't have it", owners(prefix));
                self.assume(&path, assumed, format!("list it in `required` in {}", self.file()));
            }
            if field.nulls > 0 {
                let assumed = format!(
                    "null in {} (first in line {}), which the API refuses",
                    times(field.nulls),
                    field.first_null
                );
                self.assume(&path, assumed, "have clients leave the field out instead");
            }
            properties.push((name.clone(), Json::Object(schema)));
        }
        Ok((properties, required))
    }

    /// The own id of another type with the name of the field.
    fn reference(&self, name: &str, seen: &Seen) -> Option<String> {
        let is_uuid = matches!(&seen.kind, Some((Kind::Text(texts), _)) if texts.uuids);
        let other = self.others.iter().find(|other| is_uuid && other.id == name)?;
        Some(format!("{}.{}", other.name, other.id))
    }

    /// The keywords of a value's schema.
    fn value(&mut self, seen: &Seen, path: &str, depth: usize) -> Result<Vec<Property>, SampleError> {
        let Some((kind, line)) = &seen.kind else {
            let problem = match path.strip_suffix("[]") {
                Some(array) if seen.nulls == 0 => {
                    format!("`{array}` is empty in every sample, so its items are not known: add one to a sample")
                }
                _ => {
                    format!("`{path}` is never anything but null: give it a value in a sample, or leave it out of them")
                }
            };
            return Err(SampleError { line: (seen.nulls > 0).then_some(seen.first_null), problem });
        };
        if matches!(kind, Kind::Array(_) | Kind::Object(_)) && depth >= MAX_DEPTH {
            let problem = format!(
                "`{path}` is nested too deeply: objects and arrays may be nested to a depth of {MAX_DEPTH}, the event \
                 included. Move its fields up, or write it as text"
            );
            return Err(SampleError { line: Some(*line), problem });
        }
        Ok(match kind {
            Kind::Boolean => vec![("type".to_owned(), text("boolean"))],
            Kind::Number(numbers) => self.number(numbers, path)?,
            Kind::Text(texts) => self.text(texts, seen.count, path, depth),
            Kind::Array(array) => self.array(array, path, depth)?,
            Kind::Object(members) => {
                if members.fields.is_empty() {
                    let problem = format!("`{path}` is an object without fields in every sample: leave it out of them");
                    return Err(SampleError { line: Some(*line), problem });
                }
                let (properties, required) = self.object(members, &format!("{path}."), depth + 1, None)?;
                object_schema(properties, &required)
            }
        })
    }

    fn array(&mut self, array: &Array, path: &str, depth: usize) -> Result<Vec<Property>, SampleError> {
        let max = round_up(array.max_items * 2, &[10, 20, 50, 100, 200, 500, 1000]);
        let assumed = format!("at most {max} items: the samples have up to {}", array.max_items);
        self.assume(path, assumed, format!("edit maxItems in {}", self.file()));
        let items = self.value(&array.items, &format!("{path}[]"), depth + 1)?;
        if array.items.nulls > 0 {
            let problem = format!("`{path}` has null among its items: leave them out");
            return Err(SampleError { line: Some(array.items.first_null), problem });
        }
        Ok(vec![
            ("type".to_owned(), text("array")),
            ("maxItems".to_owned(), Json::Number(max.to_string())),
            ("items".to_owned(), Json::Object(items)),
        ])
    }

    fn number(&mut self, numbers: &Numbers, path: &str) -> Result<Vec<Property>, SampleError> {
        let number = |digits: String| Json::Number(digits);
        if numbers.integers {
            if let Some(line) = numbers.too_big {
                let problem = format!("`{path}` has more than 64 bits: send such numbers as text");
                return Err(SampleError { line: Some(line), problem });
            }
            let mut schema = vec![("type".to_owned(), text("integer"))];
            if !numbers.negative {
                schema.push(("minimum".to_owned(), number("0".to_owned())));
                self.assume(path, "an integer, never negative", format!("edit type or minimum in {}", self.file()));
            }
            return Ok(schema);
        }
        let is_named = name_of(path).split('_').any(|word| MONEY.contains(&word));
        let fits = numbers.whole + 3 + numbers.places.max(2) <= usize::from(MAX_PRECISION);
        let is_money = numbers.plain
            && fits
            && ((is_named && numbers.places <= MAX_MONEY_PLACES) || (numbers.places == 2 && numbers.two_places >= 10));
        if !is_money {
            let assumed = "a number (double), which is not exact in its last digits";
            let change = format!("for an exact one, add multipleOf (such as 0.01) and maximum in {}", self.file());
            self.assume(path, assumed, change);
            return Ok(vec![("type".to_owned(), text("number"))]);
        }
        let places = numbers.places.max(2);
        let whole = (numbers.whole + 3).max(MIN_MONEY_WHOLE);
        let max = format!("{}.{}", "9".repeat(whole), "9".repeat(places));
        let mut schema = vec![
            ("type".to_owned(), text("number")),
            ("multipleOf".to_owned(), number(format!("0.{}1", "0".repeat(places - 1)))),
        ];
        if !numbers.negative {
            schema.push(("minimum".to_owned(), number("0".to_owned())));
        }
        schema.push(("maximum".to_owned(), number(max.clone())));
        let least = if numbers.negative { format!("-{max}") } else { "0".to_owned() };
        let assumed = format!(
            "an exact decimal with {places} places, from {least} to {max}: decimal({},{places}) in the lake, which can't get \
             more digits later",
            whole + places
        );
        self.assume(path, assumed, format!("edit multipleOf, minimum and maximum in {}", self.file()));
        Ok(schema)
    }

    fn text(&mut self, seen: &Texts, count: usize, path: &str, depth: usize) -> Vec<Property> {
        let formatted = |format: &str| vec![("type".to_owned(), text("string")), ("format".to_owned(), text(format))];
        if seen.uuids {
            return formatted("uuid");
        }
        if (seen.times || seen.dates) && depth == 1 {
            return formatted(if seen.times { "date-time" } else { "date" });
        }
        if seen.times || seen.dates {
            let assumed = "text: the lake has times and dates in fields of the event itself only";
            self.assume(path, assumed, "move it to the event itself, or keep it as text");
        }
        let is_open = name_of(path).rsplit('_').next().is_some_and(|word| OPEN.contains(&word));
        if let Some(values) = enum_of(seen, count).filter(|_| !is_open && !seen.times && !seen.dates) {
            let assumed = format!("one of {}: the samples have no others", values.join(", "));
            self.assume(path, assumed, format!("edit enum in {}, or use maxLength instead", self.file()));
            return vec![("type".to_owned(), text("string")), ("enum".to_owned(), texts(&values))];
        }
        let max = round_up(seen.max_chars * 2, &[16, 32, 64, 128, 256, 512, 1024, 2048, 4096]);
        let assumed = format!("at most {max} characters: the samples have up to {}", seen.max_chars);
        self.assume(path, assumed, format!("edit maxLength in {}", self.file()));
        vec![("type".to_owned(), text("string")), ("maxLength".to_owned(), Json::Number(max.to_string()))]
    }
}

fn object_schema(properties: Vec<Property>, required: &[String]) -> Vec<Property> {
    let mut schema = vec![("type".to_owned(), text("object")), ("additionalProperties".to_owned(), Json::Bool(false))];
    if !required.is_empty() {
        schema.push(("required".to_owned(), texts(required)));
    }
    schema.push(("properties".to_owned(), Json::Object(properties)));
    schema
}

/// The values of an enum in alphabetical order, if there are few, short and repeated ones.
fn enum_of(seen: &Texts, count: usize) -> Option<Vec<String>> {
    let is_word =
        |text: &str| !text.is_empty() && text.chars().count() <= MAX_ENUM_CHARS && !text.contains(char::is_whitespace);
    let few = (2..=MAX_ENUM).contains(&seen.texts.len()) && count >= seen.texts.len() * ENUM_REPEATS;
    if !few || !seen.texts.iter().all(|(text, times)| is_word(text) && *times > 1) {
        return None;
    }
    let mut values: Vec<String> = seen.texts.iter().map(|(text, _)| text.clone()).collect();
    values.sort();
    Some(values)
}

/// The last name of a path.
fn name_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path).trim_end_matches("[]")
}

fn is_person(name: &str) -> bool {
    PERSONS.contains(&name.strip_suffix("_id").unwrap_or(name))
}

fn can_erase(seen: &Seen) -> bool {
    match &seen.kind {
        Some((Kind::Text(texts), _)) => {
            texts.uuids || !(texts.times || texts.dates || enum_of(texts, seen.count).is_some())
        }
        Some((Kind::Number(numbers), _)) => numbers.integers,
        _ => false,
    }
}

/// The first of the steps that is at least the number; beyond the last, the number itself.
fn round_up(number: usize, steps: &[usize]) -> usize {
    steps.iter().copied().find(|step| *step >= number).unwrap_or(number)
}

fn times(count: usize) -> String {
    if count == 1 { "1 sample".to_owned() } else { format!("{count} samples") }
}

/// The owners of the fields below this path.
fn owners(prefix: &str) -> &'static str {
    if prefix.is_empty() { "samples" } else { "objects" }
}

/// Other candidates for a role.
fn alternatives(names: &[&String]) -> String {
    match names {
        [] => String::new(),
        names => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!(" (so is {})", crate::words::list(&names))
        }
    }
}
