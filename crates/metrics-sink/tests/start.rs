//! The built function, between Lambda's runtime API and CloudWatch.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use faulty_service::{Answer, Fate, Service};
use serde_json::{Value, json};

const SINK: &str = env!("CARGO_BIN_EXE_metrics-sink");

/// CloudWatch's answer when it took metrics: a map without entries, in CBOR.
fn taken() -> Answer {
    let headers = vec![("smithy-protocol", "rpc-v2-cbor")];
    Answer { status: 200, content_type: "application/cbor", body: vec![0xa0], headers }
}

/// What an invocation led to.
struct Outcome {
    /// How many calls CloudWatch got.
    calls: usize,
    /// The lines of the log that are JSON.
    logs: Vec<Value>,
}

/// One invocation, with time until 2100, of a batch with three events and a line that is not one. Of the type `orders` nothing
/// is known but its name. Every record must come back as it was.
fn invoked(stream: &str, fate: Fate) -> Outcome {
    let records = [("1", "eyJhIjoxfQp7ImEiOjJ9Cg=="), ("2", "aGVsbG8KeyJhIjozfQo=")];
    let event = json!({
        "invocationId": "invocation",
        "deliveryStreamArn": format!("arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}"),
        "region": "us-east-1",
        "records": records.map(|(id, data)| json!({"recordId": id, "data": data})),
    });
    let headers = vec![
        ("lambda-runtime-aws-request-id", "request"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:sink"),
    ];
    let invocation = Answer { headers, ..Answer::json(200, &event.to_string()) };
    let lambda = Service::start([Fate::Answer(invocation), Fate::Answer(Answer::json(202, "{}")), Fate::Silence]);
    let cloudwatch = Service::start([fate]);
    let mut sink = Command::new(SINK)
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &cloudwatch.url),
            ("AWS_LAMBDA_RUNTIME_API", lambda.url.trim_start_matches("http://")),
            ("AWS_LAMBDA_FUNCTION_NAME", "sink"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("METRIC_NAMESPACE", "N"),
            ("STACK_NAME", "w"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it asks for another invocation.
    while lambda.requests().len() < 3 {
        assert_eq!(sink.try_wait().unwrap(), None, "it ended");
        sleep(Duration::from_millis(10));
    }
    sink.kill().unwrap();
    let output = sink.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&lambda.requests()[1].body).unwrap();
    let unchanged = records.map(|(id, data)| json!({"recordId": id, "result": "Ok", "data": data}));
    assert_eq!(answer, json!({"records": unchanged}));
    let logs = String::from_utf8(output.stdout).unwrap();
    let logs = logs.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Outcome { calls: cloudwatch.requests().len(), logs }
}

#[test]
fn a_batch_is_counted_and_handed_back_before_the_deadline() {
    let Outcome { calls, logs } = invoked("w-orders", Fate::Answer(taken()));
    assert_eq!((calls, logs), (1, vec![]));
}

#[test]
fn events_that_were_not_counted_are_a_metric_in_the_log() {
    let refused = Answer { status: 400, ..taken() };
    for (stream, calls, metric) in [("w-orders", 1, "Orders"), ("other", 0, "UnknownStream")] {
        let outcome = invoked(stream, Fate::Answer(refused.clone()));
        assert_eq!((outcome.calls, outcome.logs.len()), (calls, 1), "{stream}: {:?}", outcome.logs);
        let mut line = outcome.logs[0].clone();
        assert!(line["_aws"]["Timestamp"].take().as_u64().unwrap() > 1_700_000_000_000);
        let metrics = json!([{"Name": "SinkFailures", "Unit": "Count"}, {"Name": "UncountedEvents", "Unit": "Count"}]);
        let expected = json!({
            "_aws": {
                "Timestamp": null,
                "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["Stack"]], "Metrics": metrics}],
            },
            "Stack": "w",
            "SinkFailures": 1,
            "UncountedEvents": 3.0,
            "metric": metric,
        });
        assert_eq!(line, expected);
    }
}

#[test]
fn a_sink_that_is_not_configured_ends_and_names_the_variable() {
    let output = Command::new(SINK).env_clear().output().unwrap();
    let logs = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && logs.contains("METRIC_NAMESPACE"), "{logs}");
}
