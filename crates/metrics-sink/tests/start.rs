//! The built function, between Lambda's runtime API and CloudWatch.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use faulty_service::function::{Invoked, invoke};
use faulty_service::{Answer, Fate, Service};
use serde_json::{Value, json};

const SINK: &str = env!("CARGO_BIN_EXE_metrics-sink");

/// The answer of CloudWatch when it accepts metrics: an empty map in CBOR.
fn taken() -> Answer {
    let headers = vec![("smithy-protocol", "rpc-v2-cbor")];
    Answer { status: 200, content_type: "application/cbor", body: vec![0xa0], headers }
}

/// The result of an invocation.
struct Outcome {
    /// The number of calls that CloudWatch received.
    calls: usize,
    /// The lines of the log that are JSON.
    logs: Vec<Value>,
}

/// Invokes the function with a batch of three events and a line that is not an event. The deadline is in 2100. Only the
/// name of the type `orders` is known. Every record must be returned unchanged.
fn invoked(stream: &str, fate: Fate) -> Outcome {
    let records = [("1", "eyJhIjoxfQp7ImEiOjJ9Cg=="), ("2", "aGVsbG8KeyJhIjozfQo=")];
    let event = json!({
        "invocationId": "invocation",
        "deliveryStreamArn": format!("arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}"),
        "region": "us-east-1",
        "records": records.map(|(id, data)| json!({"recordId": id, "data": data})),
    });
    let cloudwatch = Service::start([fate]);
    let variables = [("METRIC_NAMESPACE", "N"), ("STACK_NAME", "w")];
    let Invoked { answer, log } = invoke(&mut Command::new(SINK), &variables, &cloudwatch, &event.to_string());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let unchanged = records.map(|(id, data)| json!({"recordId": id, "result": "Ok", "data": data}));
    assert_eq!(answer, json!({"records": unchanged}));
    let logs = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
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
fn an_unconfigured_sink_exits_and_names_the_variable() {
    let output = Command::new(SINK).env_clear().output().unwrap();
    let logs = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && logs.contains("METRIC_NAMESPACE"), "{logs}");
}
