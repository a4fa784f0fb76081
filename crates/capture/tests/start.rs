//! A beacon as Lambda runs it. The test starts itself again as the function.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use events::IMPRESSIONS;
use faulty_service::{Answer, Fate, Service};
use serde_json::{Value, json};

const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

#[tokio::test]
async fn a_beacon_that_is_not_configured_ends_and_names_the_variable() {
    let error = capture::run(&IMPRESSIONS).await.unwrap_err();
    assert!(error.to_string().contains("DELIVERY_STREAM_NAME"), "{error}");
}

#[tokio::test]
async fn a_beacon_counts_what_it_refuses() {
    if std::env::var_os(RUNTIME_API).is_some() {
        return capture::run(&IMPRESSIONS).await.unwrap();
    }
    let request = json!({
        "httpMethod": "POST", "path": "/impressions", "resource": "/impressions", "headers": {}, "multiValueHeaders": {},
        "queryStringParameters": null, "multiValueQueryStringParameters": null, "pathParameters": null,
        "stageVariables": null, "body": "{\"impressions\":[{}]}", "isBase64Encoded": false,
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "httpMethod": "POST", "identity": {}, "path": "/impressions",
            "protocol": "HTTP/1.1", "requestId": "request", "resourceId": "resource", "resourcePath": "/impressions",
            "stage": "v1",
        },
    });
    let headers = vec![
        ("lambda-runtime-aws-request-id", "request"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:beacon"),
    ];
    let invocation = Answer { headers, ..Answer::json(200, &request.to_string()) };
    let lambda = Service::start([Fate::Answer(invocation), Fate::Answer(Answer::json(202, "{}")), Fate::Silence]);
    let firehose = Service::start([Fate::Answer(Answer::json(400, r#"{"__type":"InvalidArgumentException"}"#))]);
    let mut beacon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_beacon_counts_what_it_refuses", "--nocapture"])
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &firehose.url),
            (RUNTIME_API, lambda.url.trim_start_matches("http://")),
            ("AWS_LAMBDA_FUNCTION_NAME", "beacon"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("DELIVERY_STREAM_NAME", "impressions"),
            ("ALLOWED_ORIGINS", "*"),
            ("METRIC_NAMESPACE", "N"),
            ("STACK_NAME", "w"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it asks for another invocation.
    while lambda.requests().len() < 3 {
        assert_eq!(beacon.try_wait().unwrap(), None, "it ended");
        sleep(Duration::from_millis(10));
    }
    beacon.kill().unwrap();
    let output = beacon.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&lambda.requests()[1].body).unwrap();
    let answer: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(answer["failed_count"], 1, "{answer}");
    let logs = String::from_utf8(output.stdout).unwrap();
    let json = |line: &str| serde_json::from_str(&line[line.find('{')?..]).ok();
    let metrics: Vec<Value> = logs.lines().filter_map(json).collect();
    assert_eq!(metrics.len(), 1, "{logs}");
    assert_eq!((&metrics[0]["Reason"], &metrics[0]["RefusedEvents"]), (&json!("MissingField"), &json!(1)), "{logs}");
    // Nothing was to be stored, so nothing is warned of.
    let (_, behind) = logs.split_once("RefusedEvents").unwrap();
    assert!(!behind.contains("WARN"), "{logs}");
}
