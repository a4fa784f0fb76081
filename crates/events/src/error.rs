//! Why an event, or a whole batch, was refused.

use thiserror::Error;

use crate::kind::Kind;

/// The rule that an event broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventErrorCode {
    /// The event is not a JSON object.
    NotAnObject,
    /// A required field is missing.
    MissingField,
    /// The event has a field that its kind does not have.
    UnknownField,
    /// A field stands more than once.
    DuplicateField,
    /// An id is not a hyphenated UUID.
    InvalidId,
    /// `occurred_at` is not a time in one of the two forms.
    InvalidTime,
    /// `occurred_at` is more than 15 minutes ahead of the server's clock.
    TooEarly,
    /// `occurred_at` is more than 30 days behind the server's clock.
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
            Self::TooEarly => "TooEarly",
            Self::TooLate => "TooLate",
        }
    }
}

/// An event that was refused: the rule it broke, and how to mend it.
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

    /// What is wrong and how to mend it, in a sentence for the developer of the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn not_an_object(kind: Kind) -> Self {
        Self {
            code: EventErrorCode::NotAnObject,
            message: format!("an event is a JSON object with {}", fields_of(kind)),
        }
    }

    pub(crate) fn missing(field: &str) -> Self {
        Self { code: EventErrorCode::MissingField, message: format!("`{field}` is missing: add it") }
    }

    pub(crate) fn unknown(field: &str, kind: Kind) -> Self {
        let shown: String = field.chars().take(MAX_SHOWN_CHARS).collect();
        let known = fields_of(kind);
        Self {
            code: EventErrorCode::UnknownField,
            message: format!("unknown field `{shown}`: remove it, the fields are {known}"),
        }
    }

    pub(crate) fn duplicate(field: &str) -> Self {
        Self { code: EventErrorCode::DuplicateField, message: format!("`{field}` stands more than once: keep one") }
    }

    pub(crate) fn invalid_id(field: &str) -> Self {
        Self {
            code: EventErrorCode::InvalidId,
            message: format!(
                "`{field}` is not a UUID: write 8-4-4-4-12 hexadecimal digits, such as \
                 0192d3c4-9a5b-7c6d-8e7f-001122334455"
            ),
        }
    }

    pub(crate) fn invalid_time() -> Self {
        Self {
            code: EventErrorCode::InvalidTime,
            message: "`occurred_at` is not a time: write `YYYY-MM-DD HH:MM:SS[.fff]` in UTC, or RFC 3339 such as \
                      2026-11-20T12:00:00.000Z"
                .to_owned(),
        }
    }

    pub(crate) fn too_early() -> Self {
        Self {
            code: EventErrorCode::TooEarly,
            message: "`occurred_at` is more than 15 minutes ahead: it is UTC, check the clock and the time zone"
                .to_owned(),
        }
    }

    pub(crate) fn too_late() -> Self {
        Self {
            code: EventErrorCode::TooLate,
            message: "`occurred_at` is more than 30 days back: events are accepted for 30 days only".to_owned(),
        }
    }
}

/// How much of a client's own text an error message repeats.
const MAX_SHOWN_CHARS: usize = 40;

fn fields_of(kind: Kind) -> String {
    let mut fields = kind.ids().to_vec();
    fields.push(crate::kind::OCCURRED_AT);
    fields.join(", ")
}

/// A body that is no batch: nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The body is not JSON in UTF-8.
    #[error("the body is not JSON: {0}")]
    InvalidJson(String),
    /// The body is JSON, yet not an object whose one key is the kind's, with an array of events.
    #[error("the body is not a batch: {problem}; send {{\"{key}\":[…]}} with 1 to {MAX} events", MAX = crate::MAX_EVENTS)]
    InvalidBatch {
        /// What is wrong with it.
        problem: String,
        /// The key that belongs there.
        key: &'static str,
    },
    /// The batch has more events than a batch may.
    #[error("the batch has {0} events: send at most {MAX} a request", MAX = crate::MAX_EVENTS)]
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
