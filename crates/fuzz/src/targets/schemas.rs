//! Schemas of event types.

use event_types::{Json, read_type};
use fastrand::Rng;
use jsonschema::Validator;
use serde_json::Value;

use super::bodies::support::{ORDERS, READINGS, random_schema};
use crate::{Target, mutate, oracle};

/// Schemas, held against the schema of schemas.
pub struct Schemas {
    meta_schema: Validator,
}

impl Default for Schemas {
    fn default() -> Self {
        let text = include_str!("../../../../events/event-type.schema.json");
        let schema: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        Self { meta_schema: jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}")) }
    }
}

impl Target for Schemas {
    fn name(&self) -> &'static str {
        "schemas"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let schema = match rng.u8(..16) {
            0 => ORDERS.to_owned(),
            1 => READINGS.to_owned(),
            2 => "[{\"a\":".repeat(rng.usize(1..500)),
            _ => random_schema::schema(rng),
        };
        let mut schema = schema.into_bytes();
        mutate::damage(rng, &mut schema, &mutate::JSON);
        schema
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(input) else { return false };
        if let Ok(json) = Json::parse(text) {
            assert!(oracle::is_json(input), "read as JSON, which it is not");
            let again = Json::parse(&json.to_text()).unwrap_or_else(|error| panic!("written, and not read: {error}"));
            assert_eq!(again, json);
        }
        if read_type("things", text).is_err() {
            return false;
        }
        // A number beyond a double is one that only the meta-schema's reader can't hold.
        if let Ok(schema) = serde_json::from_str::<Value>(text) {
            assert!(self.meta_schema.is_valid(&schema), "taken, and not by the meta-schema: {schema}");
        }
        true
    }

    fn bound(&self) -> (usize, usize) {
        (1 << 20, 1_024)
    }
}
