//! What can go wrong, and who hears of it.

use thiserror::Error;

/// An event that this function does not understand. Lambda reports it to the caller, who keeps the records: Firehose
/// tries again and then sets them aside under its error prefix.
#[derive(Debug, Error)]
pub enum SinkError {
    /// Not JSON, or without a list of records that have ids.
    #[error("the event cannot be read: {0}")]
    Event(#[from] serde_json::Error),
    /// Not the event of a Firehose transformation, nor of an analytics application's output; or both at once.
    #[error("the event has neither a deliveryStreamArn nor an applicationArn, or it has both")]
    Kind,
}
