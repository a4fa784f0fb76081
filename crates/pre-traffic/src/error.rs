//! What can go wrong, and who hears of it.

use lambda_support::service::ServiceError;
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
        source: ServiceError,
    },
}
