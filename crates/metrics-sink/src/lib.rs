#![doc = include_str!("../README.md")]

mod context;
mod count;
mod error;
mod event;
mod handler;
mod metrics;
#[cfg(test)]
mod network;
mod recent;

pub use context::Context;
pub use error::SinkError;
pub use handler::handle;
pub use metrics::{MAX_BODY_BYTES, MAX_METRICS_PER_CALL, MAX_VALUES_PER_METRIC, Metric, Metrics};
