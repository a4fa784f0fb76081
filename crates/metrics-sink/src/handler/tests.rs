use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lambda_support::service::ServiceError;
use serde_json::{Value, json};

use super::*;

/// Records the published metrics. Calls hang if `hangs` is set, or fail from number `fails_from` on.
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

/// The line of a click, which also has every required field of an impression.
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

/// Asserts that every record is returned as `Ok`, with the data that was sent.
fn assert_unchanged(payload: &str, answer: &Value) {
    let sent: Value = serde_json::from_str(payload).unwrap();
    let (sent, returned) = (sent["records"].as_array().unwrap(), answer["records"].as_array().unwrap());
    assert_eq!(sent.len(), returned.len());
    for (sent, returned) in sent.iter().zip(returned) {
        assert_eq!(returned, &json!({"recordId": sent["recordId"], "result": "Ok", "data": sent["data"]}));
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
async fn records_are_returned_whatever_cloudwatch_does() {
    let payload = firehose("w-impressions", minute());
    for metrics in [Memory::failing_from(0), Memory { hangs: true, ..Memory::default() }] {
        let context = context(metrics);
        assert_unchanged(&payload, &answered(&payload, &context).await);
    }
}

#[tokio::test]
async fn records_are_returned_exactly_as_written() {
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
async fn a_redelivered_batch_is_counted_once() {
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
async fn a_batch_that_was_not_counted_is_counted_on_redelivery() {
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

/// The largest payload of a synchronous call, and of its answer.
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
async fn analytics_metrics_are_acknowledged_one_by_one() {
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
fn a_metric_with_invalid_utf_8_in_another_field_is_refused() {
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
async fn only_records_of_the_successful_call_are_ok() {
    let minute = minute();
    let values: Vec<Value> = (0..1_001).map(|n| value(&format!("M{n}"), minute, 1.0)).collect();
    let context = context(Memory::failing_from(1));
    let results = results(&answered(&analytics(&values), &context).await);
    assert!(results[..1_000].iter().all(|result| result == "Ok"));
    assert_eq!(results[1_000], "DeliveryFailed");
    assert_eq!(published(&context).len(), 1_000);
}
