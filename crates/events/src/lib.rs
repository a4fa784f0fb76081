#![doc = include_str!("../README.md")]

mod batch;
mod error;
mod kind;
mod time;

pub use batch::{Batch, Event, MAX_EVENTS, Stored};
pub use error::{BatchError, EventError, EventErrorCode};
pub use kind::Kind;
pub use time::{MAX_AHEAD, MAX_BEHIND, OccurredAt};
