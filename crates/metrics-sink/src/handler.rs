//! One batch: counted, and handed back.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::context::Context;
use crate::count::{Counts, count};
use crate::error::SinkError;
use crate::event::{AnalyticsEvent, AnalyticsRecord, Answer, AnswerRecord, Event, FirehoseEvent};
use crate::metrics::{MAX_METRICS_PER_CALL, Metric, Metrics};

/// What of the invocation's time is kept for answering.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// Counts the events of a batch, publishes the counts, and answers for every record. `deadline` is when Lambda ends
/// the invocation.
///
/// # Errors
/// When the payload is no event of either kind. A failure of CloudWatch is no error for Firehose: it fails open.
pub async fn handle<M: Metrics>(
    payload: &str,
    deadline: SystemTime,
    context: &Context<M>,
) -> Result<Box<RawValue>, SinkError> {
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(TIME_TO_ANSWER);
    let answer = match Event::parse(payload)? {
        Event::Firehose(event) => {
            count_and_publish(&event, left, context).await;
            to_raw_value(&unchanged(&event))?
        }
        Event::Analytics(event) => to_raw_value(&deliver(&event, left, context).await)?,
    };
    Ok(answer)
}

fn unchanged<'a>(event: &'a FirehoseEvent<'_>) -> Answer<'a> {
    let records = event.records.iter();
    let records =
        records.map(|record| AnswerRecord { record_id: &record.record_id, result: "Ok", data: Some(&record.data) });
    Answer { records: records.collect() }
}

async fn count_and_publish<M: Metrics>(event: &FirehoseEvent<'_>, left: Duration, context: &Context<M>) {
    let minutes = count(&event.records);
    let Some(name) = context.metric_of(&event.delivery_stream_arn) else {
        tracing::error!(stream = %event.delivery_stream_arn, "no metric is known for this delivery stream");
        return report_failure(&context.namespace, "UnknownStream", &minutes);
    };
    let metrics: Vec<Metric> = minutes.iter().flat_map(|(&at, counts)| metrics_of(name, at, *counts)).collect();
    if let Err(code) = publish(&metrics, left, context).await {
        tracing::error!(code, metric = name, "the counts were not published");
        report_failure(&context.namespace, name, &minutes);
    }
}

fn metrics_of(name: &str, at: i64, counts: Counts) -> impl Iterator<Item = Metric> {
    // Counts are far below 2^53: nothing is lost on the way to a double.
    let metric = move |name: String, count: u64| Metric { name, at, value: count as f64 };
    let events = (counts.events > 0).then(|| metric(name.to_owned(), counts.events));
    let malformed = (counts.malformed > 0).then(|| metric(format!("Malformed{name}"), counts.malformed));
    events.into_iter().chain(malformed)
}

async fn publish<M: Metrics>(metrics: &[Metric], left: Duration, context: &Context<M>) -> Result<(), String> {
    let calls = async {
        for call in metrics.chunks(MAX_METRICS_PER_CALL) {
            context.metrics.publish(call).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    tokio::time::timeout(left, calls).await.unwrap_or_else(|_| Err("Timeout".to_owned()))
}

/// Writes the failure as a metric into the log, where CloudWatch Logs finds it.
fn report_failure(namespace: &str, metric: &str, minutes: &BTreeMap<i64, Counts>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let uncounted: u64 = minutes.values().map(|counts| counts.events).sum();
    let line = serde_json::json!({
        "_aws": {
            "Timestamp": u64::try_from(now).unwrap_or(u64::MAX),
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": [[]],
                "Metrics": [{"Name": "SinkFailures", "Unit": "Count"}, {"Name": "UncountedEvents", "Unit": "Count"}],
            }],
        },
        "SinkFailures": 1,
        "UncountedEvents": uncounted,
        "metric": metric,
    });
    println!("{line}");
}

/// A metric as an analytics application writes it.
#[derive(Deserialize)]
struct AnalyticsMetric {
    namespace: String,
    name: String,
    /// Seconds since 1970.
    at: i64,
    value: f64,
}

async fn deliver<'a, M: Metrics>(event: &'a AnalyticsEvent<'_>, left: Duration, context: &Context<M>) -> Answer<'a> {
    let read: Vec<Option<Metric>> =
        event.records.iter().map(|record| read_metric(record, &context.namespace)).collect();
    let metrics: Vec<Metric> = read.iter().flatten().cloned().collect();
    // All or none: the application sends failed records again, and a metric that was taken must not be sent twice.
    let published = match metrics.len() {
        0 => Ok(()),
        _ => publish(&metrics, left, context).await,
    };
    if let Err(code) = &published {
        tracing::error!(code, "the metrics of the application were not published");
    }
    let records = event.records.iter().zip(read).map(|(record, metric)| AnswerRecord {
        record_id: &record.record_id,
        result: if metric.is_some() && published.is_ok() { "Ok" } else { "DeliveryFailed" },
        data: None,
    });
    Answer { records: records.collect() }
}

