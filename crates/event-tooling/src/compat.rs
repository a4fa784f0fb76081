//! Whether the current types are compatible with events, clients and files of an earlier revision.
//!
//! Compatible are: a new type; a new optional field at the end of a type; limits that are wider, as long as the column of
//! the lake keeps its type; new values of an enum; texts (titles, descriptions, examples), `x-sort`, `x-erase`, `x-references`
//! and `x-since`, on which no stored row depends. Everything else is refused.

use std::fmt;

use event_types::{Decimal, EventType, Field, Object, Value};

use crate::example::decimal_text;

/// A change that is not compatible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// The event type.
    pub event_type: String,
    /// The path in its schema.
    pub path: String,
    /// What changed.
    pub problem: String,
    /// What to do instead.
    pub remedy: String,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        write!(out, "events/{}.json: {path}{}. {}", self.event_type, self.problem, self.remedy)
    }
}

impl Incompatible {
    /// A type that was removed.
    #[must_use]
    pub fn removed(event_type: &str) -> Self {
        Self {
            event_type: event_type.to_owned(),
            path: String::new(),
            problem: "the type is gone: its clients would get 404, and its tables would leave the catalog".to_owned(),
            remedy: format!("Keep it; or, when nobody sends it any more, accept that with --allow {event_type}"),
        }
    }
}

/// The remedy for a field that can't change.
pub(crate) fn remedy() -> String {
    "Undo it, and add a new optional field at the end, or a new type".to_owned()
}

