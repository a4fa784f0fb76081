//! Checks whose calls meet network faults. These must not decide about the new version.

use std::time::Duration;

use aws_sdk_lambda::config::{Credentials, SharedCredentialsProvider};
use faulty_service::{Answer, Fate, Service};
use lambda_support::sdk::{self, SdkConfig};
use serde_json::json;

use crate::services::{CodeDeploy, Deployments, Functions, Lambda, Status};

fn config(service: &Service) -> SdkConfig {
    let environment = [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", service.url.as_str())];
    let config = sdk::config(&environment.as_slice()).unwrap();
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests())).build()
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { content_type: "application/json", ..Answer::json(status, body) }
}

fn lambda(service: &Service) -> Lambda {
    Lambda::new(&config(service), Duration::from_secs(1))
}

#[tokio::test]
async fn a_broken_call_is_retried() {
    let good = || answer(200, r#"{"statusCode":200}"#);
    let mut throttled = answer(429, r#"{"Type":"User","message":"Rate Exceeded."}"#);
    throttled.headers.push(("x-amzn-errortype", "TooManyRequestsException"));
    for fate in
        [Fate::Cut, Fate::LostAnswer, Fate::Truncate(good()), Fate::Stall(good()), Fate::Answer(throttled.clone())]
    {
        let service = Service::start([fate.clone(), Fate::Answer(good())]);
        let answered = lambda(&service).call("f:7", &json!({})).await;
        assert_eq!(answered, Ok(json!({"statusCode": 200})), "{fate:?}");
        assert_eq!(service.unused(), 0);
    }
    let service = Service::start(vec![Fate::Answer(throttled); 4]);
    let error = lambda(&service).call("f:7", &json!({})).await.unwrap_err();
    assert_eq!((error.code.as_str(), service.unused()), ("TooManyRequestsException", 1));
}

#[tokio::test]
async fn a_version_that_fails_is_not_called_again() {
    let mut failed = answer(200, r#"{"errorType":"Runtime.ExitError"}"#);
    failed.headers.push(("x-amz-function-error", "Unhandled"));
    let service = Service::start(vec![Fate::Answer(failed); 2]);
    assert_eq!(lambda(&service).call("f:7", &json!({})).await.unwrap_err().code, "Unhandled");
    assert_eq!(service.unused(), 1);
}

#[tokio::test]
async fn a_report_to_codedeploy_is_retried_after_transient_failures() {
    let refused = |code: &str| Fate::Answer(Answer::json(400, &format!(r#"{{"__type":"{code}","message":"No."}}"#)));
    let accepted = || Fate::Answer(Answer::json(200, r#"{"lifecycleEventHookExecutionId":"e-1"}"#));
    for script in [
        vec![Fate::LostAnswer, refused("LifecycleEventAlreadyCompletedException")],
        vec![Fate::Cut, accepted()],
        vec![refused("ThrottlingException"), accepted()],
    ] {
        let service = Service::start(script.clone());
        let reported = CodeDeploy::new(&config(&service)).report("d-1", "e-1", Status::Succeeded).await;
        assert_eq!((reported, service.unused()), (Ok(()), 0), "{script:?}");
    }
    let service = Service::start([refused("InvalidLifecycleEventHookExecutionIdException")]);
    let error = CodeDeploy::new(&config(&service)).report("d-1", "e-1", Status::Failed).await.unwrap_err();
    assert_eq!(error.code, "InvalidLifecycleEventHookExecutionIdException");
}
