//! Event types as static data. `build.rs` writes it from `events/*.json`, and the validator walks it.

/// An event type: the key of a batch, the fields of its events, and the table in which they are stored.
///
/// It is data for the validator, made from the schema `events/<name>.json`.
#[derive(Debug)]
pub struct EventType {
    /// The key of a batch's array, which is the name of the table too.
    pub name: &'static str,
    /// The index of the event's own id among the fields. The server gives an id when the client does not.
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

/// The fields of an object.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// The fields, in the order in which they are written.
    pub fields: &'static [Field],
    /// A bit for the index of each required field.
    pub required: u128,
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its name as it is written, with the comma before it: `,"name":`.
    pub key: &'static str,
    /// The bit of its index, as in [`Object::required`].
    pub bit: u128,
    /// Its valid values.
    pub value: Value,
}

/// The valid values of a field or an item.
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
    /// Text with a number of characters within limits.
    Text {
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// One of these texts. Each is in its JSON form, with quotes and escapes.
    Enum(&'static [&'static str]),
    /// An integer.
    Integer {
        /// The minimum.
        min: i64,
        /// The maximum.
        max: i64,
    },
    /// A finite double.
    Number {
        /// The minimum.
        min: Option<f64>,
        /// The maximum.
        max: Option<f64>,
    },
    /// An exact decimal. The limits are in units of its last digit: with scale 2, `1999` is 19.99.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// The minimum.
        min: i128,
        /// The maximum.
        max: i128,
    },
    /// `true` or `false`.
    Boolean,
    /// An array of values of one type, with a number of items within limits.
    Array {
        /// The valid items.
        items: &'static Value,
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// An object within the event.
    Object(Object),
}
