//! Counts the events of a batch and returns its records.

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
    MAX_NAME_BYTES, MAX_VALUE, MAX_VALUES_PER_METRIC, Metric, Metrics, STACK_DIMENSION, calls, is_time_accepted,
};
use crate::recent::fingerprint;

/// The part of the invocation's time that is reserved for sending the answer.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// Counts the events of a batch, publishes the counts, and returns a result for every record. At `deadline`, Lambda ends the
/// invocation.
///
/// # Errors
/// When the payload is not an event of either kind. A failure of CloudWatch is not an error for Firehose: the function fails
/// open.
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
        return tracing::warn!(events, metric = name, "a batch was repeated: its events are counted already");
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
    // Counts are far below 2^53, so a double holds them exactly.
    minutes.values().map(|counts| counts.events as f64).sum()
}

fn metrics_of(name: &str, at: i64, counts: Counts) -> impl Iterator<Item = Metric> {
    let metric = move |name: String, count: u64| Metric::single(name, at, count as f64);
    let events = (counts.events > 0).then(|| metric(name.to_owned(), counts.events));
    let malformed = (counts.malformed > 0).then(|| metric(format!("Malformed{name}"), counts.malformed));
    events.into_iter().chain(malformed)
}

/// The metrics from an index on were not published.
struct Unpublished {
    code: String,
    from: usize,
}

async fn publish<M: Metrics>(metrics: &[Metric], left: Duration, context: &Context<M>) -> Result<(), Unpublished> {
    let published = AtomicUsize::new(0);
    let all = async {
        for call in calls(metrics) {
            context.metrics.publish(call).await.map_err(|error| error.to_string())?;
            published.fetch_add(call.len(), Ordering::Relaxed);
        }
        Ok(())
    };
    let result = tokio::time::timeout(left, all).await.unwrap_or_else(|_| Err("Timeout".to_owned()));
    result.map_err(|code| Unpublished { code, from: published.load(Ordering::Relaxed) })
}

/// Writes the failure to the log as a metric, from which CloudWatch Logs publishes it.
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

/// A metric in the form in which an analytics application sends it.
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
    let Merged { metrics, metric_of_record } = merge(&read);
    // The application sends failed records again, and a metric must not be published twice. The result of a record is
    // therefore the result of the call that its value was in.
    let published = match publish(&metrics, left, context).await {
        Ok(()) => metrics.len(),
        Err(Unpublished { code, from }) => {
            tracing::error!(code, "metrics of the application were not published");
            from
        }
    };
    let records = records.iter().zip(metric_of_record).map(|(record, metric)| AnswerRecord {
        record_id: record.record_id,
        result: if metric.is_some_and(|metric| metric < published) { "Ok" } else { "DeliveryFailed" },
        data: None,
    });
    Answer { records: records.collect() }
}

/// The metric of a record, if it is in our namespace and CloudWatch will accept it: it refuses a whole call for one invalid
/// metric.
fn read_metric(record: &Record<'_>, namespace: &str, now: i64) -> Option<AnalyticsMetric> {
    let data = base64_simd::STANDARD.decode_to_vec(record.base64()?.as_bytes()).ok()?;
    // JSON must be UTF-8, which serde_json does not check in members that are ignored.
    let metric: AnalyticsMetric = serde_json::from_str(std::str::from_utf8(&data).ok()?).ok()?;
    let name = metric.name.as_str();
    let has_good_name = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !name.starts_with(':')
        && !name.trim().is_empty();
    if metric.namespace != namespace
        || !has_good_name
        || metric.value.abs() > MAX_VALUE
        || !is_time_accepted(metric.at, now)
    {
        tracing::warn!(namespace = metric.namespace, name, at = metric.at, "a metric is not ours to publish");
        return None;
    }
    Some(metric)
}

/// The metrics with all their values, and the index of the metric that each record went into.
struct Merged {
    metrics: Vec<Metric>,
    metric_of_record: Vec<Option<usize>>,
}

/// Merges the values of the same name and time into one metric. Their sum, number, minimum and maximum stay the same.
fn merge(read: &[Option<AnalyticsMetric>]) -> Merged {
    let mut metrics: Vec<Metric> = Vec::new();
    // The metric to which values of a name and time are added, and the index of each value in it. The keys are the bits of
    // the values, since a double cannot be a key.
    let mut open: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    let mut values: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    let metric_of_record = read.iter().map(|metric| {
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
    let metric_of_record = metric_of_record.collect();
    Merged { metrics, metric_of_record }
}

#[cfg(test)]
mod tests;
