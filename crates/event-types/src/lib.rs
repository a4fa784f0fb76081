#![doc = include_str!("../README.md")]

mod json;
mod model;
mod read;
mod sample;

pub use json::Json;
pub use model::{
    Decimal, Distribution, EventType, Field, MAX_DEPTH, MAX_FIELDS, MAX_PRECISION, MAX_TYPE_NAME, Object, Reference,
    Value, kebab_case,
};
pub use read::{SchemaError, TAKEN_BY_EVENTS, check_name, check_references, is_schema, read_all, read_type};
pub use sample::Sampler;
