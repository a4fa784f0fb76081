//! Why an event, or a whole batch, was refused.

use std::fmt::Write;

use thiserror::Error;

use crate::batch::MAX_LINE_BYTES;
use crate::problem::{Problem, Reason};
use crate::table::{Object, Value};

/// The rule that an event broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventErrorCode {
    /// The event is not a JSON object.
    NotAnObject,
    /// A required field is missing.
    MissingField,
    /// The event, or an object in it, has a field that its type does not have.
    UnknownField,
    /// A field occurs more than once.
    DuplicateField,
    /// An id is not a hyphenated UUID.
    InvalidId,
    /// A time is not in one of the two forms.
    InvalidTime,
    /// Any other value is not valid for its field.
    InvalidValue,
    /// The event's time is more than 15 minutes ahead of the server's clock.
    TooEarly,
    /// The event's time is more than 30 days behind the server's clock.
    TooLate,
}

impl EventErrorCode {
    /// The code as clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "NotAnObject",
            Self::MissingField => "MissingField",
            Self::UnknownField => "UnknownField",
            Self::DuplicateField => "DuplicateField",
            Self::InvalidId => "InvalidId",
            Self::InvalidTime => "InvalidTime",
            Self::InvalidValue => "InvalidValue",
            Self::TooEarly => "TooEarly",
            Self::TooLate => "TooLate",
        }
    }
}

/// An event that was refused: the rule it broke, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct EventError {
    code: EventErrorCode,
    message: String,
}

impl EventError {
    /// The rule that the event broke.
    #[must_use]
    pub const fn code(&self) -> EventErrorCode {
        self.code
    }

    /// What is wrong and how to fix it, in a sentence for the developer of the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn new(problem: &Problem) -> Self {
        let path = problem.path();
        let (code, message) = match problem.reason() {
            Reason::NotAnObject(event_type) => (
                EventErrorCode::NotAnObject,
                format!("an event is a JSON object with {}", field_names(&event_type.object)),
            ),
            Reason::Missing => (EventErrorCode::MissingField, format!("`{path}` is missing: add it")),
            Reason::Unknown(object) => (
                EventErrorCode::UnknownField,
                format!("unknown field `{path}`: remove it, the fields are {}", field_names(object)),
            ),
            Reason::Duplicate => (EventErrorCode::DuplicateField, format!("`{path}` occurs more than once: keep one")),
            Reason::Early => (
                EventErrorCode::TooEarly,
                format!("`{path}` is more than 15 minutes ahead: it is UTC, check the clock and the time zone"),
            ),
            Reason::Late => (
                EventErrorCode::TooLate,
                format!("`{path}` is more than 30 days back: events are accepted for 30 days only"),
            ),
            Reason::TooLong => (
                EventErrorCode::InvalidValue,
                format!("the event is longer than {MAX_LINE_BYTES} bytes: send less in it"),
            ),
            Reason::HalfPair => (
                EventErrorCode::InvalidValue,
                format!("`{path}`: half a surrogate pair is not a character, write both halves or none"),
            ),
            Reason::Invalid(Value::Uuid) => (
                EventErrorCode::InvalidId,
                format!(
                    "`{path}` is not a UUID: write 8-4-4-4-12 hexadecimal digits, such as \
                     0192d3c4-9a5b-7c6d-8e7f-001122334455"
                ),
            ),
            Reason::Invalid(Value::EventTime | Value::DateTime) => (
                EventErrorCode::InvalidTime,
                format!(
                    "`{path}` is not a time: write `YYYY-MM-DD HH:MM:SS[.fff]` in UTC, or RFC 3339 such as \
                     2026-11-20T12:00:00.000Z"
                ),
            ),
            Reason::Invalid(value) => (EventErrorCode::InvalidValue, format!("`{path}`: write {}", expected(value))),
        };
        Self { code, message }
    }
}

/// The longest list of names or values in a message: an answer has up to 500 messages.
const MAX_LIST_BYTES: usize = 300;

fn field_names(object: &Object) -> String {
    list(object.fields.iter().map(|field| field.name))
}

fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut list = String::new();
    for text in texts {
        if !list.is_empty() {
            list.push_str(", ");
        }
        if list.len() + text.len() > MAX_LIST_BYTES {
            list.push('…');
            break;
        }
        list.push_str(text);
    }
    list
}

