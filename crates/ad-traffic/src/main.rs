//! The Lambda behind `GET /traffic/{ad-id}`.

use ad_traffic::{Context, handle};
use lambda_http::{Error, service_fn};
use lambda_support::environment::Process;
use lambda_support::logging;

// One request at a time is all that a Lambda environment ever gets: one thread starts and runs fastest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init(&Process);
    let context = Context::from_env().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    context.warm_up().await;
    let context = &context;
    lambda_http::run(service_fn(move |request| async move { Ok::<_, Error>(handle(request, context).await) })).await
}
