//! CloudWatch's API, as far as dashboards need it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Metric;
use crate::local::aws::Aws;

/// The most metrics of one `GetMetricData`.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>
const MAX_QUERIES: usize = 500;

/// A metric, what of it, and by how much time.
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
    /// The values of metrics between two times, a map a query.
    fn points(&self, queries: &[Query], window: (i64, i64)) -> Result<Vec<Points>>;
    /// The metrics that a namespace has.
    fn list(&self, namespace: &str) -> Result<Vec<Metric>>;
    /// Alarms by ARN.
    fn alarms(&self) -> Result<Vec<Alarm>>;
}

/// The emulator.
#[derive(Clone, Debug)]
pub struct CloudWatch(pub Aws);

impl CloudWatch {
    /// Asks for expressions never: the emulator evaluates none.
    fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        self.0.call("monitoring", &format!("GraniteServiceVersion20100801.{operation}"), request)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NameValue {
    name: String,
    value: String,
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
            metric_data_results: Vec<Found>,
            next_token: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Found {
            id: String,
            timestamps: Vec<f64>,
            values: Vec<f64>,
        }
        let mut points = vec![Points::new(); queries.len()];
        for (part, queries) in queries.chunks(MAX_QUERIES).enumerate() {
            let asked: Vec<Value> = queries.iter().enumerate().map(|(index, query)| asked(index, query)).collect();
            let mut request = json!({"StartTime": start, "EndTime": end, "MetricDataQueries": asked});
            loop {
                let answer: Answer = serde_json::from_value(self.call("GetMetricData", &request)?)
                    .context("the answer of GetMetricData is not understood")?;
                for found in answer.metric_data_results {
                    let index: Option<usize> = found.id.strip_prefix('q').and_then(|index| index.parse().ok());
                    let index = index.context("GetMetricData answers what was not asked")?;
                    let times = found.timestamps.iter().map(|at| *at as i64);
                    points[part * MAX_QUERIES + index].extend(times.zip(found.values));
                }
                let Some(token) = answer.next_token else { break };
                request["NextToken"] = token.into();
            }
        }
        Ok(points)
    }

    fn list(&self, namespace: &str) -> Result<Vec<Metric>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            metrics: Vec<Listed>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listed {
            namespace: String,
            metric_name: String,
            #[serde(default)]
            dimensions: Vec<NameValue>,
        }
        let answer: Answer = serde_json::from_value(self.call("ListMetrics", &json!({"Namespace": namespace}))?)
            .context("the answer of ListMetrics is not understood")?;
        let metrics = answer.metrics.into_iter().map(|listed| Metric {
            namespace: listed.namespace,
            name: listed.metric_name,
            dimensions: listed.dimensions.into_iter().map(|dimension| (dimension.name, dimension.value)).collect(),
        });
        Ok(metrics.collect())
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
                .context("the answer of DescribeAlarms is not understood")?;
            alarms.extend(answer.metric_alarms);
            let Some(token) = answer.next_token else { return Ok(alarms) };
            request["NextToken"] = token.into();
        }
    }
}

fn asked(index: usize, query: &Query) -> Value {
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
