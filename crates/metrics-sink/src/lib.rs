#![doc = include_str!("../README.md")]

mod context;
mod count;
mod error;
mod event;
mod handler;
mod metrics;

pub use context::Context;
pub use error::{PublishError, SinkError};
pub use handler::handle;
pub use metrics::{MAX_METRICS_PER_CALL, Metric, Metrics};
