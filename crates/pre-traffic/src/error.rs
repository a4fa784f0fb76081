//! What can go wrong, and who hears of it.

use thiserror::Error;

/// CodeDeploy could not be told. It waits for its own time limit, and then takes the hook as failed: the safe side.
#[derive(Debug, Error)]
pub enum HookError {
    /// It did not take the status.
    #[error("CodeDeploy was not told that the check {status}: {source}")]
    Report {
        /// What it was not told.
        status: &'static str,
        /// Why.
        source: CallError,
    },
}

/// A service did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// The service's error code, or what happened on the way to it.
    pub code: String,
    /// The service's message.
    pub message: String,
}
