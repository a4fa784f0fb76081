//! Events of API Gateway, on their way through a beacon.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use capture::Context;
use events::IMPRESSIONS;
use fastrand::Rng;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyRequest;
use lambda_http::http::Method;
use lambda_http::lambda_runtime::LambdaEvent;
use lambda_support::http::{AllowedOrigins, request};
use serde_json::{Value, json};

use super::bodies::support::{Type, random};
use crate::stores::{Runtime, Stream};
use crate::{Target, mutate};

/// Every status that `api.yaml` has for a beacon.
const STATUSES: [u16; 7] = [200, 204, 400, 405, 413, 415, 503];

/// Events of API Gateway.
pub struct Requests {
    runtime: Runtime,
    context: Context<Stream>,
    impressions: Type,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            runtime: Runtime::default(),
            context: Context::new(&IMPRESSIONS, Stream::default(), AllowedOrigins::Any),
            impressions: Type::new("impressions", include_str!("../../../../events/impressions.json")),
        }
    }
}

impl Target for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let oddness = [0.0, 0.0, 0.1][rng.usize(..3)];
        let events: Vec<String> =
            (0..rng.usize(1..3)).map(|_| random::event(rng, &self.impressions.model, oddness).written).collect();
        let body = format!("{{\"impressions\":[{}]}}", events.join(","));
        let is_base64 = mutate::one_in(rng, 4);
        let body = if is_base64 { BASE64_STANDARD.encode(body) } else { body };
        let one_of = |rng: &mut Rng, usual: &'static str, others: &[&'static str]| {
            if mutate::one_in(rng, 6) { others[rng.usize(..others.len())] } else { usual }
        };
        let event = json!({
            "resource": "/impressions",
            "path": one_of(rng, "/impressions", &["", "no path", "/\u{0}", "//", "/%ff", "/ü", "\\"]),
            "httpMethod": one_of(rng, "POST", &["OPTIONS", "GET", "DELETE", "", "P OST", "BREW"]),
            "headers": {
                "Host": one_of(rng, "abc.execute-api.us-east-1.amazonaws.com", &["", "a b", "[::1", "a:99999", "ü", "\t"]),
                "Content-Type": one_of(rng, "application/json", &["text/plain;charset=UTF-8", "image/png", ";", "ä"]),
                "X-Forwarded-Proto": one_of(rng, "https", &["", "://", "1", "http\u{e9}"]),
                "Content-Encoding": one_of(rng, "identity", &["gzip", "br", "", "gzip, gzip"]),
            },
            "multiValueHeaders": {"Origin": ["https://a.example"], "Content-Type": ["application/json"]},
            "queryStringParameters": Value::Null,
            "multiValueQueryStringParameters": {"limit": ["1", "2"]},
            "pathParameters": {"ad-id": "a"},
            "stageVariables": Value::Null,
            "requestContext": {"stage": "Prod", "httpMethod": "POST", "domainName": one_of(rng, "abc", &["", " "])},
            "body": body,
            "isBase64Encoded": if mutate::one_in(rng, 20) { !is_base64 } else { is_base64 },
        });
        let mut event = event.to_string().into_bytes();
        if mutate::one_in(rng, 3) {
            mutate::damage(rng, &mut event, &mutate::JSON);
        }
        event
    }

    fn check(&mut self, input: &[u8]) -> bool {
        // What Lambda's runtime does; what it can't read is an error of the invocation.
        let Ok(event) = serde_json::from_slice::<ApiGatewayProxyRequest>(input) else { return false };
        let mut context = lambda_http::Context::default();
        context.deadline = u64::MAX >> 24;
        let request = request(LambdaEvent::new(event, context));
        let is_post = request.method() == Method::POST;
        let response = self.runtime.run(capture::handle(request, &self.context));
        let (status, held) = (response.status().as_u16(), self.context.stream().take_lines());
        assert!(STATUSES.contains(&status), "{status}");
        if status != 200 {
            assert_eq!(held, 0, "{status}, but lines are held");
            return false;
        }
        let answer: Value = serde_json::from_slice(response.body().as_ref())
            .unwrap_or_else(|error| panic!("an answer that is not JSON: {error}"));
        let acknowledged =
            answer["records"].as_array().into_iter().flatten().filter(|record| record["failed"] == false);
        assert!(is_post && acknowledged.count() == held, "{answer}: {held} held");
        held > 0
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 64)
    }
}
