//! Requests whose Firehose calls meet network faults. The SDK client is configured as in Lambda.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_firehose::config::Credentials;
use chrono::{DateTime, Utc};
use events::IMPRESSIONS;
use faulty_service::{Answer, Fate, Service};
use lambda_http::http::header::RETRY_AFTER;
use lambda_http::{Body, Context as LambdaContext, Request, RequestExt, http};
use lambda_support::http::AllowedOrigins;
use lambda_support::sdk;
use serde_json::{Value, json};

use crate::context::Context;
use crate::delivery::DeliveryStream;
use crate::firehose::Firehose;
use crate::handler::handle;

const ID: &str = "0192d3c4-9a5b-7c6d-8e7f-001122334455";

/// The answer of Firehose after it stored the only record of a call.
fn taken() -> Answer {
    Answer::json(200, r#"{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[{"RecordId":"record-1"}]}"#)
}

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn context(service: &Service) -> Context<Firehose> {
    let environment = [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", service.url.as_str())];
    let config = aws_sdk_firehose::config::Builder::from(&sdk::config(&environment.as_slice()).unwrap())
        .credentials_provider(Credentials::for_tests())
        .build();
    let stream = Firehose::new(aws_sdk_firehose::Client::from_conf(config), "impressions".to_owned());
    let mut context = Context::new(&IMPRESSIONS, stream, AllowedOrigins::Any);
    context.clock = now;
    context
}

/// One event with its own id and one without.
fn request() -> Request {
    let event = json!({"ad_id": "fc91623b-7c70-42a6-829b-29b0eb3d61de", "occurred_at": "2026-11-20 11:59:58"});
    let mut known = event.clone();
    known["impression_id"] = ID.into();
    let body = json!({"impressions": [known, event]}).to_string();
    http::Request::post("/impressions").body(Body::from(body)).unwrap()
}

struct Outcome {
    status: u16,
    retry_after: bool,
    answer: Value,
    /// The events that Firehose received in each call.
    calls: Vec<Vec<Value>>,
}

async fn captured(request: Request, service: &Service) -> Outcome {
    let response = handle(request, &context(service)).await;
    let calls = service.requests().iter().map(|received| lines(&received.body)).collect();
    Outcome {
        status: response.status().as_u16(),
        retry_after: response.headers().contains_key(RETRY_AFTER),
        answer: serde_json::from_slice(response.body().as_ref()).unwrap(),
        calls,
    }
}

/// The events in the only record of a call.
fn lines(body: &[u8]) -> Vec<Value> {
    let call: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(call["DeliveryStreamName"], "impressions");
    let records = call["Records"].as_array().unwrap();
    assert_eq!(records.len(), 1);
    let data = base64_simd::STANDARD.decode_to_vec(records[0]["Data"].as_str().unwrap()).unwrap();
    data.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Asserts that both events are acknowledged, and that every call to Firehose had both, with the ids of the answer.
fn assert_acknowledged(outcome: &Outcome, calls: usize) {
    assert_eq!((outcome.status, &outcome.answer["failed_count"]), (200, &json!(0)), "{}", outcome.answer);
    assert_eq!(outcome.calls.len(), calls);
    let given = outcome.answer["records"][1]["id"].as_str().unwrap();
    for call in &outcome.calls {
        let ids: Vec<&Value> = call.iter().map(|event| &event["impression_id"]).collect();
        assert_eq!(ids, [&json!(ID), &json!(given)]);
    }
}

fn assert_unknown(outcome: &Outcome, calls: usize) {
    assert_eq!((outcome.status, outcome.retry_after), (503, true), "{}", outcome.answer);
    assert_eq!(outcome.calls.len(), calls);
}

#[tokio::test]
async fn a_lost_answer_causes_a_retry_with_the_same_event_ids() {
    let service = Service::start([Fate::LostAnswer, Fate::LostAnswer, Fate::Answer(taken())]);
    assert_acknowledged(&captured(request(), &service).await, 3);
}

#[tokio::test]
async fn an_interrupted_call_is_retried() {
    let service = Service::start([Fate::Cut, Fate::Cut, Fate::Answer(taken())]);
    assert_acknowledged(&captured(request(), &service).await, 1);
}

#[tokio::test]
async fn a_truncated_answer_acknowledges_nothing() {
    let service = Service::start([Fate::Truncate(taken()), Fate::Answer(taken())]);
    assert_acknowledged(&captured(request(), &service).await, 2);
    let service = Service::start(vec![Fate::Truncate(taken()); 8]);
    assert_unknown(&captured(request(), &service).await, 8);
}

#[tokio::test]
async fn a_call_without_an_answer_times_out_after_3_seconds_and_is_retried() {
    let given_up = async |fate| {
        let started = Instant::now();
        let service = Service::start([fate, Fate::Answer(taken())]);
        let outcome = captured(with_deadline(request(), Duration::from_secs(600)), &service).await;
        assert_acknowledged(&outcome, 2);
        assert!(started.elapsed() >= Duration::from_secs(3));
    };
    tokio::join!(given_up(Fate::Silence), given_up(Fate::Stall(taken())));
}

#[tokio::test]
async fn at_the_deadline_a_call_without_an_answer_is_unknown() {
    let service = Service::start([Fate::Silence]);
    let end = Instant::now() + Duration::from_millis(1_500);
    let outcome = captured(with_deadline(request(), Duration::from_millis(1_500)), &service).await;
    assert_unknown(&outcome, 1);
    // The answer is sent before Lambda ends the invocation.
    assert!(Instant::now() < end);
}

fn with_deadline(request: Request, left: Duration) -> Request {
    let deadline = SystemTime::from(now()).duration_since(UNIX_EPOCH).unwrap() + left;
    let mut context = LambdaContext::default();
    context.deadline = u64::try_from(deadline.as_millis()).unwrap();
    request.with_lambda_context(context)
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let failure = |status, code: &str| Fate::Answer(Answer::json(status, &format!(r#"{{"__type":"{code}"}}"#)));
    let service = Service::start([
        failure(500, "ServiceUnavailableException"),
        failure(400, "ThrottlingException"),
        failure(500, "InternalFailure"),
        // A gateway in front of the service returns HTML.
        Fate::Answer(Answer { content_type: "text/html", ..Answer::json(503, "<html>Service Unavailable</html>") }),
        Fate::Answer(taken()),
    ]);
    assert_acknowledged(&captured(request(), &service).await, 5);
}

#[tokio::test]
async fn an_event_is_acknowledged_only_by_the_id_of_its_record() {
    let refused = r#"[{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}]"#;
    for responses in [refused, "[{}]", "[]", "[null]", "null"] {
        let body = format!(r#"{{"FailedPutCount":0,"RequestResponses":{responses}}}"#);
        let service = Service::start([Fate::Answer(Answer::json(200, &body)), Fate::Answer(taken())]);
        let outcome = captured(request(), &service).await;
        assert_eq!(outcome.calls.len(), 2, "{responses}");
        assert_acknowledged(&outcome, 2);
    }
    for body in ["", "{}", "null", "<html></html>"] {
        let service = Service::start([Fate::Answer(Answer::json(200, body)), Fate::Answer(taken())]);
        let outcome = captured(request(), &service).await;
        assert_eq!(outcome.calls.len(), 2, "{body}");
        assert_acknowledged(&outcome, 2);
    }
}

#[tokio::test]
async fn starting_opens_the_connection_with_a_call_that_stores_nothing() {
    let refused = Fate::Answer(Answer::json(400, r#"{"__type":"InvalidArgumentException"}"#));
    let service = Service::start(vec![refused; 20]);
    let context = context(&service);
    // `warm_up` waits at most one second. On a busy machine, that can pass before the call is sent.
    for _ in 0..20 {
        if service.requests().is_empty() {
            context.warm_up().await;
        }
    }
    let calls: Vec<Value> = service.requests().iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect();
    assert_eq!(calls, [json!({"DeliveryStreamName": "impressions", "Records": []})]);
}

#[tokio::test]
async fn a_network_failure_has_its_own_code() {
    for (fate, code) in [(Fate::Cut, "Dispatch"), (Fate::Truncate(taken()), "Response"), (Fate::Silence, "Timeout")] {
        let service = Service::start([fate]);
        let error = context(&service).stream.put(vec![b"{}\n".to_vec()]).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, true));
    }
}
