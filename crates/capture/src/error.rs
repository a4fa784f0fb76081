//! Why Firehose did not take a call.

use thiserror::Error;

/// A call to Firehose that failed whole. None of its records is known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct PutError {
    /// The service's error code, or what happened on the way to it (`Timeout`, `Dispatch`, `Response`).
    pub code: String,
    /// The service's message.
    pub message: String,
    /// Whether the same call may succeed later. Not so when a permission or the stream is missing.
    pub retryable: bool,
}
