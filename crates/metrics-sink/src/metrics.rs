//! CloudWatch behind a narrow trait.

use std::future::Future;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use lambda_support::service::ServiceError;

/// The most metrics of one `PutMetricData`.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub const MAX_METRICS_PER_CALL: usize = 1_000;

/// The largest body of one `PutMetricData`. The SDK compresses bodies over 10 KB. Whether the limit applies before or after
/// compression is not documented, so it is applied before.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub const MAX_BODY_BYTES: usize = 1_000_000;

/// The most distinct values of one metric in a call, each with its count.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub const MAX_VALUES_PER_METRIC: usize = 150;

/// The longest name of a metric.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub const MAX_NAME_BYTES: usize = 255;

/// Values must lie within plus and minus this: 2^360.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub const MAX_VALUE: f64 = 2.348_542_582_773_833_3e108;

/// How old a metric may be: two weeks, minus a margin for the duration of a call.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
const MAX_AGE_SECONDS: i64 = 14 * 86_400 - 300;

/// How far in the future a metric may be: two hours, minus a margin for clock skew.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
const MAX_AHEAD_SECONDS: i64 = 2 * 3_600 - 300;

/// Namespace and framing of a call's body.
const CALL_BYTES: usize = 512;

/// Keys, time, unit and dimension of a metric in a call's body: the name of a stack has at most 128 characters.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html>
const METRIC_BYTES: usize = 96 + 32 + 128;

/// The dimension that keeps the metrics of two warehouses in one account and Region apart.
pub const STACK_DIMENSION: &str = "Stack";

/// A value and its count in a call's body.
const VALUE_BYTES: usize = 18;

/// Whether CloudWatch accepts a metric of this time. It refuses a whole call for one that it does not.
pub(crate) fn is_time_accepted(at: i64, now: i64) -> bool {
    (now - MAX_AGE_SECONDS..=now.saturating_add(MAX_AHEAD_SECONDS)).contains(&at)
}

/// Values of a metric at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The metric's name.
    pub name: String,
    /// Seconds since 1970.
    pub at: i64,
    /// The values and how often each occurred; at most [`MAX_VALUES_PER_METRIC`].
    pub values: Vec<(f64, f64)>,
}

impl Metric {
    /// A single value.
    pub fn single(name: String, at: i64, value: f64) -> Self {
        Self { name, at, values: vec![(value, 1.0)] }
    }

    /// An upper bound of its length in the body of a call.
    fn max_body_bytes(&self) -> usize {
        METRIC_BYTES + self.name.len() + VALUE_BYTES * self.values.len()
    }
}

/// Splits metrics into as few calls as the limits allow, in their order.
pub fn calls(metrics: &[Metric]) -> impl Iterator<Item = &[Metric]> {
    let mut rest = metrics;
    std::iter::from_fn(move || {
        let mut bytes = CALL_BYTES;
        let fitting = rest.iter().take(MAX_METRICS_PER_CALL).take_while(|metric| {
            bytes += metric.max_body_bytes();
            bytes <= MAX_BODY_BYTES
        });
        // One metric always fits: 255 bytes of name and 150 values take some 3 KB.
        let (call, left) = rest.split_at(fitting.count().max(1).min(rest.len()));
        rest = left;
        (!call.is_empty()).then_some(call)
    })
}

/// Publishes metrics, as many per call as the limits allow.
pub trait Metrics: Send + Sync {
    /// Publishes the metrics, all or none.
    fn publish(&self, metrics: &[Metric]) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// CloudWatch.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
    namespace: String,
    stack: Dimension,
}

impl CloudWatch {
    pub(crate) fn new(client: Client, namespace: String, stack: String) -> Self {
        Self { client, namespace, stack: Dimension::builder().name(STACK_DIMENSION).value(stack).build() }
    }
}