fn read_metric(record: &AnalyticsRecord<'_>, namespace: &str) -> Option<Metric> {
    let data = BASE64_STANDARD.decode(record.data.as_bytes()).ok()?;
    let metric: AnalyticsMetric = serde_json::from_slice(&data).ok()?;
    if metric.namespace != namespace || metric.name.is_empty() || !metric.value.is_finite() {
        tracing::warn!(namespace = metric.namespace, name = metric.name, "a metric is not ours to publish");
        return None;
    }
    Some(Metric { name: metric.name, at: metric.at, value: metric.value })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::error::PublishError;

    #[derive(Default)]
    struct Memory {
        published: Mutex<Vec<Metric>>,
        fails: bool,
        hangs: bool,
    }

    impl Metrics for Memory {
        async fn publish(&self, metrics: &[Metric]) -> Result<(), PublishError> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            if self.fails {
                return Err(PublishError { code: "Throttling".into(), message: String::new() });
            }
            self.published.lock().unwrap().extend_from_slice(metrics);
            Ok(())
        }
    }

    const MINUTE: i64 = 1_763_640_000;

    fn context(metrics: Memory) -> Context<Memory> {
        Context::new(metrics, "Warehouse/Advertising".into(), "w-impressions".into(), "w-clicks".into())
    }

    fn firehose(stream: &str) -> String {
        let record = |id: &str, minute: i64, data: &str| json!({"recordId": id, "approximateArrivalTimestamp": minute * 1000 + 17, "data": BASE64_STANDARD.encode(data)});
        json!({
            "invocationId": "i", "region": "us-east-1", "sourceKinesisStreamArn": null,
            "deliveryStreamArn": format!("arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}"),
            "records": [
                record("1", MINUTE, "{\"a\":1}\n{\"a\":2}\n"),
                record("2", MINUTE + 60, "{\"a\":3}\nhello\n"),
                record("3", MINUTE, "{\"a\":\"\u{e9}\"}\n"),
            ],
        })
        .to_string()
    }

    async fn answered(payload: &str, context: &Context<Memory>) -> Value {
        let deadline = SystemTime::now() + Duration::from_secs(30);
        serde_json::from_str(handle(payload, deadline, context).await.unwrap().get()).unwrap()
    }

    fn published(context: &Context<Memory>) -> Vec<(String, i64, f64)> {
        let metrics = context.metrics.published.lock().unwrap();
        metrics.iter().map(|metric| (metric.name.clone(), metric.at, metric.value)).collect()
    }

    /// Every record is there, `Ok`, with the data that came.
    fn assert_unchanged(payload: &str, answer: &Value) {
        let came: Value = serde_json::from_str(payload).unwrap();
        let (came, went) = (came["records"].as_array().unwrap(), answer["records"].as_array().unwrap());
        assert_eq!(came.len(), went.len());
        for (came, went) in came.iter().zip(went) {
            assert_eq!(went, &json!({"recordId": came["recordId"], "result": "Ok", "data": came["data"]}));
        }
    }

    #[tokio::test]
    async fn events_are_counted_by_minute_and_records_come_back_unchanged() {
        let payload = firehose("w-clicks");
        let context = context(Memory::default());
        assert_unchanged(&payload, &answered(&payload, &context).await);
        let expected = [("Clicks", MINUTE, 3.0), ("Clicks", MINUTE + 60, 1.0), ("MalformedClicks", MINUTE + 60, 1.0)];
        assert_eq!(published(&context), expected.map(|(name, at, value)| (name.to_owned(), at, value)));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_cloudwatch_does_the_records_come_back() {
        let payload = firehose("w-impressions");
        for metrics in [Memory { fails: true, ..Memory::default() }, Memory { hangs: true, ..Memory::default() }] {
            let context = context(metrics);
            assert_unchanged(&payload, &answered(&payload, &context).await);
        }
    }

    #[tokio::test]
    async fn records_of_an_unknown_stream_come_back_uncounted() {
        let payload = firehose("other");
        let context = context(Memory::default());
        assert_unchanged(&payload, &answered(&payload, &context).await);
        assert_eq!(published(&context), []);
    }

    #[tokio::test]
    async fn an_empty_batch_is_answered() {
        let payload = json!({"deliveryStreamArn": "a/w-clicks", "records": []}).to_string();
        let context = context(Memory::default());
        assert_eq!(answered(&payload, &context).await, json!({"records": []}));
    }

    #[tokio::test]
    async fn an_event_of_no_known_kind_is_an_error() {
        let context = context(Memory::default());
        for payload in
            ["{}", "[]", "{\"Records\":[]}", "{\"deliveryStreamArn\":\"a\",\"records\":[{\"recordId\":\"1\"}]}"]
        {
            assert!(handle(payload, SystemTime::now(), &context).await.is_err(), "{payload}");
        }
    }

    fn analytics() -> String {
        let record = |id: &str, data: &str| json!({"recordId": id, "data": BASE64_STANDARD.encode(data)});
        let good =
            json!({"namespace": "Warehouse/Advertising", "name": "Clicks", "at": MINUTE, "value": 7}).to_string();
        json!({
            "invocationId": "i", "applicationArn": "arn:aws:kinesisanalytics:us-east-1:000000000000:application/a",
            "records": [record("1", &good), record("2", "no metric"), record("3", &good.replace("Warehouse", "AWS"))],
        })
        .to_string()
    }

    #[tokio::test]
    async fn an_applications_metrics_are_answered_for_one_by_one() {
        let results = |answer: &Value| {
            let records = answer["records"].as_array().unwrap().iter();
            records.map(|record| record["result"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let good = context(Memory::default());
        let answer = answered(&analytics(), &good).await;
        assert_eq!(results(&answer), ["Ok", "DeliveryFailed", "DeliveryFailed"]);
        assert_eq!(published(&good), [("Clicks".to_owned(), MINUTE, 7.0)]);
        let failing = context(Memory { fails: true, ..Memory::default() });
        assert_eq!(results(&answered(&analytics(), &failing).await), ["DeliveryFailed"; 3]);
    }
}
