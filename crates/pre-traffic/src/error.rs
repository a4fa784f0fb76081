//! Errors of the function.

use lambda_support::service::ServiceError;
use thiserror::Error;

/// The result could not be reported. CodeDeploy waits for its own time limit and then treats the hook as failed, which is
/// safe.
#[derive(Debug, Error)]
pub enum HookError {
    /// CodeDeploy did not accept the status.
    #[error("failed to report to CodeDeploy that the check {status}: {source}")]
    Report {
        /// The status that was not reported.
        status: &'static str,
        /// The cause.
        source: ServiceError,
    },
}
