//! From the body of a request to lines of the raw zone, event by event.

use std::borrow::Cow;
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::encode::{Encoded, Encoder};
use crate::error::{BatchError, EventError};
use crate::id::ID_LEN;
use crate::problem::{Problem, Reason};
use crate::table::EventType;

/// The most events in a request. Firehose takes as many records per call, so a batch is never split because of its count,
/// and 500 events of the usual size fit in one record.
pub const MAX_EVENTS: usize = 500;

/// The most bytes of an event's line, the newline included: the limit of a Firehose record.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html>
pub const MAX_LINE_BYTES: usize = 1_000 * 1_024;

/// A valid event: where its line is in [`Batch::ndjson`], and the id that the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes of its line, the newline included.
    pub line: Range<usize>,
    /// Its own id, when the client gave none.
    pub given_id: Option<Uuid>,
}

/// The result of one event of a batch.
pub type Event = Result<Stored, EventError>;

/// A parsed batch: the result of each event in the order of the body, and the lines of the valid ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    events: Vec<Event>,
    ndjson: Vec<u8>,
}

impl Batch {
    /// Reads a body such as `{"impressions":[…]}`. `now` is the server's clock, `new_id` gives ids to events
    /// without one.
    ///
    /// # Errors
    /// When the body is not a batch of 1 to [`MAX_EVENTS`] events. An invalid event is not an error of the batch: its result
    /// in [`Batch::events`] says what is wrong.
    pub fn parse(
        event_type: &'static EventType,
        body: &[u8],
        now: DateTime<Utc>,
        mut new_id: impl FnMut() -> Uuid,
    ) -> Result<Self, BatchError> {
        let text = std::str::from_utf8(body).map_err(|error| BatchError::InvalidJson(error.to_string()))?;
        let encoder = Encoder::new(event_type, now, text.len());
        let mut reader = Reader { event_type, new_id: &mut new_id, encoder, events: Vec::new(), count: 0 };
        if read_body(text, BodySeed(&mut reader)).is_ok() {
            return reader.finish();
        }
        // The body, or an event in it, has something that serde_json refuses. Parsing the elements one by one shows which.
        // Only such a body is parsed twice.
        reader.restart_careful();
        let elements = read_body(text, RawBodySeed(event_type)).map_err(|error| batch_error(event_type, &error))?;
        for element in elements {
            reader.take_element(element);
        }
        reader.finish()
    }

    /// The result of each event, in the order of the body.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The valid events in their raw form: one JSON object per line.
    #[must_use]
    pub fn ndjson(&self) -> &[u8] {
        &self.ndjson
    }
}

fn read_body<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> serde_json::Result<S::Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn batch_error(event_type: &EventType, error: &serde_json::Error) -> BatchError {
    if error.is_data() {
        BatchError::InvalidBatch { problem: error.to_string(), key: event_type.name }
    } else {
        BatchError::InvalidJson(error.to_string())
    }
}

struct Reader<'a> {
    event_type: &'static EventType,
    new_id: &'a mut dyn FnMut() -> Uuid,
    encoder: Encoder,
    events: Vec<Event>,
    /// How many events there were, those past the limit included.
    count: usize,
}

impl Reader<'_> {
    fn restart_careful(&mut self) {
        self.encoder.restart_careful();
        self.events.clear();
        self.count = 0;
    }

    fn finish(mut self) -> Result<Batch, BatchError> {
        match self.count {
            0 => Err(BatchError::InvalidBatch { problem: "it has no events".to_owned(), key: self.event_type.name }),
            1..=MAX_EVENTS => Ok(Batch { events: self.events, ndjson: std::mem::take(self.encoder.lines()) }),
            count => Err(BatchError::TooManyEvents(count)),
        }
    }

    fn take<'de, D: Deserializer<'de>>(&mut self, event: D) -> Result<(), D::Error> {
        self.count += 1;
        if self.count > MAX_EVENTS {
            return IgnoredAny::deserialize(event).map(|_| ());
        }
        let event = match self.encoder.event(event)? {
            Ok(encoded) => Ok(self.store(&encoded)),
            Err(problem) => Err(EventError::new(&problem)),
        };
        self.events.push(event);
        Ok(())
    }

    fn take_element(&mut self, element: &RawValue) {
        if self.take(&mut serde_json::Deserializer::from_str(element.get())).is_err() {
            // Well-formed JSON, but with a number or a string that has no value.
            self.encoder.drop_event();
            let problem = Problem::new(Reason::NotAnObject(self.event_type));
            self.events.push(Err(EventError::new(&problem)));
        }
    }

    fn store(&mut self, encoded: &Encoded) -> Stored {
        let lines = self.encoder.lines();
        let given_id = encoded.id_slot.map(|slot| {
            let id = (self.new_id)();
            id.hyphenated().encode_lower(&mut lines[slot..][..ID_LEN]);
            id
        });
        Stored { line: encoded.start..lines.len(), given_id }
    }
}

/// Reads the object with the batch's key, and encodes each event while it is read.
struct BodySeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let event_type = self.0.event_type;
        deserializer.deserialize_map(BodyVisitor { event_type, array: EventsSeed(self.0) })
    }
}

struct EventsSeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for EventsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(EventSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct EventSeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.take(deserializer)
    }
}

/// Reads the same object without parsing the events.
struct RawBodySeed(&'static EventType);

impl<'de> DeserializeSeed<'de> for RawBodySeed {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(BodyVisitor { event_type: self.0, array: std::marker::PhantomData })
    }
}

struct BodyVisitor<S> {
    event_type: &'static EventType,
    array: S,
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for BodyVisitor<S> {
    type Value = S::Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "an object with the key `{}`", self.event_type.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Value, A::Error> {
        let key = self.event_type.name;
        let missing = || de::Error::custom(format_args!("the key `{key}` is missing"));
        let Some(first) = map.next_key::<Cow<'de, str>>()? else { return Err(missing()) };
        if first != key {
            return Err(de::Error::custom("it has a key that does not belong there"));
        }
        let value = map.next_value_seed(self.array)?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom("it has more than one key"));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
