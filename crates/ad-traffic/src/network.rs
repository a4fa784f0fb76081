//! Requests whose DynamoDB query meets network faults. The SDK client is configured as in Lambda.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::config::Credentials;
use chrono::{DateTime, Utc};
use faulty_service::{Answer, Fate, Service};
use lambda_http::http::header::RETRY_AFTER;
use lambda_http::{Body, Context as LambdaContext, Request, RequestExt, http};
use lambda_support::http::AllowedOrigins;
use lambda_support::sdk;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::context::{Caching, Context, with_retries};
use crate::handler::handle;
use crate::page::PageKey;
use crate::table::{DynamoDb, TrafficTable};

const AD: &str = "fc91623b-7c70-42a6-829b-29b0eb3d61de";

/// One day of traffic.
fn day() -> Answer {
    let items = r#"[{"day":{"S":"2026-11-19"},"impressions":{"N":"100"},"clicks":{"N":"30"}}]"#;
    Answer::json(200, &format!(r#"{{"Count":1,"ScannedCount":1,"Items":{items}}}"#))
}

fn failure(status: u16, code: &str) -> Fate {
    Fate::Answer(Answer::json(status, &format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}"}}"#)))
}

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn context(service: &Service) -> Context<DynamoDb> {
    let environment = [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", service.url.as_str())];
    let config = with_retries(&sdk::config(&environment.as_slice()).unwrap())
        .credentials_provider(Credentials::for_tests())
        .build();
    Context {
        table: DynamoDb::new(aws_sdk_dynamodb::Client::from_conf(config), "traffic".to_owned()),
        page_key: PageKey::new(&"k".repeat(32)).unwrap(),
        caching: Caching { visibility: "public", lookback_days: 3 },
        allowed_origins: AllowedOrigins::Any,
        clock: now,
    }
}

/// Returns the status and the answer of a request with this much time left.
async fn answered(service: &Service, time: Duration) -> (u16, Value) {
    let deadline = SystemTime::from(now()).duration_since(UNIX_EPOCH).unwrap() + time;
    let mut lambda = LambdaContext::default();
    lambda.deadline = u64::try_from(deadline.as_millis()).unwrap();
    let request: Request = http::Request::new(Body::Empty)
        .with_path_parameters(HashMap::from([("ad-id".to_owned(), AD.to_owned())]))
        .with_lambda_context(lambda);
    let response = handle(request, &context(service)).await;
    let status = response.status().as_u16();
    assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
    (status, serde_json::from_slice(response.body().as_ref()).unwrap())
}

const LONG: Duration = Duration::from_secs(600);

/// Asserts that the day is returned despite the fault, and that DynamoDB received this many queries.
async fn assert_asked_again(fate: Fate, queries: usize) {
    let service = Service::start([fate.clone(), Fate::Answer(day())]);
    let (status, answer) = answered(&service, LONG).await;
    assert_eq!((status, &answer["count"]), (200, &json!(1)), "{fate:?}: {answer}");
    assert_eq!(answer["days"][0]["impressions"], 100);
    assert_eq!(service.requests().len(), queries, "{fate:?}");
}

#[tokio::test]
async fn a_query_without_a_complete_answer_is_retried() {
    tokio::join!(
        assert_asked_again(Fate::LostAnswer, 2),
        assert_asked_again(Fate::Truncate(day()), 2),
        assert_asked_again(Fate::Silence, 2),
        assert_asked_again(Fate::Stall(day()), 2),
        assert_asked_again(Fate::Cut, 1),
    );
}

#[tokio::test]
async fn a_network_failure_is_never_reported_as_no_traffic() {
    let mut all = JoinSet::new();
    let html = || Fate::Answer(Answer { content_type: "text/html", ..Answer::json(503, "<html>Unavailable</html>") });
    for fate in [
        Fate::LostAnswer,
        Fate::Cut,
        Fate::Truncate(day()),
        html(),
        failure(400, "ProvisionedThroughputExceededException"),
        failure(400, "ThrottlingException"),
        failure(400, "RequestLimitExceeded"),
        failure(500, "InternalServerError"),
        // Not JSON, despite the status 200.
        Fate::Answer(Answer::json(200, "<html>")),
    ] {
        all.spawn(async move {
            let service = Service::start(vec![fate.clone(); 9]);
            let (status, answer) = answered(&service, LONG).await;
            assert_eq!((status, &answer["error_code"]), (503, &json!("ServiceUnavailable")), "{fate:?}: {answer}");
            assert!(service.unused() >= 6, "no more than three attempts: {fate:?}");
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_query_without_an_answer_times_out_before_the_invocation() {
    let service = Service::start(vec![Fate::Silence; 3]);
    let end = Instant::now() + Duration::from_secs(2);
    assert_eq!(answered(&service, Duration::from_secs(2)).await.0, 503);
    assert!(Instant::now() < end);
}

#[tokio::test]
async fn a_permanent_failure_is_an_internal_error_at_once() {
    let service = Service::start(vec![failure(400, "ResourceNotFoundException"); 3]);
    assert_eq!(answered(&service, LONG).await.0, 500);
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn starting_opens_the_connection_with_a_query() {
    let service = Service::start(vec![Fate::Answer(day()); 20]);
    let context = context(&service);
    // `warm_up` waits at most one second. On a busy machine, that can pass before the query is sent.
    for _ in 0..20 {
        if service.requests().is_empty() {
            context.warm_up().await;
        }
    }
    let queries: Vec<Value> =
        service.requests().iter().map(|query| serde_json::from_slice(&query.body).unwrap()).collect();
    assert_eq!(queries.len(), 1);
    assert_eq!((&queries[0]["TableName"], &queries[0]["Limit"]), (&json!("traffic"), &json!(1)));
}

#[tokio::test]
async fn a_network_failure_has_its_own_code() {
    for (fate, code) in [(Fate::Cut, "Dispatch"), (Fate::Truncate(day()), "Response")] {
        let service = Service::start(vec![fate; 3]);
        let today = "2026-11-20".parse().unwrap();
        let error = context(&service).table.days(uuid::Uuid::nil(), today, today, 1).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, true));
    }
}
