//! One configuration for every AWS client.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// How long opening a connection, TLS included, may take. Within a Region it takes milliseconds; what needs a second
/// will not come.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one call may take. Firehose and DynamoDB answer in tens of milliseconds; after this a new try on a new
/// connection has better chances than more patience.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The configuration that the Lambda environment gives: its credentials and Region, and `AWS_ENDPOINT_URL` when set.
///
/// Retries are off: they belong to the caller, who knows which part of a batch failed and how much time is left.
pub async fn config() -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    aws_config::defaults(BehaviorVersion::latest())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
        )
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}