/// Every incompatible change from the earlier types to the current ones.
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
    fn push(&mut self, path: &str, problem: String) {
        self.push_with(path, problem, remedy());
    }

    fn push_with(&mut self, path: &str, problem: String, remedy: String) {
        let (event_type, path) = (self.event_type.to_owned(), path.to_owned());
        self.found.push(Incompatible { event_type, path, problem, remedy });
    }

    fn object(&mut self, path: &str, old: &Object, new: &Object, is_event: bool) {
        for field in &old.fields {
            let path = format!("{path}.{}", field.name);
            match new.fields.iter().find(|other| other.name == field.name) {
                Some(other) => self.field(&path, field, other),
                None => {
                    let problem =
                        "it is gone: clients that send it would be refused, and queries that read it would fail";
                    self.push(&path, problem.to_owned());
                }
            }
        }
        self.order(path, old, new);
        for field in new.fields.iter().filter(|field| old.fields.iter().all(|known| known.name != field.name)) {
            let path = format!("{path}.{}", field.name);
            if !is_event {
                let problem = "a new field inside an object changes the type of the lake's column";
                let remedy = "Add an optional field to the event itself, at the end, or a new type".to_owned();
                self.push_with(&path, problem.to_owned(), remedy);
            } else if field.required {
                let problem = "it is new and required: clients that don't know it would be refused";
                self.push_with(&path, problem.to_owned(), "Make it optional, or add a new type".to_owned());
            }
        }
    }

    /// The order of fields is that of columns: earlier fields come first, in their order.
    fn order(&mut self, path: &str, old: &Object, new: &Object) {
        let position = |name: &str| new.fields.iter().position(|field| field.name == name);
        for (expected, field) in old.fields.iter().enumerate() {
            // After a removed field, the others have moved.
            let Some(position) = position(&field.name) else { return };
            if position != expected {
                let problem = format!(
                    "it is field number {} and should be number {}: the order of fields is that of columns",
                    position + 1,
                    expected + 1
                );
                let remedy = "Put it back; new fields go to the end".to_owned();
                self.push_with(&format!("{path}.{}", field.name), problem, remedy);
                return;
            }
        }
    }

    fn field(&mut self, path: &str, old: &Field, new: &Field) {
        match (old.required, new.required) {
            (false, true) => {
                let problem = "it was optional and is required: clients that leave it out would be refused";
                self.push_with(path, problem.to_owned(), "Leave it optional, or add a new type".to_owned());
            }
            (true, false) => {
                let problem = "it was required and is optional: those who read the lake count on it";
                self.push_with(path, problem.to_owned(), "Leave it required, or add a new type".to_owned());
            }
            _ => {}
        }
        self.value(path, &old.value, &new.value);
    }

    fn value(&mut self, path: &str, old: &Value, new: &Value) {
        match (old, new) {
            (Value::Uuid, Value::Uuid)
            | (Value::DateTime, Value::DateTime)
            | (Value::Date, Value::Date)
            | (Value::Boolean, Value::Boolean) => {}
            (Value::Text { min_chars, max_chars }, Value::Text { min_chars: new_min, max_chars: new_max }) => {
                self.least(path, "minLength", min_chars, new_min);
                self.greatest(path, "maxLength", max_chars, new_max);
            }
            (Value::Enum(old), Value::Enum(new)) => {
                for text in old.iter().filter(|text| !new.contains(text)) {
                    self.push(
                        &format!("{path}.enum"),
                        format!("`{text}` is gone: clients that send it would be refused"),
                    );
                }
            }
            (Value::Integer { min, max }, Value::Integer { min: new_min, max: new_max }) => {
                self.least(path, "minimum", min, new_min);
                self.greatest(path, "maximum", max, new_max);
            }
            (Value::Number { min, max }, Value::Number { min: new_min, max: new_max }) => {
                let text = |limit: &Option<f64>| limit.map_or_else(|| "absent".to_owned(), |limit| limit.to_string());
                if new_min.is_some_and(|new| min.is_none_or(|old| new > old)) {
                    self.narrower(&format!("{path}.minimum"), &text(min), &text(new_min));
                }
                if new_max.is_some_and(|new| max.is_none_or(|old| new < old)) {
                    self.narrower(&format!("{path}.maximum"), &text(max), &text(new_max));
                }
            }
            (Value::Decimal(old), Value::Decimal(new)) => self.decimal(path, *old, *new),
            (
                Value::Array { items, min_items, max_items, .. },
                Value::Array { items: new_items, min_items: new_min, max_items: new_max, .. },
            ) => {
                self.least(path, "minItems", min_items, new_min);
                self.greatest(path, "maxItems", max_items, new_max);
                self.value(&format!("{path}.items"), items, new_items);
            }
            (Value::Object(old), Value::Object(new)) => {
                self.object(&format!("{path}.properties"), old, new, false);
            }
            _ => self.push(path, format!("it was {} and is {}", kind(old), kind(new))),
        }
    }

    fn decimal(&mut self, path: &str, old: Decimal, new: Decimal) {
        if old.scale != new.scale {
            let problem = format!("it had {} digits after the point and has {}", old.scale, new.scale);
            self.push(&format!("{path}.multipleOf"), problem);
            return;
        }
        let text = |units| decimal_text(units, old.scale);
        if new.min > old.min {
            self.narrower(&format!("{path}.minimum"), &text(old.min), &text(new.min));
        }
        if new.max < old.max {
            self.narrower(&format!("{path}.maximum"), &text(old.max), &text(new.max));
        }
        if new.precision != old.precision && new.min <= old.min && new.max >= old.max {
            let most = text(10_i128.pow(u32::from(old.precision)) - 1);
            let problem = format!(
                "the column would change from decimal({0},{1}) to decimal({2},{1}), as which only Spark is known to read \
                 the stored files",
                old.precision, old.scale, new.precision
            );
            let remedy = format!("Stay within {most}, or add a new optional field at the end, or a new type");
            self.push_with(&format!("{path}.maximum"), problem, remedy);
        }
    }

    fn least<T: PartialOrd + fmt::Display>(&mut self, path: &str, key: &str, old: &T, new: &T) {
        if new > old {
            self.narrower(&format!("{path}.{key}"), old, new);
        }
    }

    fn greatest<T: PartialOrd + fmt::Display>(&mut self, path: &str, key: &str, old: &T, new: &T) {
        if new < old {
            self.narrower(&format!("{path}.{key}"), old, new);
        }
    }

    fn narrower(&mut self, path: &str, old: &dyn fmt::Display, new: &dyn fmt::Display) {
        let problem = format!("the limit was {old} and is {new}: values that were good would be refused");
        self.push_with(path, problem, "Leave it or widen it, or add a new type".to_owned());
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
