//! Whether events, clients and files of an earlier revision fit the present types.
//!
//! Compatible are: a new type; a new optional field at the end of a type; limits that are wider, as long as the column of
//! the lake keeps its type; new values of an enum; texts (titles, descriptions, examples), `x-sort`, `x-erase`, `x-references`
//! and `x-since`, which no stored row depends on. Everything else is refused.

use std::fmt;

use event_types::{Decimal, EventType, Field, Object, Value};

use crate::example::decimal_text;

/// A change that is not compatible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// The event type.
    pub event_type: String,
    /// Where in its schema.
    pub place: String,
    /// What changed.
    pub problem: String,
    /// What to do instead.
    pub way_out: String,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        write!(out, "events/{}.json: {place}{}. {}", self.event_type, self.problem, self.way_out)
    }
}

impl Incompatible {
    /// A type that is no longer there.
    #[must_use]
    pub fn removed(event_type: &str) -> Self {
        Self {
            event_type: event_type.to_owned(),
            place: String::new(),
            problem: "the type is gone: its clients would get 404, and its tables would leave the catalog".to_owned(),
            way_out: format!("Keep it; or, when nobody sends it any more, accept that with --allow {event_type}"),
        }
    }
}

/// What helps where a field can't change.
pub(crate) fn way_out() -> String {
    "Undo it, and add a new optional field at the end, or a new type".to_owned()
}

/// Every incompatible change from the earlier types to the present ones.
#[must_use]
pub fn compare(before: &[EventType], now: &[EventType]) -> Vec<Incompatible> {
    let mut found = Vec::new();
    for old in before {
        match now.iter().find(|new| new.name == old.name) {
            Some(new) => compare_type(old, new, &mut found),
            None => found.push(Incompatible::removed(&old.name)),
        }
    }
    found
}

fn compare_type(old: &EventType, new: &EventType, found: &mut Vec<Incompatible>) {
    let mut changes = Changes { event_type: &old.name, found };
    for (key, was, is, why) in [
        ("x-group", &old.group, &new.group, "raw lines and the lake's files stay in the old folder"),
        ("x-id", &old.id, &new.id, "repeats of stored events would no longer be found"),
        ("x-time", &old.time, &new.time, "stored events are in the partitions of the old time"),
    ] {
        if was != is {
            changes.push(key, format!("it was `{was}` and is `{is}`: {why}"));
        }
    }
    changes.object("properties", &old.object, &new.object, true);
}

struct Changes<'a> {
    event_type: &'a str,
    found: &'a mut Vec<Incompatible>,
}

