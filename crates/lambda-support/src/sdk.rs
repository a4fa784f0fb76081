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

/// How long opening a connection, TLS included, may take. Within a Region it takes milliseconds; what needs a second
/// will not come.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one call may take. Firehose and DynamoDB answer in tens of milliseconds; after this a new try on a new
/// connection has better chances than more patience.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Set by Lambda.
const AWS_REGION_VARIABLE: &str = "AWS_REGION";

/// Another endpoint for all services, such as an emulator's.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";

/// The configuration that the Lambda environment gives: its credentials and Region, and another endpoint when one is set.
///
/// Lambda gives all of it in variables. The SDK's search through profiles, containers and instance metadata would find
/// nothing else, and would be most of the binary's start-up. Retries are off: they belong to the caller, who knows which
/// part of a batch failed and how much time is left.
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
