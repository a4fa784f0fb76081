//! The Lambda function that counts events on their way through Firehose.

use std::time::{Duration, UNIX_EPOCH};

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambda_support::environment::Process;
use lambda_support::logging;
use metrics_sink::{Context, handle};
use serde_json::value::RawValue;

// A Lambda environment gets one batch at a time, so a single thread is fastest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init(&Process);
    let context = Context::from_env().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let context = &context;
    run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let deadline = UNIX_EPOCH + Duration::from_millis(event.context.deadline);
        handle(event.payload.get(), deadline, context).await.map_err(Error::from)
    }))
    .await
}