impl Changes<'_> {
    fn push(&mut self, place: &str, problem: String) {
        self.push_with(place, problem, way_out());
    }

    fn push_with(&mut self, place: &str, problem: String, way_out: String) {
        let (event_type, place) = (self.event_type.to_owned(), place.to_owned());
        self.found.push(Incompatible { event_type, place, problem, way_out });
    }

    fn object(&mut self, place: &str, old: &Object, new: &Object, is_event: bool) {
        for field in &old.fields {
            let place = format!("{place}.{}", field.name);
            match new.fields.iter().find(|other| other.name == field.name) {
                Some(other) => self.field(&place, field, other),
                None => {
                    let problem =
                        "it is gone: clients that send it would be refused, and queries that read it would fail";
                    self.push(&place, problem.to_owned());
                }
            }
        }
        self.order(place, old, new);
        for field in new.fields.iter().filter(|field| old.fields.iter().all(|known| known.name != field.name)) {
            let place = format!("{place}.{}", field.name);
            if !is_event {
                let problem = "a new field inside an object changes the type of the lake's column";
                let way_out = "Add an optional field to the event itself, at the end, or a new type".to_owned();
                self.push_with(&place, problem.to_owned(), way_out);
            } else if field.required {
                let problem = "it is new and required: clients that don't know it would be refused";
                self.push_with(&place, problem.to_owned(), "Make it optional, or add a new type".to_owned());
            }
        }
    }

    /// The order of fields is that of columns: those that were there come first, in their order.
    fn order(&mut self, place: &str, old: &Object, new: &Object) {
        let position = |name: &str| new.fields.iter().position(|field| field.name == name);
        for (expected, field) in old.fields.iter().enumerate() {
            // Where one is gone, the others are not where they were.
            let Some(position) = position(&field.name) else { return };
            if position != expected {
                let problem = format!(
                    "it is field number {} and should be number {}: the order of fields is that of columns",
                    position + 1,
                    expected + 1
                );
                let way_out = "Put it back; new fields go to the end".to_owned();
                self.push_with(&format!("{place}.{}", field.name), problem, way_out);
                return;
            }
        }
    }

    fn field(&mut self, place: &str, old: &Field, new: &Field) {
        match (old.required, new.required) {
            (false, true) => {
                let problem = "it was optional and is required: clients that leave it out would be refused";
                self.push_with(place, problem.to_owned(), "Leave it optional, or add a new type".to_owned());
            }
            (true, false) => {
                let problem = "it was required and is optional: those who read the lake count on it";
                self.push_with(place, problem.to_owned(), "Leave it required, or add a new type".to_owned());
            }
            _ => {}
        }
        self.value(place, &old.value, &new.value);
    }

    fn value(&mut self, place: &str, old: &Value, new: &Value) {
        match (old, new) {
            (Value::Uuid, Value::Uuid)
            | (Value::DateTime, Value::DateTime)
            | (Value::Date, Value::Date)
            | (Value::Boolean, Value::Boolean) => {}
            (Value::Text { min_chars, max_chars }, Value::Text { min_chars: new_min, max_chars: new_max }) => {
                self.least(place, "minLength", min_chars, new_min);
                self.greatest(place, "maxLength", max_chars, new_max);
            }
            (Value::Enum(old), Value::Enum(new)) => {
                for text in old.iter().filter(|text| !new.contains(text)) {
                    self.push(
                        &format!("{place}.enum"),
                        format!("`{text}` is gone: clients that send it would be refused"),
                    );
                }
            }
            (Value::Integer { min, max }, Value::Integer { min: new_min, max: new_max }) => {
                self.least(place, "minimum", min, new_min);
                self.greatest(place, "maximum", max, new_max);
            }
            (Value::Number { min, max }, Value::Number { min: new_min, max: new_max }) => {
                let text = |limit: &Option<f64>| limit.map_or_else(|| "absent".to_owned(), |limit| limit.to_string());
                if new_min.is_some_and(|new| min.is_none_or(|old| new > old)) {
                    self.narrower(&format!("{place}.minimum"), &text(min), &text(new_min));
                }
                if new_max.is_some_and(|new| max.is_none_or(|old| new < old)) {
                    self.narrower(&format!("{place}.maximum"), &text(max), &text(new_max));
                }
            }
            (Value::Decimal(old), Value::Decimal(new)) => self.decimal(place, *old, *new),
            (
                Value::Array { items, min_items, max_items, .. },
                Value::Array { items: new_items, min_items: new_min, max_items: new_max, .. },
            ) => {
                self.least(place, "minItems", min_items, new_min);
                self.greatest(place, "maxItems", max_items, new_max);
                self.value(&format!("{place}.items"), items, new_items);
            }
            (Value::Object(old), Value::Object(new)) => {
                self.object(&format!("{place}.properties"), old, new, false);
            }
            _ => self.push(place, format!("it was {} and is {}", kind(old), kind(new))),
        }
    }

    fn decimal(&mut self, place: &str, old: Decimal, new: Decimal) {
        if old.scale != new.scale {
            let problem = format!("it had {} digits after the point and has {}", old.scale, new.scale);
            self.push(&format!("{place}.multipleOf"), problem);
            return;
        }
        let text = |units| decimal_text(units, old.scale);
        if new.min > old.min {
            self.narrower(&format!("{place}.minimum"), &text(old.min), &text(new.min));
        }
        if new.max < old.max {
            self.narrower(&format!("{place}.maximum"), &text(old.max), &text(new.max));
        }
        if new.precision != old.precision && new.min <= old.min && new.max >= old.max {
            let most = text(10_i128.pow(u32::from(old.precision)) - 1);
            let problem = format!(
                "the column would change from decimal({0},{1}) to decimal({2},{1}), as which only Spark is known to read \
                 the stored files",
                old.precision, old.scale, new.precision
            );
            let way_out = format!("Stay within {most}, or add a new optional field at the end, or a new type");
            self.push_with(&format!("{place}.maximum"), problem, way_out);
        }
    }

    fn least<T: PartialOrd + fmt::Display>(&mut self, place: &str, key: &str, old: &T, new: &T) {
        if new > old {
            self.narrower(&format!("{place}.{key}"), old, new);
        }
    }

    fn greatest<T: PartialOrd + fmt::Display>(&mut self, place: &str, key: &str, old: &T, new: &T) {
        if new < old {
            self.narrower(&format!("{place}.{key}"), old, new);
        }
    }

    fn narrower(&mut self, place: &str, old: &dyn fmt::Display, new: &dyn fmt::Display) {
        let problem = format!("the limit was {old} and is {new}: values that were good would be refused");
        self.push_with(place, problem, "Leave it or widen it, or add a new type".to_owned());
    }
}

/// A value's type in words.
fn kind(value: &Value) -> String {
    match value {
        Value::Uuid => "a uuid",
        Value::DateTime => "a date-time",
        Value::Date => "a date",
        Value::Text { .. } => "a string",
        Value::Enum(_) => "an enum",
        Value::Integer { .. } => "an integer",
        Value::Number { .. } => "a number (double)",
        Value::Decimal(decimal) => return format!("a decimal with {} digits after the point", decimal.scale),
        Value::Boolean => "a boolean",
        Value::Array { .. } => "an array",
        Value::Object(_) => "an object",
    }
    .to_owned()
}
