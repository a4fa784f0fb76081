//! A beacon as Lambda runs it. The test binary starts itself again as the function.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use events::IMPRESSIONS;
use faulty_service::function::{Invoked, RUNTIME_API, invoke};
use faulty_service::{Answer, Fate, Service};
use serde_json::{Value, json};

#[tokio::test]
async fn an_unconfigured_beacon_exits_and_names_the_variable() {
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
    let firehose = Service::start([Fate::Answer(Answer::json(400, r#"{"__type":"InvalidArgumentException"}"#))]);
    let mut beacon = Command::new(std::env::current_exe().unwrap());
    beacon.args(["--exact", "a_beacon_counts_what_it_refuses", "--nocapture"]);
    let variables = [
        ("DELIVERY_STREAM_NAME", "impressions"),
        ("ALLOWED_ORIGINS", "*"),
        ("METRIC_NAMESPACE", "N"),
        ("STACK_NAME", "w"),
    ];
    let Invoked { answer, log } = invoke(&mut beacon, &variables, &firehose, &request.to_string());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let answer: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(answer["failed_count"], 1, "{answer}");
    let json = |line: &str| serde_json::from_str(&line[line.find('{')?..]).ok();
    let metrics: Vec<Value> = log.lines().filter_map(json).collect();
    assert_eq!(metrics.len(), 1, "{log}");
    assert_eq!((&metrics[0]["Reason"], &metrics[0]["RefusedEvents"]), (&json!("MissingField"), &json!(1)), "{log}");
    // There was no event to store, so there is no warning.
    let (_, behind) = log.split_once("RefusedEvents").unwrap();
    assert!(!behind.contains("WARN"), "{log}");
}
