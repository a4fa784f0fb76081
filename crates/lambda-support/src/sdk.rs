//! One configuration for every AWS client.

use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::environment::{Environment, EnvironmentError};

/// The time-out for opening a connection, TLS included. Within a Region it takes milliseconds; after a second, it will not
/// succeed.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The time-out for one attempt of a call. Firehose and DynamoDB answer in tens of milliseconds; after this time, a retry on
/// a new connection is more likely to succeed.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Set by Lambda.
const AWS_REGION_VARIABLE: &str = "AWS_REGION";

/// Another endpoint for all services, such as an emulator's.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";

/// The configuration from the Lambda environment: credentials, Region and, if it is set, another endpoint.
///
/// Lambda sets all of it in variables. The SDK's search through profiles, containers and instance metadata would find
/// nothing else, and would take most of the start-up time. Retries are off: the caller knows which part of a batch failed
/// and how much time is left.
///
/// # Errors
/// When the Region is not set.
pub fn config(environment: &impl Environment) -> Result<SdkConfig, EnvironmentError> {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let https = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(environment.required(AWS_REGION_VARIABLE)?))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .http_client(https)
        .sleep_impl(TokioSleep::new())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_endpoint_url(environment.get(ENDPOINT_VARIABLE));
    Ok(config.build())
}
