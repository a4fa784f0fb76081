#![doc = include_str!("../README.md")]

use lambda_http::Error;

// A Lambda environment gets one request at a time, so a single thread is fastest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    capture::run(&events::IMPRESSIONS).await
}
