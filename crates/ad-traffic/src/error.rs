//! Why a request cannot be answered.

use thiserror::Error;

/// A request that asks for something that does not exist or cannot be: the client must change it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub(crate) struct BadRequest {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl BadRequest {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The table did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct TableError {
    /// The service's error code, or what happened on the way to it.
    pub code: String,
    /// The service's message.
    pub message: String,
    /// Whether the same question may be answered later.
    pub retryable: bool,
}

impl TableError {
    /// The table did not answer while the invocation had time.
    pub(crate) fn late() -> Self {
        Self { code: "Timeout".to_owned(), message: "no answer in time".to_owned(), retryable: true }
    }
}
