//! Event types as static data. `build.rs` writes it from `events/*.json`, and the validator walks it.

/// An event type: it decides the key of a batch, the fields of its events and the table that they end in.
///
/// It is data that the validator walks, made from the schema `events/<name>.json`.
#[derive(Debug)]
pub struct EventType {
    /// The key of a batch's array, which is the name of the table too.
    pub name: &'static str,
    /// The place of the event's own id among the fields. The server gives an id when the client does not.
    pub id: usize,
    /// The fields of an event.
    pub object: Object,
}

impl EventType {
    /// The name of the field that holds the event's own id.
    #[must_use]
    pub fn id_field(&self) -> &'static str {
        self.object.fields[self.id].name
    }

    /// The names of the fields, in the order of raw lines.
    pub fn field_names(&self) -> impl Iterator<Item = &'static str> {
        self.object.fields.iter().map(|field| field.name)
    }
}

/// What an object must be.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Its fields, in the order in which they are written.
    pub fields: &'static [Field],
    /// A bit for the place of each field that must be there.
    pub required: u128,
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its name as it is written, with the comma before it: `,"name":`.
    pub key: &'static str,
    /// The bit of its place, as in [`Object::required`].
    pub bit: u128,
    /// What its value must be.
    pub value: Value,
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A hyphenated UUID.
    Uuid,
    /// The event's time, which must be near the server's clock.
    EventTime,
    /// Any other time.
    DateTime,
    /// A day of the calendar.
    Date,
    /// Text, by its number of characters.
    Text {
        /// At least so many.
        min: u32,
        /// At most so many.
        max: u32,
    },
    /// One of these texts, each as it is written: with its quotes, and escapes where JSON needs them.
    Enum(&'static [&'static str]),
    /// An integer.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A finite double.
    Number {
        /// The least.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
    },
    /// An exact decimal. The limits are in units of its last digit: with scale 2, `1999` is 19.99.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// The least.
        min: i128,
        /// The greatest.
        max: i128,
    },
    /// `true` or `false`.
    Boolean,
    /// An array of values of one form.
    Array {
        /// What each item must be.
        items: &'static Value,
        /// At least so many.
        min: u32,
        /// At most so many.
        max: u32,
    },
    /// An object within the event.
    Object(Object),
}
