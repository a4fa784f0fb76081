//! Event types from any schema, and random events of them. Shared by tests, benchmarks and fuzzing.
#![allow(dead_code, reason = "each user needs only a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../build/model.rs"]
mod model;
pub mod random;
pub mod random_schema;

use chrono::{DateTime, Utc};
use events::{Batch, BatchError, EventType, table};
use uuid::Uuid;

/// The id that the server assigns.
pub const GIVEN: Uuid = Uuid::from_u128(0x0192_d3c4_9a5b_7c6d_8e7f_0011_2233_4455);

/// A schema with a field of every type.
pub const READINGS: &str = include_str!("../schemas/readings.json");

/// A schema with ten fields, one of them a list of items.
pub const ORDERS: &str = include_str!("../schemas/orders.json");

/// An event type in both of its forms: the model and the static table.
pub struct Type {
    pub model: event_types::EventType,
    pub table: &'static EventType,
}

impl Type {
    /// Reads the schema of an event type.
    pub fn new(name: &str, schema: &str) -> Self {
        let model = event_types::read_type(name, schema).unwrap_or_else(|error| panic!("{error}\n{schema}"));
        let table = Box::leak(Box::new(model::table(&model)));
        Self { model, table }
    }

    /// Parses a body with these events, each as JSON.
    pub fn parse(&self, events: &str) -> Result<Batch, BatchError> {
        let body = format!("{{\"{}\":[{events}]}}", self.model.name);
        Batch::parse(self.table, body.as_bytes(), now(), || GIVEN)
    }

    /// The line of an event, or the code and message of its error.
    pub fn line(&self, event: &str) -> Result<String, (&'static str, String)> {
        let batch = self.parse(event).unwrap_or_else(|error| panic!("{error}\n{event}"));
        match &batch.events()[0] {
            Ok(_) => Ok(std::str::from_utf8(batch.ndjson()).unwrap().to_owned()),
            Err(error) => Err((error.code().as_str(), error.message().to_owned())),
        }
    }
}

/// The server's clock.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).unwrap_or_default()
}