impl Metrics for CloudWatch {
    async fn publish(&self, metrics: &[Metric]) -> Result<(), ServiceError> {
        let data = metrics.iter().map(|metric| datum(metric, &self.stack)).collect();
        let call = self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data));
        call.send().await.map(|_| ()).map_err(|error| ServiceError::from(&error))
    }
}

fn datum(metric: &Metric, stack: &Dimension) -> MetricDatum {
    let datum = MetricDatum::builder()
        .metric_name(&metric.name)
        .dimensions(stack.clone())
        .timestamp(DateTime::from_secs(metric.at))
        .unit(StandardUnit::Count);
    match metric.values[..] {
        [(value, 1.0)] => datum.value(value).build(),
        _ => {
            let (values, counts) = metric.values.iter().copied().unzip();
            datum.set_values(Some(values)).set_counts(Some(counts)).build()
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::config::{Credentials, Region};
    use aws_sdk_cloudwatch::error::ErrorMetadata;
    use aws_sdk_cloudwatch::operation::put_metric_data::{PutMetricDataError, PutMetricDataOutput};
    use aws_smithy_http_client::test_util::capture_request;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use proptest::prelude::*;

    use super::*;

    const NAMESPACE: &str = "Warehouse/Advertising";
    const STACK: &str = "dataless-main";
    const MINUTE: i64 = 1_763_640_000;

    fn cloudwatch(rule: &aws_smithy_mocks::Rule) -> CloudWatch {
        CloudWatch::new(
            mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, [rule]),
            NAMESPACE.to_owned(),
            STACK.to_owned(),
        )
    }

    #[tokio::test]
    async fn a_metric_goes_out_as_a_count_at_its_minute() {
        let rule = mock!(Client::put_metric_data)
            .match_requests(|request| {
                let data = request.metric_data();
                request.namespace() == Some(NAMESPACE)
                    && data.len() == 1
                    && data[0].metric_name() == Some("Clicks")
                    && data[0].timestamp() == Some(&DateTime::from_secs(MINUTE))
                    && data[0].value() == Some(3.0)
                    && data[0].unit() == Some(&StandardUnit::Count)
                    && data[0].values().is_empty()
                    && data[0].dimensions() == [Dimension::builder().name("Stack").value(STACK).build()]
            })
            .then_output(|| PutMetricDataOutput::builder().build());
        let metric = Metric::single("Clicks".into(), MINUTE, 3.0);
        assert_eq!(cloudwatch(&rule).publish(&[metric]).await, Ok(()));
    }

    #[tokio::test]
    async fn values_go_out_with_their_counts() {
        let rule = mock!(Client::put_metric_data)
            .match_requests(|request| {
                let data = request.metric_data();
                data[0].values() == [3.0, 5.0] && data[0].counts() == [1.0, 2.0] && data[0].value().is_none()
            })
            .then_output(|| PutMetricDataOutput::builder().build());
        let metric = Metric { name: "Clicks".into(), at: MINUTE, values: vec![(3.0, 1.0), (5.0, 2.0)] };
        assert_eq!(cloudwatch(&rule).publish(&[metric]).await, Ok(()));
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_code() {
        let rule = mock!(Client::put_metric_data).then_error(|| {
            PutMetricDataError::generic(ErrorMetadata::builder().code("Throttling").message("No.").build())
        });
        let error = cloudwatch(&rule).publish(&[Metric::single("Clicks".into(), MINUTE, 3.0)]).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("Throttling", "No."));
    }

    /// The length of the request body, and the `Content-Encoding`.
    async fn sent(metrics: &[Metric], compressed: bool) -> (usize, Option<String>) {
        let (client, requests) = capture_request(None);
        let config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version_latest()
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::for_tests())
            .http_client(client)
            .disable_request_compression(!compressed)
            .build();
        // The answer of the capturing client does not matter.
        let _ =
            CloudWatch::new(Client::from_conf(config), NAMESPACE.to_owned(), "s".repeat(128)).publish(metrics).await;
        let request = requests.expect_request();
        let encoding = request.headers().get("content-encoding").map(str::to_owned);
        (request.body().bytes().unwrap().len(), encoding)
    }

    fn largest(count: usize) -> Vec<Metric> {
        let values: Vec<(f64, f64)> = (0..MAX_VALUES_PER_METRIC).map(|value| (value as f64 + 0.1, 1e9 + 0.1)).collect();
        let metric =
            |at: usize| Metric { name: "m".repeat(MAX_NAME_BYTES), at: MINUTE + at as i64, values: values.clone() };
        (0..count).map(metric).collect()
    }

    #[tokio::test]
    async fn a_call_of_the_largest_metrics_stays_within_the_limit() {
        let metrics = largest(400);
        let calls: Vec<_> = calls(&metrics).collect();
        assert!(calls.len() > 1);
        let (bytes, encoding) = sent(calls[0], false).await;
        assert!((MAX_BODY_BYTES * 9 / 10..=MAX_BODY_BYTES).contains(&bytes), "{bytes} bytes");
        assert_eq!(encoding, None);
    }

    #[tokio::test]
    async fn a_call_of_the_most_metrics_goes_out_compressed_and_is_not_underestimated() {
        let metrics: Vec<_> = (0..MAX_METRICS_PER_CALL)
            .map(|at| Metric::single("Impressions".into(), MINUTE + at as i64 * 60, 1e6))
            .collect();
        let (bytes, _) = sent(&metrics, false).await;
        let estimate = CALL_BYTES + metrics.iter().map(Metric::max_body_bytes).sum::<usize>();
        assert!(bytes <= estimate, "{bytes} > {estimate}");
        let (compressed, encoding) = sent(&metrics, true).await;
        assert_eq!(encoding.as_deref(), Some("gzip"));
        assert!(compressed * 5 < bytes, "{compressed} of {bytes}");
    }

    #[test]
    fn a_call_has_a_thousand_metrics_and_not_one_more() {
        let metric = Metric::single("Clicks".into(), MINUTE, 1.0);
        for (count, expected) in [(0, vec![]), (1_000, vec![1_000]), (1_001, vec![1_000, 1])] {
            let metrics = vec![metric.clone(); count];
            assert_eq!(calls(&metrics).map(<[Metric]>::len).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn times_are_taken_up_to_the_limits() {
        for (at, expected) in [
            (0, true),
            (-MAX_AGE_SECONDS, true),
            (-MAX_AGE_SECONDS - 1, false),
            (MAX_AHEAD_SECONDS, true),
            (MAX_AHEAD_SECONDS + 1, false),
        ] {
            assert_eq!(is_time_accepted(MINUTE + at, MINUTE), expected, "{at}");
        }
    }

    proptest! {
        #[test]
        fn calls_leave_nothing_out(sizes in proptest::collection::vec((1_usize..=MAX_VALUES_PER_METRIC, 1_usize..=MAX_NAME_BYTES), 0..2_500)) {
            let metrics: Vec<Metric> = sizes.iter().enumerate().map(|(at, (values, name))| Metric {
                name: "m".repeat(*name), at: at as i64, values: vec![(1.0, 2.0); *values],
            }).collect();
            let split: Vec<&[Metric]> = calls(&metrics).collect();
            prop_assert_eq!(&split.concat(), &metrics);
            for call in split {
                prop_assert!(call.len() <= MAX_METRICS_PER_CALL);
                prop_assert!(CALL_BYTES + call.iter().map(Metric::max_body_bytes).sum::<usize>() <= MAX_BODY_BYTES);
            }
        }
    }

    #[test]
    fn the_limits_are_two_weeks_back_and_two_hours_ahead_less_five_minutes() {
        for (at, expected) in [(-1_209_300, true), (-1_209_301, false), (6_900, true), (6_901, false)] {
            assert_eq!(is_time_accepted(MINUTE + at, MINUTE), expected, "{at}");
        }
    }
}
