//! Errors of the function.

use thiserror::Error;

/// An event that the function cannot read. Lambda reports it to the caller, which keeps the records: Firehose retries, and
/// then writes them below its error prefix.
#[derive(Debug, Error)]
pub enum SinkError {
    /// Not JSON, or without a list of records that have ids.
    #[error("the event cannot be read: {0}")]
    Event(#[from] serde_json::Error),
    /// Neither the event of a Firehose transformation nor the output of an analytics application, or both at once.
    #[error("the event has neither a deliveryStreamArn nor an applicationArn, or it has both")]
    Kind,
}
