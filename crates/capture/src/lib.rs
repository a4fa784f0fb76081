#![doc = include_str!("../README.md")]

mod body;
mod context;
mod delivery;
mod error;
mod firehose;
mod handler;
#[cfg(test)]
mod network;
mod packing;
mod refused;

use events::EventType;
use lambda_http::Error;
use lambda_support::environment::Process;
use lambda_support::{http, logging};

pub use body::MAX_BODY_BYTES;
pub use context::Context;
pub use delivery::{DeliveryStream, PutResult};
pub use handler::handle;
pub use packing::{MAX_CALL_BYTES, MAX_CALL_RECORDS, MAX_RECORD_BYTES, Packed, pack};

/// Runs the capture function of an event type until Lambda ends the process.
///
/// # Errors
/// When the configuration is incomplete: Lambda logs the error and reports that the function did not start.
pub async fn run(event_type: &'static EventType) -> Result<(), Error> {
    logging::init(&Process);
    let context = Context::from_env(event_type).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    context.warm_up().await;
    let context = &context;
    http::run(move |request| handle(request, context)).await
}
