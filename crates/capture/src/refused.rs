//! Metrics of refused events, of which otherwise only their clients would know.

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, Utc};
use events::{BatchError, Event};
use lambda_support::environment::{Environment, EnvironmentError};
use serde_json::{Value, json};

/// The namespace of the metrics. Without it there are none.
const METRIC_NAMESPACE: &str = "METRIC_NAMESPACE";

/// The name of the stack, a dimension of the metrics.
const STACK_NAME: &str = "STACK_NAME";

/// The metric: how many events were refused. A body that is not a batch counts as one.
const METRIC: &str = "RefusedEvents";

/// The namespace and the stack of the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedMetrics {
    namespace: String,
    stack: String,
}

impl RefusedMetrics {
    /// Reads the environment. Without a namespace there are no metrics.
    pub(crate) fn from_env(environment: &impl Environment) -> Result<Option<Self>, EnvironmentError> {
        let Some(namespace) = environment.get(METRIC_NAMESPACE) else { return Ok(None) };
        Ok(Some(Self { namespace, stack: environment.required(STACK_NAME)? }))
    }

    /// The metrics of a batch: a line for each reason.
    pub(crate) fn of_events(&self, table: &str, events: &[Event], now: DateTime<Utc>) -> String {
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for refused in events.iter().filter_map(|event| event.as_ref().err()) {
            *counts.entry(refused.code().as_str()).or_default() += 1;
        }
        counts.iter().map(|(reason, count)| self.line(table, reason, *count, now)).collect()
    }

    /// The metric of a body that is not a batch.
    pub(crate) fn of_batch(&self, table: &str, error: &BatchError, now: DateTime<Utc>) -> String {
        self.line(table, error.code(), 1, now)
    }

    /// A line in CloudWatch's embedded metric format. It contains nothing that a client sent.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
    fn line(&self, table: &str, reason: &str, count: usize, now: DateTime<Utc>) -> String {
        let line: Value = json!({
            "_aws": {
                "Timestamp": now.timestamp_millis(),
                "CloudWatchMetrics": [{
                    "Namespace": self.namespace,
                    "Dimensions": [["Stack", "Table"], ["Stack", "Table", "Reason"]],
                    "Metrics": [{"Name": METRIC, "Unit": "Count"}],
                }],
            },
            "Stack": self.stack,
            "Table": table,
            "Reason": reason,
            METRIC: count,
        });
        format!("{line}\n")
    }
}

/// Writes directly to standard output, so that metrics do not depend on the log level. A failure is ignored: a metric is not
/// worth a failed request.
pub(crate) fn log(lines: &str) {
    if !lines.is_empty() {
        let _ = std::io::stdout().lock().write_all(lines.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use events::{Batch, IMPRESSIONS};
    use uuid::Uuid;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn refused() -> RefusedMetrics {
        let environment: &[(&str, &str)] = &[(METRIC_NAMESPACE, "Ads"), (STACK_NAME, "shop")];
        RefusedMetrics::from_env(&environment).unwrap().unwrap()
    }

    #[test]
    fn metrics_need_a_namespace_and_then_also_a_stack_name() {
        let environment: &[(&str, &str)] = &[(STACK_NAME, "shop")];
        assert_eq!(RefusedMetrics::from_env(&environment), Ok(None));
        let environment: &[(&str, &str)] = &[(METRIC_NAMESPACE, "Ads")];
        assert_eq!(RefusedMetrics::from_env(&environment), Err(EnvironmentError::Missing(STACK_NAME)));
    }

    #[test]
    fn a_batch_has_one_line_per_reason_without_client_data() {
        let body = r#"{"impressions":[{"secret":1},7,{"secret":2},
            {"ad_id":"fc91623b-7c70-42a6-829b-29b0eb3d61de","occurred_at":"2026-11-20 11:59:58"}]}"#;
        let batch = Batch::parse(&IMPRESSIONS, body.as_bytes(), now(), Uuid::nil).unwrap();
        let lines = refused().of_events("impressions", batch.events(), now());
        assert!(!lines.contains("secret"), "{lines}");
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let counts: Vec<_> = lines.iter().map(|line| (line["Reason"].as_str().unwrap(), &line[METRIC])).collect();
        assert_eq!(counts, [("NotAnObject", &json!(1)), ("UnknownField", &json!(2))]);
        assert_eq!(
            lines[0],
            json!({
                "_aws": {
                    "Timestamp": 1_795_176_000_000_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Ads",
                        "Dimensions": [["Stack", "Table"], ["Stack", "Table", "Reason"]],
                        "Metrics": [{"Name": "RefusedEvents", "Unit": "Count"}],
                    }],
                },
                "Stack": "shop",
                "Table": "impressions",
                "Reason": "NotAnObject",
                "RefusedEvents": 1,
            })
        );
    }

    #[test]
    fn a_batch_without_a_refused_event_has_no_line() {
        assert_eq!(refused().of_events("impressions", &[], now()), "");
    }

    #[test]
    fn a_body_that_is_not_a_batch_counts_as_one() {
        let error = Batch::parse(&IMPRESSIONS, b"{}", now(), Uuid::nil).unwrap_err();
        let line: Value = serde_json::from_str(&refused().of_batch("impressions", &error, now())).unwrap();
        assert_eq!((&line["Reason"], &line[METRIC]), (&json!("InvalidBatch"), &json!(1)));
    }
}
