//! What `metrics-sink` reads: raw lines, and the events of the two kinds that call it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fastrand::Rng;
use metrics_sink::{Context, Metric, SinkError};
use serde_json::Value;
use serde_json::value::RawValue;

use super::bodies::support::{READINGS, Type, random};
use crate::stores::{Published, Runtime};
use crate::{Target, mutate, oracle};

const NAMESPACE: &str = "Warehouse/Advertising";

/// The function, with a memory for CloudWatch.
struct Sink {
    runtime: Runtime,
    context: Context<Published>,
    calls: u64,
}

impl Default for Sink {
    fn default() -> Self {
        let context = Context::new(Published::default(), NAMESPACE.to_owned(), "w".to_owned());
        Self { runtime: Runtime::default(), context, calls: 0 }
    }
}

impl Sink {
    /// The answer to an event, and what was published because of it.
    fn call(&mut self, payload: &str) -> Result<(Box<RawValue>, Vec<Metric>), SinkError> {
        // A batch that comes again is counted once: other cases are other batches.
        self.calls += 1;
        if self.calls.is_multiple_of(64) {
            self.context = Context::new(Published::default(), NAMESPACE.to_owned(), "w".to_owned());
        }
        let deadline = SystemTime::now() + Duration::from_secs(3_600);
        let answer = self.runtime.run(metrics_sink::handle(payload, deadline, &self.context));
        answer.map(|answer| (answer, self.context.metrics().take()))
    }
}

/// The sum of what was published under each name.
fn sums(metrics: &[Metric]) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::new();
    for metric in metrics {
        let sum: f64 = metric.values.iter().map(|(value, count)| value * count).sum();
        *sums.entry(metric.name.as_str()).or_default() += sum;
    }
    sums
}

/// What a stream of bytes must count as: lines that are events, and others.
fn expected(data: &[u8], unread: usize) -> BTreeMap<&'static str, f64> {
    let text = data.strip_suffix(b"\n").unwrap_or(data);
    let lines: Vec<&[u8]> = if data.is_empty() { Vec::new() } else { text.split(|byte| *byte == b'\n').collect() };
    let events = lines.iter().filter(|line| oracle::is_object(line)).count();
    let others = lines.len() - events + unread;
    [("Readings", events), ("MalformedReadings", others)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name, count as f64))
        .collect()
}

/// Raw lines, as a beacon writes them or not.
fn lines(rng: &mut Rng, readings: &Type) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..rng.usize(1..4) {
        if mutate::one_in(rng, 4) {
            data.extend_from_slice(b"\xef\xbb\xbf".repeat(rng.usize(..3)).as_slice());
        }
        let oddness = [0.0, 0.1][rng.usize(..2)];
        let mut line = match rng.u8(..8) {
            0 => mutate::junk(rng, &mutate::JSON),
            1 => {
                let depth = rng.usize(1..400);
                let (open, close) = if rng.bool() { ("[", "]") } else { ("{\"a\":", "}") };
                let inside = if open == "[" { "" } else { "1" };
                format!("{{\"a\":{}{inside}{}}}", open.repeat(depth), close.repeat(depth)).into_bytes()
            }
            2 => {
                let digits = rng.usize(1..2_000);
                format!("{{\"n\":{}}}", "70".repeat(digits)).into_bytes()
            }
            _ => random::event(rng, &readings.model, oddness).written.replace('\n', " ").into_bytes(),
        };
        mutate::damage(rng, &mut line, &mutate::JSON);
        data.append(&mut line);
        if !mutate::one_in(rng, 10) {
            data.push(b'\n');
        }
    }
    data
}

/// A transformation's event with these records, each of which has its data in base64.
fn firehose(id: u64, records: &[String]) -> String {
    let mut payload = String::from(
        r#"{"invocationId":"i","deliveryStreamArn":"arn:aws:firehose:r:0:deliverystream/w-readings","region":"r","records":["#,
    );
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    for (number, data) in records.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            payload,
            r#"{comma}{{"recordId":"{id}-{number}","approximateArrivalTimestamp":{at},"data":"{data}"}}"#
        );
    }
    payload + "]}"
}

/// Raw lines, whose fate must be that of `docs/lake.md`.
pub struct Lines {
    sink: Sink,
    readings: Type,
}

impl Default for Lines {
    fn default() -> Self {
        Self { sink: Sink::default(), readings: Type::new("readings", READINGS) }
    }
}

impl Target for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        lines(rng, &self.readings)
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let payload = firehose(self.sink.calls, &[BASE64_STANDARD.encode(input)]);
        let (_, metrics) = self.sink.call(&payload).unwrap_or_else(|error| panic!("{error}"));
        let (found, expected) = (sums(&metrics), expected(input, 0));
        assert_eq!(found, expected);
        found.contains_key("Readings")
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 32)
    }
}

/// Events of a transformation.
pub struct Firehose {
    sink: Sink,
    readings: Type,
    made: u64,
}

impl Default for Firehose {
    fn default() -> Self {
        Self { sink: Sink::default(), readings: Type::new("readings", READINGS), made: 0 }
    }
}

