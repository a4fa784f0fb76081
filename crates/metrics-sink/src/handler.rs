//! One batch: counted, and handed back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::context::Context;
use crate::count::{Counts, count};
use crate::error::SinkError;
use crate::event::{Answer, AnswerRecord, Event, Record};
use crate::metrics::{
    MAX_NAME_BYTES, MAX_VALUE, MAX_VALUES_PER_METRIC, Metric, Metrics, STACK_DIMENSION, calls, is_time_taken,
};
use crate::recent::fingerprint;

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
    let now = (context.clock)();
    let left = deadline.duration_since(now).unwrap_or_default().saturating_sub(TIME_TO_ANSWER);
    let answer = match Event::parse(payload)? {
        Event::Firehose { delivery_stream_arn, records } => {
            count_and_publish(&delivery_stream_arn, &records, now, left, context).await;
            unchanged(&records)
        }
        Event::Analytics { records } => deliver(&records, now, left, context).await,
    };
    Ok(to_raw_value(&answer)?)
}

fn unchanged<'a>(records: &[Record<'a>]) -> Answer<'a> {
    let records = records.iter();
    let records = records.map(|record| AnswerRecord { record_id: record.record_id, result: "Ok", data: record.data });
    Answer { records: records.collect() }
}

async fn count_and_publish<M: Metrics>(
    delivery_stream_arn: &str,
    records: &[Record<'_>],
    now: SystemTime,
    left: Duration,
    context: &Context<M>,
) {
    let minutes = count(context.event_type_of(delivery_stream_arn), records, now);
    let Some(name) = context.metric_of(delivery_stream_arn) else {
        tracing::error!(stream = delivery_stream_arn, "no metric is known for this delivery stream");
        return report_failure(context, "UnknownStream", events_of(&minutes));
    };
    let batch = fingerprint(delivery_stream_arn, records);
    if context.recent.contains(batch) {
        let events = events_of(&minutes);
        return tracing::warn!(events, metric = name, "a batch came again: its events are counted already");
    }
    let metrics: Vec<Metric> = minutes.iter().flat_map(|(&at, counts)| metrics_of(&name, at, *counts)).collect();
    match publish(&metrics, left, context).await {
        Ok(()) => context.recent.remember(batch),
        Err(Unpublished { code, from }) => {
            tracing::error!(code, metric = name, "counts were not published");
            let lost = metrics[from..].iter().filter(|metric| metric.name == name);
            report_failure(context, &name, lost.flat_map(|metric| &metric.values).map(|(value, _)| value).sum());
        }
    }
}

fn events_of(minutes: &BTreeMap<i64, Counts>) -> f64 {
    // Counts are far below 2^53: nothing is lost on the way to a double.
    minutes.values().map(|counts| counts.events as f64).sum()
}

fn metrics_of(name: &str, at: i64, counts: Counts) -> impl Iterator<Item = Metric> {
    let metric = move |name: String, count: u64| Metric::single(name, at, count as f64);
    let events = (counts.events > 0).then(|| metric(name.to_owned(), counts.events));
    let malformed = (counts.malformed > 0).then(|| metric(format!("Malformed{name}"), counts.malformed));
    events.into_iter().chain(malformed)
}

/// Metrics that CloudWatch did not take: those from an index on.
struct Unpublished {
    code: String,
    from: usize,
}

async fn publish<M: Metrics>(metrics: &[Metric], left: Duration, context: &Context<M>) -> Result<(), Unpublished> {
    let taken = AtomicUsize::new(0);
    let all = async {
        for call in calls(metrics) {
            context.metrics.publish(call).await.map_err(|error| error.to_string())?;
            taken.fetch_add(call.len(), Ordering::Relaxed);
        }
        Ok(())
    };
    let published = tokio::time::timeout(left, all).await.unwrap_or_else(|_| Err("Timeout".to_owned()));
    published.map_err(|code| Unpublished { code, from: taken.load(Ordering::Relaxed) })
}

/// Writes the failure as a metric into the log, where CloudWatch Logs finds it.
fn report_failure<M>(context: &Context<M>, metric: &str, uncounted_events: f64) {
    let now = (context.clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let line = serde_json::json!({
        "_aws": {
            "Timestamp": u64::try_from(now).unwrap_or(u64::MAX),
            "CloudWatchMetrics": [{
                "Namespace": context.namespace,
                "Dimensions": [[STACK_DIMENSION]],
                "Metrics": [{"Name": "SinkFailures", "Unit": "Count"}, {"Name": "UncountedEvents", "Unit": "Count"}],
            }],
        },
        STACK_DIMENSION: context.stack,
        "SinkFailures": 1,
        "UncountedEvents": uncounted_events,
        "metric": metric,
    });
    println!("{line}");
}

/// A metric as an analytics application writes it.
#[derive(Debug, Deserialize)]
struct AnalyticsMetric {
    namespace: String,
    name: String,
    /// Seconds since 1970.
    at: i64,
    value: f64,
}

async fn deliver<'a, M: Metrics>(
    records: &[Record<'a>],
    now: SystemTime,
    left: Duration,
    context: &Context<M>,
) -> Answer<'a> {
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let read: Vec<Option<AnalyticsMetric>> =
        records.iter().map(|record| read_metric(record, &context.namespace, now)).collect();
    let Merged { metrics, place } = merge(&read);
    // The application sends failed records again, and a metric that was taken must not be sent twice: each record is
    // answered for by the call that its value was in.
    let taken = match publish(&metrics, left, context).await {
        Ok(()) => metrics.len(),
        Err(Unpublished { code, from }) => {
            tracing::error!(code, "metrics of the application were not published");
            from
        }
    };
    let records = records.iter().zip(place).map(|(record, place)| AnswerRecord {
        record_id: record.record_id,
        result: if place.is_some_and(|place| place < taken) { "Ok" } else { "DeliveryFailed" },
        data: None,
    });
    Answer { records: records.collect() }
}

/// The metric of a record, when it is ours and CloudWatch will take it. It refuses a whole call for one bad metric.
fn read_metric(record: &Record<'_>, namespace: &str, now: i64) -> Option<AnalyticsMetric> {
    let data = base64_simd::STANDARD.decode_to_vec(record.base64()?.as_bytes()).ok()?;
    // serde_json does not look at the text of members that nothing reads, and what is no UTF-8 is no JSON.
    let metric: AnalyticsMetric = serde_json::from_str(std::str::from_utf8(&data).ok()?).ok()?;
    let name = metric.name.as_str();
    let has_good_name = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !name.starts_with(':')
        && !name.trim().is_empty();
    if metric.namespace != namespace
        || !has_good_name
        || metric.value.abs() > MAX_VALUE
        || !is_time_taken(metric.at, now)
    {
        tracing::warn!(namespace = metric.namespace, name, at = metric.at, "a metric is not ours to publish");
        return None;
    }
    Some(metric)
}

/// Metrics with all their values, and which of them each record went into.
struct Merged {
    metrics: Vec<Metric>,
    place: Vec<Option<usize>>,
}

/// Gathers the values of the same name and time into one metric: the sum stays what it is, and so do the number of samples,
/// the least and the greatest.
fn merge(read: &[Option<AnalyticsMetric>]) -> Merged {
    let mut metrics: Vec<Metric> = Vec::new();
    // Where the values of a name and time go, and the value at which place; bits, for a double is no key.
    let mut open: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    let mut values: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    let place = read.iter().map(|metric| {
        let AnalyticsMetric { name, at, value, .. } = metric.as_ref()?;
        let mut index = *open.entry((name, *at)).or_insert(metrics.len());
        if let Some(&known) = values.get(&(index, value.to_bits())) {
            metrics[index].values[known].1 += 1.0;
            return Some(index);
        }
        if metrics.get(index).is_some_and(|metric| metric.values.len() == MAX_VALUES_PER_METRIC) {
            index = metrics.len();
            open.insert((name, *at), index);
        }
        if index == metrics.len() {
            metrics.push(Metric { name: name.clone(), at: *at, values: Vec::new() });
        }
        values.insert((index, value.to_bits()), metrics[index].values.len());
        metrics[index].values.push((*value, 1.0));
        Some(index)
    });
    let place = place.collect();
    Merged { metrics, place }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use lambda_support::service::ServiceError;
    use serde_json::{Value, json};

    use super::*;

    /// Keeps what is published. From the call `fails_from` on it refuses; or it hangs.
    struct Memory {
        published: Mutex<Vec<Metric>>,
        calls: AtomicUsize,
        fails_from: usize,
        hangs: bool,
    }

    impl Default for Memory {
        fn default() -> Self {
            Self { published: Mutex::default(), calls: AtomicUsize::new(0), fails_from: usize::MAX, hangs: false }
        }
    }

    impl Memory {
        fn failing_from(call: usize) -> Self {
            Self { fails_from: call, ..Self::default() }
        }
    }

    impl Metrics for Memory {
        async fn publish(&self, metrics: &[Metric]) -> Result<(), ServiceError> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            if self.calls.fetch_add(1, Ordering::Relaxed) >= self.fails_from {
                return Err(ServiceError { code: "Throttling".into(), message: String::new(), retryable: true });
            }
            self.published.lock().unwrap().extend_from_slice(metrics);
            Ok(())
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_176_042)
    }

    /// A minute that is five minutes ago.
    fn minute() -> i64 {
        1_795_176_000 - 300
    }

    fn context(metrics: Memory) -> Context<Memory> {
        Context { clock: now, ..Context::new(metrics, "Warehouse/Advertising".into(), "w".into()) }
    }

    fn record(id: &str, at: i64, data: &str) -> Value {
        json!({"recordId": id, "approximateArrivalTimestamp": at * 1000 + 17, "data": BASE64_STANDARD.encode(data)})
    }

    fn event(stream: &str, records: &[Value]) -> String {
        let arn = format!("arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}");
        json!({
            "invocationId": "i", "region": "us-east-1", "sourceKinesisStreamArn": null,
            "deliveryStreamArn": arn, "records": records,
        })
        .to_string()
    }

    /// The line of a click, which has all that an impression must have, too.
    fn line(note: &str) -> String {
        const ID: &str = "0192d3c4-9a5b-7c6d-8e7f-001122334455";
        let event = json!({
            "click_id": ID, "impression_id": ID, "ad_id": ID, "occurred_at": "2026-11-20 11:59:58.000", "note": note,
        });
        format!("{event}\n")
    }

    fn firehose(stream: &str, minute: i64) -> String {
        let records = [
            record("1", minute, &line("1").repeat(2)),
            record("2", minute + 60, &format!("{}hello\n", line("3"))),
            record("3", minute, &line("\u{e9}")),
        ];
        event(stream, &records)
    }

    async fn answer(payload: &str, context: &Context<Memory>) -> Box<RawValue> {
        handle(payload, now() + Duration::from_secs(30), context).await.unwrap()
    }

    async fn answered(payload: &str, context: &Context<Memory>) -> Value {
        serde_json::from_str(answer(payload, context).await.get()).unwrap()
    }

    fn published(context: &Context<Memory>) -> Vec<Metric> {
        context.metrics.published.lock().unwrap().clone()
    }

    fn single(name: &str, at: i64, value: f64) -> Metric {
        Metric { name: name.to_owned(), at, values: vec![(value, 1.0)] }
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
        let minute = minute();
        let payload = firehose("w-clicks", minute);
        let context = context(Memory::default());
        assert_unchanged(&payload, &answered(&payload, &context).await);
        let expected = [
            single("Clicks", minute, 3.0),
            single("Clicks", minute + 60, 1.0),
            single("MalformedClicks", minute + 60, 1.0),
        ];
        assert_eq!(published(&context), expected);
        assert_eq!(context.metrics.calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn each_event_type_is_counted_by_its_own_name() {
        let minute = minute();
        let payload = firehose("w-order-items", minute);
        let context = context(Memory::default());
        assert_unchanged(&payload, &answered(&payload, &context).await);
        let names: Vec<String> = published(&context).into_iter().map(|metric| metric.name).collect();
        assert_eq!(names, ["OrderItems", "OrderItems", "MalformedOrderItems"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_cloudwatch_does_the_records_come_back() {
        let payload = firehose("w-impressions", minute());
        for metrics in [Memory::failing_from(0), Memory { hangs: true, ..Memory::default() }] {
            let context = context(metrics);
            assert_unchanged(&payload, &answered(&payload, &context).await);
        }
    }

    #[tokio::test]
    async fn whatever_the_records_are_they_come_back_as_they_were_written() {
        let context = context(Memory::default());
        let records = r#"{"recordId":7,"data":"%%%"},{"recordId":"\u0061","approximateArrivalTimestamp":1.5,"data":"e\/8="},{"recordId":"c","data":"","metadata":{}},{"recordId":"d"}"#;
        let payload = format!(r#"{{"records":[{records}],"deliveryStreamArn":"a/w-clicks"}}"#);
        let expected = r#"{"records":[{"recordId":7,"result":"Ok","data":"%%%"},{"recordId":"\u0061","result":"Ok","data":"e\/8="},{"recordId":"c","result":"Ok","data":""},{"recordId":"d","result":"Ok"}]}"#;
        assert_eq!(answer(&payload, &context).await.get(), expected);
        let metrics = context.metrics.published.lock().unwrap();
        assert_eq!(
            metrics.iter().map(|metric| (metric.name.as_str(), metric.values[0].0)).collect::<Vec<_>>(),
            [("MalformedClicks", 3.0)]
        );
    }

    #[tokio::test]
    async fn a_batch_that_comes_again_is_counted_once() {
        let minute = minute();
        let payload = firehose("w-clicks", minute);
        let context = context(Memory::default());
        assert_unchanged(&payload, &answered(&payload, &context).await);
        let once = published(&context);
        assert_unchanged(&payload, &answered(&payload, &context).await);
        assert_eq!(published(&context), once);
        // The same events under other ids are other events.
        answered(&payload.replace("\"recordId\":\"1\"", "\"recordId\":\"4\""), &context).await;
        assert_eq!(published(&context).len(), 2 * once.len());
    }

    #[tokio::test]
    async fn a_batch_that_was_not_counted_is_counted_when_it_comes_again() {
        let minute = minute();
        let payload = firehose("w-clicks", minute);
        let mut context = context(Memory::failing_from(0));
        answered(&payload, &context).await;
        assert_eq!(published(&context), []);
        context.metrics = Memory::default();
        answered(&payload, &context).await;
        assert_eq!(published(&context).len(), 3);
    }

    #[tokio::test]
    async fn records_of_an_unknown_stream_come_back_uncounted() {
        let payload = firehose("other", minute());
        let context = context(Memory::default());
        assert_unchanged(&payload, &answered(&payload, &context).await);
        assert_eq!(published(&context), []);
    }

    #[tokio::test]
    async fn an_empty_batch_is_answered_without_a_call() {
        let payload = json!({"deliveryStreamArn": "a/w-clicks", "records": []}).to_string();
        let context = context(Memory::default());
        assert_eq!(answered(&payload, &context).await, json!({"records": []}));
        assert_eq!(context.metrics.calls.load(Ordering::Relaxed), 0);
    }

    /// What Lambda takes from a caller, and gives back to it.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
    const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

    #[tokio::test]
    async fn a_batch_at_lambdas_limit_comes_back_within_it() {
        let minute = minute();
        let line = line("");
        let lines = 150;
        let data = line.repeat(lines);
        let one = record(&"4".repeat(56), minute, &data);
        let room = MAX_PAYLOAD_BYTES - event("w-impressions", &[]).len();
        let count = room / (one.to_string().len() + 1);
        let payload = event("w-impressions", &vec![one; count]);
        assert!(payload.len() > MAX_PAYLOAD_BYTES - 60_000 && payload.len() <= MAX_PAYLOAD_BYTES, "{}", payload.len());
        let context = context(Memory::default());
        let answer = answer(&payload, &context).await;
        assert!(answer.get().len() <= MAX_PAYLOAD_BYTES, "{}", answer.get().len());
        assert_unchanged(&payload, &serde_json::from_str(answer.get()).unwrap());
        assert_eq!(published(&context), [single("Impressions", minute, (count * lines) as f64)]);
    }

    #[tokio::test]
    async fn an_event_of_no_known_kind_is_an_error() {
        let context = context(Memory::default());
        let both = "{\"deliveryStreamArn\":\"a/w-clicks\",\"applicationArn\":\"b\",\"records\":[]}";
        for payload in
            ["", "{}", "[]", "{\"Records\":[]}", both, "{\"deliveryStreamArn\":\"a\",\"records\":[{\"data\":\"\"}]}"]
        {
            assert!(handle(payload, now(), &context).await.is_err(), "{payload}");
        }
    }

    fn analytics(values: &[Value]) -> String {
        let record = |(id, value): (usize, &Value)| {
            json!({
                "recordId": id.to_string(), "lambdaDeliveryRecordMetadata": {"retryHint": 0},
                "data": BASE64_STANDARD.encode(value.to_string()),
            })
        };
        let records: Vec<Value> = values.iter().enumerate().map(record).collect();
        let arn = "arn:aws:kinesisanalytics:us-east-1:000000000000:application/a";
        json!({"invocationId": "i", "applicationArn": arn, "records": records}).to_string()
    }

    fn value(name: &str, at: i64, value: f64) -> Value {
        json!({"namespace": "Warehouse/Advertising", "name": name, "at": at, "value": value})
    }

    fn results(answer: &Value) -> Vec<String> {
        let records = answer["records"].as_array().unwrap().iter();
        records.map(|record| record["result"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn an_applications_metrics_are_answered_for_one_by_one() {
        let minute = minute();
        let mut foreign = value("Clicks", minute, 1.0);
        foreign["namespace"] = "AWS/Lambda".into();
        let values = [
            value("Clicks", minute, 7.0),
            json!("no metric"),
            foreign,
            value("Clicks", minute - 15 * 86_400, 1.0),
            value("Clicks", minute + 3 * 3_600, 1.0),
            value("Clicks", minute, 1e109),
            value(&"n".repeat(256), minute, 1.0),
            value("", minute, 1.0),
            value(":Clicks", minute, 1.0),
            value("Impressions", minute, 8.0),
        ];
        let good = context(Memory::default());
        let answer = answered(&analytics(&values), &good).await;
        let (ok, failed) = ("Ok", "DeliveryFailed");
        assert_eq!(results(&answer), [ok, failed, failed, failed, failed, failed, failed, failed, failed, ok]);
        assert!(answer["records"][0].get("data").is_none());
        assert_eq!(published(&good), [single("Clicks", minute, 7.0), single("Impressions", minute, 8.0)]);
        let failing = context(Memory::failing_from(0));
        assert_eq!(results(&answered(&analytics(&values), &failing).await), ["DeliveryFailed"; 10]);
    }

    #[test]
    fn a_metric_beside_text_that_is_not_utf_8_is_none() {
        let now = minute();
        let text = value("Clicks", now, 1.0).to_string().replace('{', r#"{"note":"?","#);
        for (note, is_taken) in [(b'?', true), (0xca, false)] {
            let bytes: Vec<u8> = text.bytes().map(|byte| if byte == b'?' { note } else { byte }).collect();
            let data = BASE64_STANDARD.encode(bytes);
            let record = json!({"recordId": "0", "data": data}).to_string();
            let record: Record<'_> = serde_json::from_str(&record).unwrap();
            assert_eq!(read_metric(&record, "Warehouse/Advertising", now).is_some(), is_taken);
        }
    }

    #[tokio::test]
    async fn values_of_a_minute_go_into_one_metric_with_their_counts() {
        let minute = minute();
        let values = [5.0, 2.0, 5.0].map(|count| value("Clicks", minute, count));
        let context = context(Memory::default());
        answered(&analytics(&values), &context).await;
        let expected = Metric { name: "Clicks".to_owned(), at: minute, values: vec![(5.0, 2.0), (2.0, 1.0)] };
        assert_eq!(published(&context), [expected]);
    }

    #[tokio::test]
    async fn the_151st_value_of_a_minute_begins_another_metric() {
        let minute = minute();
        let values: Vec<Value> = (0..=MAX_VALUES_PER_METRIC).map(|n| value("Clicks", minute, n as f64)).collect();
        let context = context(Memory::default());
        assert_eq!(results(&answered(&analytics(&values), &context).await), ["Ok"; MAX_VALUES_PER_METRIC + 1]);
        let lengths: Vec<usize> = published(&context).iter().map(|metric| metric.values.len()).collect();
        assert_eq!(lengths, [MAX_VALUES_PER_METRIC, 1]);
    }

    #[tokio::test]
    async fn of_two_calls_the_records_of_the_one_that_was_taken_are_ok() {
        let minute = minute();
        let values: Vec<Value> = (0..1_001).map(|n| value(&format!("M{n}"), minute, 1.0)).collect();
        let context = context(Memory::failing_from(1));
        let results = results(&answered(&analytics(&values), &context).await);
        assert!(results[..1_000].iter().all(|result| result == "Ok"));
        assert_eq!(results[1_000], "DeliveryFailed");
        assert_eq!(published(&context).len(), 1_000);
    }
}
