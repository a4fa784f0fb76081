//! CloudWatch behind a narrow trait.

use std::future::Future;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};

use crate::error::PublishError;

/// The most metrics of one `PutMetricData`.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub const MAX_METRICS_PER_CALL: usize = 1_000;

/// A value of a metric at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The metric's name.
    pub name: String,
    /// Seconds since 1970.
    pub at: i64,
    /// The value, a count.
    pub value: f64,
}

/// Takes metrics, up to [`MAX_METRICS_PER_CALL`] a call.
pub trait Metrics: Send + Sync {
    /// Publishes the metrics, all or none.
    fn publish(&self, metrics: &[Metric]) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// CloudWatch.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
    namespace: String,
}

impl CloudWatch {
    pub(crate) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }
}

impl Metrics for CloudWatch {
    async fn publish(&self, metrics: &[Metric]) -> Result<(), PublishError> {
        let data = metrics.iter().map(|metric| {
            MetricDatum::builder()
                .metric_name(&metric.name)
                .timestamp(DateTime::from_secs(metric.at))
                .value(metric.value)
                .unit(StandardUnit::Count)
                .build()
        });
        let call = self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data.collect()));
        call.send().await.map(|_| ()).map_err(|error| publish_error(&error))
    }
}

fn publish_error(error: &SdkError<PutMetricDataError>) -> PublishError {
    let on_the_way = match error {
        SdkError::TimeoutError(_) => "Timeout",
        SdkError::DispatchFailure(_) => "Dispatch",
        SdkError::ResponseError(_) => "Response",
        _ => "Unknown",
    };
    PublishError {
        code: error.code().unwrap_or(on_the_way).to_owned(),
        message: error.message().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::error::ErrorMetadata;
    use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataOutput;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    fn cloudwatch(rule: &aws_smithy_mocks::Rule) -> CloudWatch {
        CloudWatch::new(
            mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, [rule]),
            "Warehouse/Advertising".to_owned(),
        )
    }

    fn metric() -> Metric {
        Metric { name: "Clicks".into(), at: 1_763_640_000, value: 3.0 }
    }

    #[tokio::test]
    async fn a_metric_goes_out_as_a_count_at_its_minute() {
        let rule = mock!(Client::put_metric_data)
            .match_requests(|request| {
                let data = request.metric_data();
                request.namespace() == Some("Warehouse/Advertising")
                    && data.len() == 1
                    && data[0].metric_name() == Some("Clicks")
                    && data[0].timestamp() == Some(&DateTime::from_secs(1_763_640_000))
                    && data[0].value() == Some(3.0)
                    && data[0].unit() == Some(&StandardUnit::Count)
                    && data[0].dimensions().is_empty()
            })
            .then_output(|| PutMetricDataOutput::builder().build());
        assert_eq!(cloudwatch(&rule).publish(&[metric()]).await, Ok(()));
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_code() {
        let rule = mock!(Client::put_metric_data).then_error(|| {
            PutMetricDataError::generic(ErrorMetadata::builder().code("Throttling").message("No.").build())
        });
        let error = cloudwatch(&rule).publish(&[metric()]).await.unwrap_err();
        assert_eq!(error, PublishError { code: "Throttling".into(), message: "No.".into() });
    }
}
