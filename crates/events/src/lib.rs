#![doc = include_str!("../README.md")]

mod batch;
mod encode;
mod error;
mod id;
mod number;
mod problem;
pub mod raw_line;
#[doc(hidden)]
pub mod table;
mod text;
mod time;

/// The tables that `build.rs` makes from `events/*.json`.
mod types {
    use crate::table::{EventType, Field, Object, Value};

    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

pub use batch::{Batch, Event, MAX_EVENTS, MAX_LINE_BYTES, Stored};
pub use error::{BatchError, EventError, EventErrorCode};
pub use table::EventType;
pub use time::{MAX_AHEAD, MAX_BEHIND};
pub use types::*;
