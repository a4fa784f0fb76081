//! Lambda and CodeDeploy, each behind a narrow trait.

use std::future::Future;
use std::time::Duration;

use aws_sdk_codedeploy::types::LifecycleEventStatus;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use lambda_support::sdk::CONNECT_TIMEOUT;
use lambda_support::service::ServiceError;
use serde_json::Value;

/// Calls functions.
pub trait Functions: Send + Sync {
    /// Calls a version with an event and returns its answer.
    fn call(&self, version: &str, event: &Value) -> impl Future<Output = Result<Value, ServiceError>> + Send;
}

/// Whether traffic may shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It may.
    Succeeded,
    /// The old version stays.
    Failed,
}

impl Status {
    /// As CodeDeploy writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// Receives the result of a check.
pub trait Deployments: Send + Sync {
    /// Reports the status to the deployment.
    fn report(
        &self,
        deployment: &str,
        execution: &str,
        status: Status,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// Lambda.
#[derive(Clone, Debug)]
pub struct Lambda {
    client: aws_sdk_lambda::Client,
}

/// A broken connection is not the new version's fault, and a test event leaves no trace, so it may be sent again.
const CALL_ATTEMPTS: u32 = 3;

/// The time for all attempts, out of the minute that this function has; the rest is for the report to CodeDeploy.
const CALLS_TIMEOUT: Duration = Duration::from_secs(40);

impl Lambda {
    pub(crate) fn new(config: &lambda_support::sdk::SdkConfig, timeout: Duration) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(timeout)
            .operation_timeout(CALLS_TIMEOUT)
            .build();
        let retries = aws_sdk_lambda::config::retry::RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS);
        let config =
            aws_sdk_lambda::config::Builder::from(config).timeout_config(timeouts).retry_config(retries).build();
        Self { client: aws_sdk_lambda::Client::from_conf(config) }
    }
}

impl Functions for Lambda {
    async fn call(&self, version: &str, event: &Value) -> Result<Value, ServiceError> {
        let call = self.client.invoke().function_name(version).payload(Blob::new(event.to_string()));
        let output = call.send().await.map_err(|error| ServiceError::from(&error))?;
        let payload = output.payload().map(Blob::as_ref).unwrap_or_default();
        let answer = serde_json::from_slice(payload);
        match (output.function_error(), answer) {
            (None, Ok(answer)) => Ok(answer),
            (None, Err(error)) => Err(ServiceError::permanent("Answer", format!("not JSON: {error}"))),
            // The version started, or tried to, and reported why it failed.
            (Some(code), answer) => {
                let message = answer.map(|answer: Value| answer.to_string()).unwrap_or_default();
                Err(ServiceError::permanent(code, message))
            }
        }
    }
}

/// CodeDeploy.
#[derive(Clone, Debug)]
pub struct CodeDeploy {
    client: aws_sdk_codedeploy::Client,
}

/// A lost status makes a good deployment fail an hour later.
const REPORT_ATTEMPTS: u32 = 4;

/// CodeDeploy's error for a status that it has already: the answer to an earlier attempt was lost.
const ALREADY_REPORTED: &str = "LifecycleEventAlreadyCompletedException";

impl CodeDeploy {
    pub(crate) fn new(config: &lambda_support::sdk::SdkConfig) -> Self {
        let retries = aws_sdk_codedeploy::config::retry::RetryConfig::standard().with_max_attempts(REPORT_ATTEMPTS);
        let config = aws_sdk_codedeploy::config::Builder::from(config).retry_config(retries).build();
        Self { client: aws_sdk_codedeploy::Client::from_conf(config) }
    }
}

impl Deployments for CodeDeploy {
    async fn report(&self, deployment: &str, execution: &str, status: Status) -> Result<(), ServiceError> {
        let status = match status {
            Status::Succeeded => LifecycleEventStatus::Succeeded,
            Status::Failed => LifecycleEventStatus::Failed,
        };
        let reported = self
            .client
            .put_lifecycle_event_hook_execution_status()
            .deployment_id(deployment)
            .lifecycle_event_hook_execution_id(execution)
            .status(status)
            .send()
            .await;
        match reported.map_err(|error| ServiceError::from(&error)) {
            Err(error) if error.code == ALREADY_REPORTED => Ok(()),
            reported => reported.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_codedeploy::operation::put_lifecycle_event_hook_execution_status::PutLifecycleEventHookExecutionStatusOutput;
    use aws_sdk_lambda::operation::invoke::InvokeOutput;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use serde_json::json;

    use super::*;

    fn lambda(rule: &Rule) -> Lambda {
        Lambda { client: mock_client!(aws_sdk_lambda, RuleMode::MatchAny, [rule]) }
    }

    #[tokio::test]
    async fn the_version_is_called_with_the_event() {
        let rule = mock!(aws_sdk_lambda::Client::invoke)
            .match_requests(|request| {
                request.function_name() == Some("arn:v7")
                    && request.payload().map(Blob::as_ref) == Some(br#"{"a":1}"#.as_slice())
            })
            .then_output(|| InvokeOutput::builder().status_code(200).payload(Blob::new("{\"b\":2}")).build());
        assert_eq!(lambda(&rule).call("arn:v7", &json!({"a": 1})).await, Ok(json!({"b": 2})));
    }

    #[tokio::test]
    async fn a_version_that_fails_or_answers_no_json_is_an_error() {
        let failing = mock!(aws_sdk_lambda::Client::invoke).then_output(|| {
            let payload = Blob::new(r#"{"errorType":"Runtime.ExitError"}"#);
            InvokeOutput::builder().status_code(200).function_error("Unhandled").payload(payload).build()
        });
        let error = lambda(&failing).call("arn:v7", &json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), r#"Unhandled: {"errorType":"Runtime.ExitError"}"#);
        let silent = mock!(aws_sdk_lambda::Client::invoke).then_output(|| InvokeOutput::builder().build());
        assert_eq!(lambda(&silent).call("arn:v7", &json!({})).await.unwrap_err().code, "Answer");
    }

    #[tokio::test]
    async fn the_status_is_reported_with_deployment_and_execution_id() {
        for (status, expected) in
            [(Status::Succeeded, LifecycleEventStatus::Succeeded), (Status::Failed, LifecycleEventStatus::Failed)]
        {
            let rule = mock!(aws_sdk_codedeploy::Client::put_lifecycle_event_hook_execution_status)
                .match_requests(move |request| {
                    request.deployment_id() == Some("d-1")
                        && request.lifecycle_event_hook_execution_id() == Some("e-1")
                        && request.status() == Some(&expected)
                })
                .then_output(|| PutLifecycleEventHookExecutionStatusOutput::builder().build());
            let codedeploy = CodeDeploy { client: mock_client!(aws_sdk_codedeploy, RuleMode::MatchAny, [&rule]) };
            assert_eq!(codedeploy.report("d-1", "e-1", status).await, Ok(()));
        }
    }
}
