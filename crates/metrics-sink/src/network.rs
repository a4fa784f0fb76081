//! Batches whose CloudWatch calls meet network faults. The SDK client is configured as in Lambda.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatch::config::Credentials;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use faulty_service::{Answer, Fate, Service};
use lambda_support::sdk;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::context::{Context, with_retries};
use crate::handler::handle;
use crate::metrics::{CloudWatch, Metric, Metrics};

/// The answer of CloudWatch when it accepts metrics: an empty map.
fn taken() -> Answer {
    Answer {
        status: 200,
        content_type: "application/cbor",
        body: vec![0xa0],
        headers: vec![("smithy-protocol", "rpc-v2-cbor")],
    }
}

/// An error of CloudWatch in CBOR: `{"__type": "InternalServiceFault"}`.
fn failed() -> Answer {
    let body = [b"\xa1\x66__type\x74".as_slice(), b"InternalServiceFault"].concat();
    let headers = vec![("smithy-protocol", "rpc-v2-cbor"), ("x-amzn-query-error", "InternalServiceError;Receiver")];
    Answer { status: 500, body, headers, ..taken() }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_176_042)
}

fn context(service: &Service) -> Context<CloudWatch> {
    let environment = [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", service.url.as_str())];
    let config = with_retries(&sdk::config(&environment.as_slice()).unwrap())
        .credentials_provider(Credentials::for_tests())
        .build();
    let metrics = CloudWatch::new(aws_sdk_cloudwatch::Client::from_conf(config), "N".to_owned(), "w".to_owned());
    Context { clock: now, ..Context::new(metrics, "N".to_owned(), "w".to_owned()) }
}

fn batch() -> String {
    let now = now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let record = |id: &str, lines: &str| json!({"recordId": id, "approximateArrivalTimestamp": now as u64, "data": BASE64_STANDARD.encode(lines)});
    json!({
        "invocationId": "invocation",
        "deliveryStreamArn": "arn:aws:firehose:us-east-1:000000000000:deliverystream/w-clicks",
        "region": "us-east-1",
        "records": [record("1", "{\"a\":1}\n"), record("2", "{\"a\":2}\n{\"a\":3}\n")],
    })
    .to_string()
}

/// Sends the batch to the function. Asserts that every record is returned unchanged.
async fn handed_over(batch: &str, context: &Context<CloudWatch>, time: Duration) {
    let answer = handle(batch, now() + time, context).await.unwrap();
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    let given: Value = serde_json::from_str(batch).unwrap();
    let unchanged = given["records"].as_array().unwrap().iter();
    let unchanged =
        unchanged.map(|record| json!({"recordId": record["recordId"], "result": "Ok", "data": record["data"]}));
    assert_eq!(answer["records"], unchanged.collect::<Value>());
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn counts_are_resent_until_cloudwatch_acknowledges_them() {
    let mut all = JoinSet::new();
    for fate in
        [Fate::LostAnswer, Fate::Truncate(taken()), Fate::Truncate(failed()), Fate::Answer(failed()), Fate::Silence]
    {
        all.spawn(async move {
            let service = Service::start([fate.clone(), Fate::Answer(taken())]);
            let context = context(&service);
            let batch = batch();
            handed_over(&batch, &context, LONG).await;
            let requests = service.requests();
            assert_eq!((requests.len(), service.unused()), (2, 0), "{fate:?}");
            // The second call may count the same metrics twice.
            assert_eq!(requests[0].body, requests[1].body);
            assert!(requests[0].body.windows(6).any(|bytes| bytes == b"Clicks"));
            // The counts were acknowledged, so the same batch is not counted again.
            handed_over(&batch, &context, LONG).await;
            assert_eq!(service.requests().len(), 2, "{fate:?}");
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_batch_whose_counts_were_lost_is_counted_on_redelivery() {
    let mut all = JoinSet::new();
    for fate in [Fate::LostAnswer, Fate::Cut, Fate::Truncate(taken()), Fate::Answer(failed())] {
        all.spawn(async move {
            let service = Service::start([fate.clone(), fate.clone(), fate.clone(), Fate::Answer(taken())]);
            let context = context(&service);
            let batch = batch();
            handed_over(&batch, &context, LONG).await;
            assert_eq!(service.unused(), 1, "three attempts: {fate:?}");
            handed_over(&batch, &context, LONG).await;
            assert_eq!(service.unused(), 0, "{fate:?}");
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn records_are_returned_before_the_deadline_if_cloudwatch_hangs() {
    let service = Service::start(vec![Fate::Silence; 3]);
    let end = Instant::now() + Duration::from_secs(2);
    handed_over(&batch(), &context(&service), Duration::from_secs(2)).await;
    assert!(Instant::now() < end);
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn a_network_failure_has_its_own_code() {
    for (fate, code) in [(Fate::Cut, "Dispatch"), (Fate::Truncate(taken()), "Response")] {
        let service = Service::start(vec![fate; 3]);
        let metric = Metric::single("Clicks".to_owned(), 1_763_640_000, 1.0);
        let error = context(&service).metrics.publish(&[metric]).await.unwrap_err();
        assert_eq!(error.code, code);
    }
}
