//! Runs one check and reports the result.

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::HookError;
use crate::services::{Deployments, Functions, Status};

/// The event from CodeDeploy.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub struct Hook {
    /// The deployment that waits.
    pub deployment_id: String,
    /// The execution of this hook within it.
    pub lifecycle_event_hook_execution_id: String,
}

/// The answer, for calls by hand. CodeDeploy uses the reported status.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Answer {
    /// `Succeeded` or `Failed`.
    pub status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Sends the test event to the new version and reports to CodeDeploy whether the answer is as expected.
///
/// # Errors
/// When the report fails. A fault of the new version is not an error but a status.
pub async fn handle<F: Functions, D: Deployments>(hook: &Hook, context: &Context<F, D>) -> Result<Answer, HookError> {
    let problem = match context.functions.call(&context.version, &context.test_event.event((context.clock)())).await {
        Ok(answer) => context.test_event.check(&answer).err(),
        Err(error) => Some(error.to_string()),
    };
    let status = if problem.is_none() { Status::Succeeded } else { Status::Failed };
    match &problem {
        None => tracing::info!(version = context.version, "the new version answers as expected"),
        Some(problem) => tracing::error!(version = context.version, problem, "the new version gets no traffic"),
    }
    context
        .deployments
        .report(&hook.deployment_id, &hook.lifecycle_event_hook_execution_id, status)
        .await
        .map_err(|source| HookError::Report { status: status.name(), source })?;
    Ok(Answer { status: status.name(), problem })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use lambda_support::service::ServiceError;
    use serde_json::{Value, json};

    use super::*;
    use crate::test_event::TestEvent;

    /// A version that always gives the same answer.
    struct Version(Result<Value, ServiceError>);

    impl Functions for Version {
        async fn call(&self, version: &str, event: &Value) -> Result<Value, ServiceError> {
            assert_eq!(version, "arn:v7");
            assert_eq!(event["httpMethod"], "POST");
            self.0.clone()
        }
    }

    #[derive(Default)]
    struct Reports {
        statuses: Mutex<Vec<(String, String, Status)>>,
        fails: bool,
    }

    impl Deployments for Reports {
        async fn report(&self, deployment: &str, execution: &str, status: Status) -> Result<(), ServiceError> {
            if self.fails {
                return Err(ServiceError::permanent("DeploymentDoesNotExistException", ""));
            }
            self.statuses.lock().unwrap().push((deployment.to_owned(), execution.to_owned(), status));
            Ok(())
        }
    }

    async fn check(answer: Result<Value, ServiceError>, reports: Reports) -> (Result<Answer, HookError>, Vec<Status>) {
        let hook: Hook =
            serde_json::from_value(json!({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"})).unwrap();
        let event = TestEvent::from_name("impressions").unwrap();
        let context = Context::new(Version(answer), reports, "arn:v7".to_owned(), event);
        let result = handle(&hook, &context).await;
        let reported = context.deployments.statuses.into_inner().unwrap();
        assert!(reported.iter().all(|(deployment, execution, _)| deployment == "d-1" && execution == "e-1"));
        (result, reported.into_iter().map(|(_, _, status)| status).collect())
    }

    fn right() -> Value {
        let body =
            json!({"failed_count": 1, "records": [{"failed": true, "error_code": "InvalidId", "error_message": "m"}]});
        json!({"statusCode": 200, "headers": {}, "body": body.to_string(), "isBase64Encoded": false})
    }

    #[tokio::test]
    async fn a_right_answer_lets_traffic_shift() {
        let (answer, reported) = check(Ok(right()), Reports::default()).await;
        assert_eq!(answer.unwrap(), Answer { status: "Succeeded", problem: None });
        assert_eq!(reported, [Status::Succeeded]);
    }

    #[tokio::test]
    async fn a_wrong_answer_keeps_the_old_version() {
        let (answer, reported) = check(Ok(json!({"statusCode": 502})), Reports::default()).await;
        assert_eq!(answer.unwrap().problem.unwrap(), "statusCode is 502, not 200");
        assert_eq!(reported, [Status::Failed]);
    }

    #[tokio::test]
    async fn a_version_that_does_not_start_keeps_the_old_version() {
        let error = ServiceError::permanent("Unhandled", "DELIVERY_STREAM_NAME is not set");
        let (answer, reported) = check(Err(error), Reports::default()).await;
        assert_eq!(answer.unwrap().problem.unwrap(), "Unhandled: DELIVERY_STREAM_NAME is not set");
        assert_eq!(reported, [Status::Failed]);
    }

    #[tokio::test]
    async fn a_status_that_codedeploy_does_not_accept_is_an_error() {
        let (answer, reported) = check(Ok(right()), Reports { fails: true, ..Reports::default() }).await;
        assert!(answer.unwrap_err().to_string().starts_with("failed to report to CodeDeploy that the check Succeeded"));
        assert_eq!(reported, []);
    }
}
