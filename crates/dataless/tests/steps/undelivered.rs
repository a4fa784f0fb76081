//! Lines that Firehose set aside keep the ledger from balancing until they are restored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{NaiveDate, NaiveTime};
use serde_json::{Value, json};

use super::{column, dataless, days_ago, everything, run, text};

const AD: &str = "5e7a51de-0000-4000-8000-00000000000a";

pub fn lines_that_firehose_set_aside_are_taken_back_once() {
    let day = days_ago(8);
    put_error_object(day.parse().unwrap());
    run(&["etl", "--day", &day]);
    let open = dataless(&["ledger", "--day", &day]).output().unwrap();
    let advice = format!("cargo dataless replay --undelivered --day {day}");
    assert!(open.status.code() == Some(1) && text(&open).contains(&advice), "{}", text(&open));

    let replay =
        || -> Value { serde_json::from_str(&run(&["replay", "--undelivered", "--day", &day, "--json"])).unwrap() };
    let first = replay();
    assert_eq!(lines(&first), [("impressions", 1)], "{first}");
    assert_eq!(first["rerun"], json!({"from": day, "to": day}));
    run(&["batch", "--day", &day]);
    run(&["ledger", "--day", &day]);
    assert_eq!(column(&format!("SELECT impressions FROM ad_traffic WHERE ad_id = '{AD}'")), ["1".to_owned()].into());

    let before = everything();
    assert_eq!(lines(&replay()), []);
    run(&["batch", "--day", &day]);
    assert_eq!(everything(), before);
}

/// The number of restored lines per event type.
fn lines(report: &Value) -> Vec<(&str, u64)> {
    let lines = report["lines"].as_object().unwrap();
    let lines = lines.iter().map(|(name, count)| (name.as_str(), count.as_u64().unwrap()));
    lines.filter(|(_, count)| *count > 0).collect()
}

/// Writes an error object with one impression, in the format of Firehose. The emulator's Firehose never writes one.
fn put_error_object(day: NaiveDate) {
    let line = format!(
        "{{\"impression_id\":\"5e7a51de-0000-4000-8000-000000000001\",\"ad_id\":\"{AD}\",\"occurred_at\":\"{day} 10:00:00.000\"}}\n"
    );
    let received = day.and_time(NaiveTime::from_hms_opt(10, 0, 1).unwrap()).and_utc().timestamp_millis();
    let record = json!({
        "attemptsMade": 301,
        "arrivalTimestamp": received,
        "errorCode": "Lambda.InvokeLimitExceeded",
        "errorMessage": "The Lambda concurrency limit was exceeded.",
        "attemptEndingTimestamp": received + 18_000_000,
        "rawData": BASE64_STANDARD.encode(line),
        "lambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:dataless-metrics-sink:live",
    });
    let status: Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
    let (endpoint, bucket) = (&status["endpoint_url"], &status["outputs"]["DataLakeBucket"]);
    let folder = day.format("year=%Y/month=%m/day=%d/hour=10");
    let key = format!("data/raw-errors/impressions/processing-failed/{folder}/dataless-impressions-1");
    let url = format!("{}/{}/{key}", endpoint.as_str().unwrap(), bucket.as_str().unwrap());
    let config = ureq::Agent::config_builder().proxy(None).build();
    ureq::Agent::new_with_config(config).put(url).send(format!("{record}\n")).unwrap();
}
