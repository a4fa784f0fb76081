//! The Lambda function that CodeDeploy calls before it shifts traffic.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambda_support::environment::Process;
use lambda_support::logging;
use pre_traffic::{Context, Hook, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init(&Process);
    let context = Context::from_env().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let context = &context;
    run(service_fn(move |event: LambdaEvent<Hook>| async move {
        handle(&event.payload, context).await.map_err(Error::from)
    }))
    .await
}