impl Target for Firehose {
    fn name(&self) -> &'static str {
        "firehose"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        self.made += 1;
        let mut data = lines(rng, &self.readings);
        // Records end anywhere, also within lines.
        let mut records = Vec::new();
        for _ in 0..rng.usize(..3) {
            let rest = data.split_off(rng.usize(..=data.len()));
            records.push(std::mem::replace(&mut data, rest));
        }
        records.push(data);
        let mut records: Vec<String> = records.iter().map(|data| BASE64_STANDARD.encode(data)).collect();
        if mutate::one_in(rng, 10) {
            let odd = rng.usize(..records.len());
            records[odd] = ["%", "e30", "e30=\\n", "\\u0065\\u0033\\u0030=", "e30K"][rng.usize(..5)].to_owned();
        }
        let mut payload = firehose(self.made, &records).into_bytes();
        if mutate::one_in(rng, 3) {
            mutate::damage(rng, &mut payload, &mutate::JSON);
        }
        payload
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Ok(payload) = std::str::from_utf8(input) else { return false };
        let Ok((answer, metrics)) = self.sink.call(payload) else { return false };
        assert!(oracle::is_json(answer.get().as_bytes()) || !oracle::is_json(input), "{}", answer.get());
        // What a plain reader of JSON can't read, such as a number beyond a double, is not compared.
        let (Ok(event), Ok(answer)) =
            (serde_json::from_str::<Value>(payload), serde_json::from_str::<Value>(answer.get()))
        else {
            return false;
        };
        if event["deliveryStreamArn"].is_string() {
            check_transformation(&event, &answer, &metrics);
        }
        true
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 128)
    }
}

fn check_transformation(event: &Value, answer: &Value, metrics: &[Metric]) {
    let records = event["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let answered = answer["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(answered.len(), records.len());
    let (mut data, mut unread) = (Vec::new(), 0);
    for (record, answer) in records.iter().zip(answered) {
        assert_eq!((&answer["recordId"], &answer["result"]), (&record["recordId"], &Value::from("Ok")));
        assert_eq!(
            answer.get("data"),
            record.get("data").filter(|data| !data.is_null() || answer.get("data").is_some())
        );
        match record["data"].as_str().map(|text| BASE64_STANDARD.decode(text)) {
            Some(Ok(mut bytes)) => data.append(&mut bytes),
            _ => unread += 1,
        }
    }
    if event["deliveryStreamArn"].as_str().is_some_and(|arn| arn.rsplit('/').next() == Some("w-readings")) {
        assert_eq!(sums(metrics), expected(&data, unread));
    }
}

/// Events of an analytics application.
#[derive(Default)]
pub struct Analytics {
    sink: Sink,
}

impl Target for Analytics {
    fn name(&self) -> &'static str {
        "analytics"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut records = Vec::new();
        for number in 0..rng.usize(..5) {
            let names = if mutate::one_in(rng, 4) { 5 } else { 2 };
            let name = ["Clicks", "Impressions", "", ":a", "\\u00e9"][rng.usize(..names)];
            let good = if mutate::one_in(rng, 4) { 8 } else { 3 };
            let value = ["1", "7.5", "-3", "1e300", "0.1", "1e999", "true", "\"7\""][rng.usize(..good)];
            let at = if mutate::one_in(rng, 8) { rng.u64(..) } else { now };
            let mut metric =
                format!(r#"{{"namespace":"{NAMESPACE}","name":"{name}","at":{at},"value":{value}}}"#).into_bytes();
            mutate::damage(rng, &mut metric, &mutate::JSON);
            records.push(format!(
                r#"{{"recordId":"{number}","lambdaDeliveryRecordMetadata":{{"retryHint":0}},"data":"{}"}}"#,
                BASE64_STANDARD.encode(metric)
            ));
        }
        let arn = "arn:aws:kinesisanalytics:us-east-1:000000000000:application/a";
        let mut payload =
            format!(r#"{{"invocationId":"i","applicationArn":"{arn}","records":[{}]}}"#, records.join(","))
                .into_bytes();
        if mutate::one_in(rng, 3) {
            mutate::damage(rng, &mut payload, &mutate::JSON);
        }
        payload
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Ok(payload) = std::str::from_utf8(input) else { return false };
        let Ok((answer, metrics)) = self.sink.call(payload) else { return false };
        let (Ok(event), Ok(answer)) =
            (serde_json::from_str::<Value>(payload), serde_json::from_str::<Value>(answer.get()))
        else {
            return false;
        };
        if event["deliveryStreamArn"].is_string() {
            return true;
        }
        let records = event["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        let answered = answer["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(answered.len(), records.len());
        let mut count = 0.0;
        for (record, answer) in records.iter().zip(answered) {
            assert_eq!(record["recordId"], answer["recordId"]);
            if answer["result"] == "Ok" {
                let data =
                    record["data"].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok()).unwrap_or_default();
                let metric: Value =
                    serde_json::from_slice(&data).unwrap_or_else(|error| panic!("an Ok of no metric: {error}"));
                assert!(
                    metric["value"].as_f64().is_some_and(f64::is_finite) && metric["namespace"] == NAMESPACE,
                    "{metric}"
                );
                count += 1.0;
            } else {
                assert_eq!(answer["result"], "DeliveryFailed");
            }
        }
        let published: f64 = metrics.iter().flat_map(|metric| &metric.values).map(|(_, count)| count).sum();
        assert_eq!(published, count, "{metrics:?}");
        count > 0.0
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 128)
    }
}
