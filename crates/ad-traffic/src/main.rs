//! The Lambda function behind `GET /traffic/{ad-id}`.

use ad_traffic::{Context, handle};
use lambda_http::Error;
use lambda_support::environment::Process;
use lambda_support::{http, logging};

// A Lambda environment gets one request at a time, so a single thread is fastest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init(&Process);
    let context = Context::from_env().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    context.warm_up().await;
    let context = &context;
    http::run(move |request| handle(request, context)).await
}