/// The valid values, as the object of "write".
fn expected(value: &Value) -> String {
    match value {
        Value::Uuid => "a UUID".to_owned(),
        Value::EventTime | Value::DateTime => "a time".to_owned(),
        Value::Date => "a day of the calendar as a string, `YYYY-MM-DD`".to_owned(),
        Value::Text { min, max } => format!("a string of {}", counted(*min, *max, "character")),
        Value::Enum(texts) => format!("one of {}", list(texts.iter().copied())),
        Value::Integer { min: i64::MIN, max: i64::MAX } => {
            "an integer of at most 64 bits, without a point or an exponent".to_owned()
        }
        Value::Integer { min, max } => {
            let limits = limits((*min != i64::MIN).then_some(min), (*max != i64::MAX).then_some(max));
            format!("an integer{limits}, without a point or an exponent")
        }
        Value::Number { min, max } => format!("a number{}", limits(min.as_ref(), max.as_ref())),
        Value::Decimal { scale, min, max } => {
            let limits = limits(Some(&Decimal(*min, *scale)), Some(&Decimal(*max, *scale)));
            format!("a number{limits} with {} after the point", counted(0, u32::from(*scale), "digit"))
        }
        Value::Boolean => "true or false".to_owned(),
        Value::Array { min, max, .. } => format!("an array of {}", counted(*min, *max, "item")),
        Value::Object(object) => format!("an object with {}", field_names(object)),
    }
}

fn counted(min: u32, max: u32, noun: &str) -> String {
    let plural = if max == 1 { "" } else { "s" };
    match min {
        _ if max == 0 => format!("no {noun}s"),
        0 => format!("at most {max} {noun}{plural}"),
        _ if min == max => format!("exactly {max} {noun}{plural}"),
        _ => format!("{min} to {max} {noun}s"),
    }
}

fn limits<T: std::fmt::Display>(min: Option<&T>, max: Option<&T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    }
}

/// A decimal in units of its last digit, and its number of digits after the point.
struct Decimal(i128, u8);

impl std::fmt::Display for Decimal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scale = usize::from(self.1);
        let digits = format!("{:0width$}", self.0.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if self.0 < 0 {
            out.write_char('-')?;
        }
        out.write_str(whole)?;
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            fraction => write!(out, ".{fraction}"),
        }
    }
}

/// A body that is not a batch: none of it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The body is not JSON in UTF-8.
    #[error("the body is not JSON: {0}")]
    InvalidJson(String),
    /// The body is JSON, but not an object with the key of the type alone and an array of events.
    #[error("the body is not a batch: {problem}; send {{\"{key}\":[…]}} with 1 to {MAX} events", MAX = crate::MAX_EVENTS)]
    InvalidBatch {
        /// The problem.
        problem: String,
        /// The expected key.
        key: &'static str,
    },
    /// The batch has more events than a batch may.
    #[error("the batch has {0} events: send at most {MAX} per request", MAX = crate::MAX_EVENTS)]
    TooManyEvents(usize),
}

impl BatchError {
    /// The code as clients see it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) => "InvalidJson",
            Self::InvalidBatch { .. } => "InvalidBatch",
            Self::TooManyEvents(_) => "TooManyEvents",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_written_with_its_point_and_without_zeros_at_its_end() {
        for (value, scale, expected) in [
            (0, 2, "0"),
            (-5, 2, "-0.05"),
            (1990, 2, "19.9"),
            (9_999_999, 2, "99999.99"),
            (12, 0, "12"),
            (-100, 2, "-1"),
        ] {
            assert_eq!(Decimal(value, scale).to_string(), expected);
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let names = vec!["x".repeat(64); 100];
        let list = list(names.iter().map(String::as_str));
        assert!(list.len() < 310 && list.ends_with("x, …"), "{list}");
        assert_eq!(super::list(["a", "b"].into_iter()), "a, b");
    }

    #[test]
    fn a_list_has_at_most_300_bytes_before_it_is_cut() {
        let long = |length: usize| "x".repeat(length);
        assert_eq!(super::list([long(297).as_str(), "b"].into_iter()), format!("{}, b", long(297)));
        assert_eq!(super::list([long(298).as_str(), "b"].into_iter()), format!("{}, …", long(298)));
    }

    #[test]
    fn a_range_of_counts_is_written_in_plain_words() {
        for (min, max, expected) in [
            (0, 0, "no items"),
            (0, 1, "at most 1 item"),
            (0, 7, "at most 7 items"),
            (1, 1, "exactly 1 item"),
            (3, 3, "exactly 3 items"),
            (2, 3, "2 to 3 items"),
        ] {
            assert_eq!(counted(min, max, "item"), expected);
        }
    }
}
