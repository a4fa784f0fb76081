//! The configuration and clients of the function.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::config::retry::RetryConfig;
use events::EventType;
use lambda_support::environment::{Environment, EnvironmentError, Process};
use lambda_support::sdk::{self, SdkConfig};

use crate::metrics::{CloudWatch, Metrics};
use crate::recent::Recent;

const METRIC_NAMESPACE: &str = "METRIC_NAMESPACE";
const STACK_NAME: &str = "STACK_NAME";

/// A lost count cannot be recovered, and Firehose tolerates slow answers: three attempts with short waits.
const MAX_ATTEMPTS: u32 = 3;

/// The configuration and clients of the function.
#[derive(Debug)]
pub struct Context<M> {
    pub(crate) metrics: M,
    pub(crate) namespace: String,
    pub(crate) stack: String,
    pub(crate) recent: Recent,
    pub(crate) clock: fn() -> SystemTime,
}

/// The configuration of the client, with its retries.
pub(crate) fn with_retries(config: &SdkConfig) -> aws_sdk_cloudwatch::config::Builder {
    aws_sdk_cloudwatch::config::Builder::from(config)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_max_backoff(Duration::from_secs(1)))
}

impl Context<CloudWatch> {
    /// Reads the environment and creates the CloudWatch client.
    ///
    /// # Errors
    /// When a variable is missing; the error names it.
    pub fn from_env() -> Result<Self, EnvironmentError> {
        let namespace = Process.required(METRIC_NAMESPACE)?;
        let stack = Process.required(STACK_NAME)?;
        let config = with_retries(&sdk::config(&Process)?).build();
        let client = aws_sdk_cloudwatch::Client::from_conf(config);
        let metrics = CloudWatch::new(client, namespace.clone(), stack.clone());
        Ok(Self::new(metrics, namespace, stack))
    }
}

impl<M: Metrics> Context<M> {
    /// A context around any metrics service.
    pub fn new(metrics: M, namespace: String, stack: String) -> Self {
        Self { metrics, namespace, stack, recent: Recent::default(), clock: SystemTime::now }
    }

    /// The metrics service.
    pub const fn metrics(&self) -> &M {
        &self.metrics
    }

    /// The metric that counts the records of a delivery stream, by its ARN or its name: the stream of an event type is
    /// `<stack>-<type>`, and `dataless-order-items` counts as `OrderItems`. None for a stream of another name.
    pub(crate) fn metric_of(&self, delivery_stream_arn: &str) -> Option<String> {
        let event_type = self.type_name_of(delivery_stream_arn)?;
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !event_type.starts_with(|first: char| first.is_ascii_lowercase()) || !event_type.split('-').all(is_word) {
            return None;
        }
        let pascal = event_type.split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
        Some(pascal.collect())
    }

    /// The event type of a delivery stream, if it had a schema at build time.
    pub(crate) fn event_type_of(&self, delivery_stream_arn: &str) -> Option<&'static EventType> {
        let name = self.type_name_of(delivery_stream_arn)?.replace('-', "_");
        events::ALL.iter().copied().find(|event_type| event_type.name == name)
    }

    /// The part of a delivery stream's name after the name of the stack.
    fn type_name_of<'a>(&self, delivery_stream_arn: &'a str) -> Option<&'a str> {
        delivery_stream_arn.rsplit('/').next()?.strip_prefix(&self.stack)?.strip_prefix('-')
    }
}

#[cfg(test)]
mod tests {
    use lambda_support::service::ServiceError;

    use super::*;
    use crate::metrics::Metric;

    struct Nowhere;

    impl Metrics for Nowhere {
        async fn publish(&self, _: &[Metric]) -> Result<(), ServiceError> {
            Ok(())
        }
    }

    #[test]
    fn a_delivery_stream_has_an_event_type_only_if_it_has_a_schema() {
        let context = Context::new(Nowhere, "N".into(), "data-less".into());
        let name = |stream: &str| context.event_type_of(stream).map(|event_type| event_type.name);
        assert_eq!(name("arn:aws:firehose:us-east-1:000000000000:deliverystream/data-less-clicks"), Some("clicks"));
        for stream in ["data-less-nothings", "data-less", "other-clicks"] {
            assert_eq!(name(stream), None, "{stream}");
        }
    }

    #[test]
    fn a_delivery_stream_counts_as_the_event_type_that_its_name_ends_with() {
        let context = Context::new(Nowhere, "N".into(), "data-less".into());
        let arn = "arn:aws:firehose:us-east-1:000000000000:deliverystream/";
        for (stream, metric) in [
            ("data-less-orders", Some("Orders")),
            ("data-less-order-items", Some("OrderItems")),
            ("data-less-v2-orders", Some("V2Orders")),
            ("data-less", None),
            ("data-less-", None),
            ("data-lessorders", None),
            ("data-less-2orders", None),
            ("data-less--orders", None),
            ("data-less-orders-", None),
            ("data-less-Orders", None),
            ("data-less-order_items", None),
            ("data-less-bestellungen-\u{fc}", None),
            ("other-orders", None),
        ] {
            assert_eq!(context.metric_of(stream).as_deref(), metric, "{stream}");
            assert_eq!(context.metric_of(&format!("{arn}{stream}")).as_deref(), metric, "{stream}");
        }
    }
}
