//! CloudWatch's API, as far as dashboards use it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Metric;

/// The most metrics of one `GetMetricData`.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>
const MAX_QUERIES: usize = 500;

/// A metric with a statistic and a period in seconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    pub metric: Metric,
    pub stat: String,
    pub period: i64,
}

/// Values by the start of their period.
pub type Points = BTreeMap<i64, f64>;

/// The state of an alarm.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    pub alarm_name: String,
    #[serde(default)]
    pub alarm_description: String,
    pub alarm_arn: String,
    pub state_value: String,
}

/// Where dashboards and metrics come from.
pub trait Source: Send + Sync {
    /// The body of a dashboard.
    fn dashboard(&self, name: &str) -> Result<String>;
    /// The values of metrics between two times, one map per query.
    fn points(&self, queries: &[Query], window: (i64, i64)) -> Result<Vec<Points>>;
    /// All metric alarms.
    fn alarms(&self) -> Result<Vec<Alarm>>;
}

type Call = dyn Fn(&str, &Value) -> Result<Value> + Send + Sync;

/// CloudWatch, or an emulator of it.
pub struct CloudWatch {
    call: Box<Call>,
}

impl CloudWatch {
    /// Calls CloudWatch by a function that takes the name of an operation and its request, in the form of the JSON
    /// protocol.
    pub fn new(call: impl Fn(&str, &Value) -> Result<Value> + Send + Sync + 'static) -> Self {
        Self { call: Box::new(call) }
    }

    fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        (self.call)(operation, request)
    }
}

impl Source for CloudWatch {
    fn dashboard(&self, name: &str) -> Result<String> {
        let answer = self.call("GetDashboard", &json!({"DashboardName": name}))?;
        let body = answer["DashboardBody"].as_str();
        body.map(str::to_owned).with_context(|| format!("the dashboard {name} has no body"))
    }

    fn points(&self, queries: &[Query], (start, end): (i64, i64)) -> Result<Vec<Points>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            metric_data_results: Vec<MetricData>,
            next_token: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct MetricData {
            id: String,
            timestamps: Vec<f64>,
            values: Vec<f64>,
        }
        let mut points = vec![Points::new(); queries.len()];
        for (part, queries) in queries.chunks(MAX_QUERIES).enumerate() {
            let data_queries: Vec<Value> =
                queries.iter().enumerate().map(|(index, query)| metric_data_query(index, query)).collect();
            let mut request = json!({"StartTime": start, "EndTime": end, "MetricDataQueries": data_queries});
            loop {
                let answer: Answer = serde_json::from_value(self.call("GetMetricData", &request)?)
                    .context("failed to read the answer of GetMetricData")?;
                for data in answer.metric_data_results {
                    let index: Option<usize> = data.id.strip_prefix('q').and_then(|index| index.parse().ok());
                    let index = index.context("GetMetricData returned a result that was not requested")?;
                    let times = data.timestamps.iter().map(|at| *at as i64);
                    points[part * MAX_QUERIES + index].extend(times.zip(data.values));
                }
                let Some(token) = answer.next_token else { break };
                request["NextToken"] = token.into();
            }
        }
        Ok(points)
    }

    fn alarms(&self) -> Result<Vec<Alarm>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            metric_alarms: Vec<Alarm>,
            next_token: Option<String>,
        }
        let mut alarms = Vec::new();
        let mut request = json!({"MaxRecords": 100});
        loop {
            let answer: Answer = serde_json::from_value(self.call("DescribeAlarms", &request)?)
                .context("failed to read the answer of DescribeAlarms")?;
            alarms.extend(answer.metric_alarms);
            let Some(token) = answer.next_token else { return Ok(alarms) };
            request["NextToken"] = token.into();
        }
    }
}

/// Only metrics: expressions are evaluated here, since the emulator evaluates none.
fn metric_data_query(index: usize, query: &Query) -> Value {
    let dimensions: Vec<Value> =
        query.metric.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    json!({
        "Id": format!("q{index}"),
        "MetricStat": {
            "Metric": {"Namespace": query.metric.namespace, "MetricName": query.metric.name, "Dimensions": dimensions},
            "Period": query.period,
            "Stat": query.stat,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn query(index: usize) -> Query {
        let metric = Metric { namespace: "N".into(), name: format!("M{index}"), dimensions: Vec::new() };
        Query { metric, stat: "Sum".into(), period: 60 }
    }

    /// A fake CloudWatch. The value of a metric is the number in its name. Each request has two pages: the first has
    /// the values at 60, and the second has those at 120.
    fn paged() -> (CloudWatch, Arc<Mutex<Vec<usize>>>) {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let cloudwatch = CloudWatch::new(move |operation, request| {
            assert_eq!(operation, "GetMetricData");
            let queries = request["MetricDataQueries"].as_array().unwrap();
            let is_second = request["NextToken"] == "more";
            let result = |query: &Value| {
                let name = query["MetricStat"]["Metric"]["MetricName"].as_str().unwrap();
                let value: f64 = name.trim_start_matches('M').parse().unwrap();
                let at = if is_second { 120 } else { 60 };
                json!({"Id": query["Id"], "Timestamps": [at], "Values": [value]})
            };
            let results: Vec<Value> = queries.iter().map(result).collect();
            if is_second {
                return Ok(json!({"MetricDataResults": results}));
            }
            seen.lock().unwrap().push(queries.len());
            Ok(json!({"MetricDataResults": results, "NextToken": "more"}))
        });
        (cloudwatch, sizes)
    }

    #[test]
    fn metrics_are_fetched_500_at_a_time_and_page_by_page() {
        for (count, expected) in [(1, vec![1]), (500, vec![500]), (501, vec![500, 1])] {
            let (cloudwatch, sizes) = paged();
            let queries: Vec<Query> = (0..count).map(query).collect();
            let points = cloudwatch.points(&queries, (0, 180)).unwrap();
            assert_eq!(*sizes.lock().unwrap(), expected);
            assert_eq!(points.len(), count);
            let last = (count - 1) as f64;
            assert_eq!(points[count - 1], Points::from([(60, last), (120, last)]));
        }
    }

    #[test]
    fn a_result_that_was_not_requested_is_an_error() {
        let answer = json!({"MetricDataResults": [{"Id": "x", "Timestamps": [], "Values": []}]});
        let cloudwatch = CloudWatch::new(move |_, _| Ok(answer.clone()));
        let error = cloudwatch.points(&[query(0)], (0, 180)).unwrap_err().to_string();
        assert!(error.contains("was not requested"), "{error}");
    }
}
