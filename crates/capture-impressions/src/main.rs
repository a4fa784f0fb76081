#![doc = include_str!("../README.md")]

use lambda_http::Error;

// One request at a time is all that a Lambda environment ever gets: one thread starts and runs fastest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    capture::run(&events::IMPRESSIONS).await
}
