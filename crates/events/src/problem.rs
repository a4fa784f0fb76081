//! Problems of values, with their paths.

use crate::table::{EventType, Object, Value};

/// How much of a client's text an error message repeats.
const MAX_SHOWN_CHARS: usize = 40;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// The event is not an object.
    NotAnObject(&'static EventType),
    /// A required field is missing.
    Missing,
    /// The object does not have this field.
    Unknown(&'static Object),
    /// A field occurs more than once.
    Duplicate,
    /// A value is not valid.
    Invalid(&'static Value),
    /// A text has half of a surrogate pair.
    HalfPair,
    /// The event's time is too far ahead.
    Early,
    /// The event's time is too far behind.
    Late,
    /// The event's line is longer than a line may be.
    TooLong,
}

/// What is wrong with a value, and the path to it from the event: `items[2].price`.
#[derive(Debug)]
pub(crate) struct Problem {
    reason: Reason,
    path: String,
    first: Step,
}

/// The first step of a path, which decides how a longer path is joined to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// No step: the problem is that of the value itself.
    None,
    Field,
    Item,
}

impl Problem {
    pub(crate) fn new(reason: Reason) -> Box<Self> {
        Box::new(Self { reason, path: String::new(), first: Step::None })
    }

    /// A field that its object does not have, with the first characters of its name.
    pub(crate) fn unknown(object: &'static Object, name: &str) -> Box<Self> {
        let path = name.chars().take(MAX_SHOWN_CHARS).collect();
        Box::new(Self { reason: Reason::Unknown(object), path, first: Step::Field })
    }

    /// The same problem, seen from the object of which its value is a field.
    pub(crate) fn in_field(self: Box<Self>, name: &str) -> Box<Self> {
        self.after(name, Step::Field)
    }

    /// The same problem, seen from the array of which its value is an item.
    pub(crate) fn in_item(self: Box<Self>, index: u32) -> Box<Self> {
        self.after(&format!("[{index}]"), Step::Item)
    }

    fn after(mut self: Box<Self>, text: &str, step: Step) -> Box<Self> {
        let point = if self.first == Step::Field { "." } else { "" };
        self.path = format!("{text}{point}{}", self.path);
        self.first = step;
        self
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}
