//! Failed calls to AWS services.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use thiserror::Error;

/// The code of a request that could not be built, so was never sent.
pub const INVALID_REQUEST: &str = "Request";

/// A call to an AWS service that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// The service's error code. Without one, the part of the call that failed: [`INVALID_REQUEST`], `Dispatch`, `Timeout`,
    /// `Response` or `Unknown`.
    pub code: String,
    /// The service's message; empty if there is none.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl ServiceError {
    /// An error that remains, however often the call is repeated.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// The call did not end in the time that its caller had.
    #[must_use]
    pub fn timeout() -> Self {
        Self { code: "Timeout".to_owned(), message: "no answer in time".to_owned(), retryable: true }
    }
}

impl<E: ProvideErrorMetadata> From<&SdkError<E, HttpResponse>> for ServiceError {
    /// Retryable are failures of the network and answers that are not a client error (4xx). A caller that knows better, because
    /// its service throttles with a 4xx, corrects that.
    fn from(error: &SdkError<E, HttpResponse>) -> Self {
        let (failed, retryable) = match error {
            SdkError::ConstructionFailure(_) => (INVALID_REQUEST, false),
            SdkError::DispatchFailure(_) => ("Dispatch", true),
            SdkError::TimeoutError(_) => ("Timeout", true),
            SdkError::ResponseError(_) => ("Response", true),
            // A gateway in front of a service answers without a code. A success that cannot be read is not one.
            SdkError::ServiceError(answer) => ("Unknown", !answer.raw().status().is_client_error()),
            _ => ("Unknown", false),
        };
        Self {
            code: error.code().unwrap_or(failed).to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
            retryable,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn answer(status: u16) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), SdkBody::empty())
    }

    fn refused(status: u16, code: Option<&str>) -> ServiceError {
        let metadata = ErrorMetadata::builder();
        let metadata = if let Some(code) = code { metadata.code(code).message("No.") } else { metadata };
        ServiceError::from(&SdkError::service_error(metadata.build(), answer(status)))
    }

    #[test]
    fn the_services_own_code_and_message_are_kept() {
        let error = ServiceError { code: "Throttling".into(), message: "No.".into(), retryable: false };
        assert_eq!(refused(400, Some("Throttling")), error);
        assert_eq!(error.to_string(), "Throttling: No.");
    }

    #[test]
    fn an_answer_without_a_code_is_unknown_and_retryable_unless_it_is_a_client_error() {
        for (status, retryable) in [(200, true), (403, false), (499, false), (500, true), (503, true)] {
            let error = ServiceError { code: "Unknown".into(), message: String::new(), retryable };
            assert_eq!(refused(status, None), error, "{status}");
        }
    }

    #[test]
    fn without_an_answer_the_failed_phase_of_the_call_is_the_code() {
        let io = || ConnectorError::io("broken pipe".into());
        for (error, code, retryable) in [
            (SdkError::<ErrorMetadata, _>::construction_failure("no bucket"), "Request", false),
            (SdkError::dispatch_failure(io()), "Dispatch", true),
            (SdkError::timeout_error("3 s"), "Timeout", true),
            (SdkError::response_error("half of it", answer(200)), "Response", true),
        ] {
            let expected = ServiceError { code: code.into(), message: String::new(), retryable };
            assert_eq!(ServiceError::from(&error), expected);
        }
    }
}
