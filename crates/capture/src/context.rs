//! The configuration and clients of a capture function.

use std::time::Duration;

use chrono::{DateTime, Utc};
use events::EventType;
use lambda_support::environment::{Environment, EnvironmentError, Process};
use lambda_support::http::AllowedOrigins;
use lambda_support::sdk;

use crate::delivery::DeliveryStream;
use crate::firehose::Firehose;
use crate::packing::MAX_RECORD_BYTES;
use crate::refused::RefusedMetrics;

/// The name of the delivery stream that takes the events.
const DELIVERY_STREAM_NAME: &str = "DELIVERY_STREAM_NAME";

/// How long the first connection may delay the start. It saves the first request the TLS handshake; if the network does
/// not answer, a late start would help nobody.
const WARM_UP_LIMIT: Duration = Duration::from_secs(1);

/// The configuration and clients of a capture function.
#[derive(Debug)]
pub struct Context<S> {
    pub(crate) event_type: &'static EventType,
    pub(crate) stream: S,
    pub(crate) allowed_origins: AllowedOrigins,
    /// [`MAX_RECORD_BYTES`]; less in tests that need many records.
    pub(crate) max_record_bytes: usize,
    /// The metrics of refused events; none without a namespace.
    pub(crate) refused: Option<RefusedMetrics>,
    pub(crate) clock: fn() -> DateTime<Utc>,
}

impl Context<Firehose> {
    /// Reads the environment and creates the Firehose client.
    ///
    /// # Errors
    /// When a variable is missing; the error names it.
    pub fn from_env(event_type: &'static EventType) -> Result<Self, EnvironmentError> {
        let stream_name = Process.required(DELIVERY_STREAM_NAME)?;
        let allowed_origins = AllowedOrigins::from_env(&Process)?;
        let client = aws_sdk_firehose::Client::new(&sdk::config(&Process)?);
        let refused = RefusedMetrics::from_env(&Process)?;
        Ok(Self { refused, ..Self::new(event_type, Firehose::new(client, stream_name), allowed_origins) })
    }

    /// Opens the connection to Firehose during initialisation, when Lambda gives the function its full CPU.
    pub async fn warm_up(&self) {
        if tokio::time::timeout(WARM_UP_LIMIT, self.stream.connect()).await.is_err() {
            tracing::warn!("Firehose did not answer while starting: the first request opens the connection");
        }
    }
}

impl<S: DeliveryStream> Context<S> {
    /// A context around any delivery stream, without metrics of refused events.
    pub fn new(event_type: &'static EventType, stream: S, allowed_origins: AllowedOrigins) -> Self {
        Self { event_type, stream, allowed_origins, max_record_bytes: MAX_RECORD_BYTES, refused: None, clock: Utc::now }
    }

    /// The stream that takes the events.
    pub const fn stream(&self) -> &S {
        &self.stream
    }
}
