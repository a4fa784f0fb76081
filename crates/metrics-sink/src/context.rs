//! What the function needs to work.

use std::time::Duration;

use aws_sdk_cloudwatch::config::retry::RetryConfig;
use lambda_support::environment::{Environment, EnvironmentError, Process};
use lambda_support::sdk;

use crate::metrics::{CloudWatch, Metrics};
use crate::recent::Recent;

const METRIC_NAMESPACE: &str = "METRIC_NAMESPACE";
const STACK_NAME: &str = "STACK_NAME";
const IMPRESSIONS_DELIVERY_STREAM_NAME: &str = "IMPRESSIONS_DELIVERY_STREAM_NAME";
const CLICKS_DELIVERY_STREAM_NAME: &str = "CLICKS_DELIVERY_STREAM_NAME";

/// A lost count is gone for good, while Firehose waits for the function gladly: three tries with short waits.
const MAX_TRIES: u32 = 3;

/// What the function needs to work: where metrics go, and which stream brings what.
#[derive(Debug)]
pub struct Context<M> {
    pub(crate) metrics: M,
    pub(crate) namespace: String,
    pub(crate) stack: String,
    pub(crate) streams: [(String, &'static str); 2],
    pub(crate) recent: Recent,
}

impl Context<CloudWatch> {
    /// Reads the environment and makes the CloudWatch client.
    ///
    /// # Errors
    /// When a variable is missing; the error names it.
    pub fn from_env() -> Result<Self, EnvironmentError> {
        let namespace = Process.required(METRIC_NAMESPACE)?;
        let stack = Process.required(STACK_NAME)?;
        let impressions = Process.required(IMPRESSIONS_DELIVERY_STREAM_NAME)?;
        let clicks = Process.required(CLICKS_DELIVERY_STREAM_NAME)?;
        let config = aws_sdk_cloudwatch::config::Builder::from(&sdk::config(&Process)?)
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_TRIES).with_max_backoff(Duration::from_secs(1)))
            .build();
        let client = aws_sdk_cloudwatch::Client::from_conf(config);
        let metrics = CloudWatch::new(client, namespace.clone(), stack.clone());
        Ok(Self::new(metrics, namespace, stack, impressions, clicks))
    }
}

impl<M: Metrics> Context<M> {
    /// A context around any metrics.
    pub fn new(metrics: M, namespace: String, stack: String, impressions: String, clicks: String) -> Self {
        let streams = [(impressions, "Impressions"), (clicks, "Clicks")];
        Self { metrics, namespace, stack, streams, recent: Recent::default() }
    }

    /// The metric that counts the records of a delivery stream, by the last part of its ARN.
    pub(crate) fn metric_of(&self, delivery_stream_arn: &str) -> Option<&'static str> {
        let name = delivery_stream_arn.rsplit('/').next()?;
        self.streams.iter().find(|(stream, _)| stream == name).map(|(_, metric)| *metric)
    }
}
