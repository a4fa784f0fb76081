//! Answers of the functions behind API Gateway: JSON, errors, CORS.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use lambda_http::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE, ORIGIN,
    RETRY_AFTER, VARY,
};
use lambda_http::http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Body, Error, Request, RequestExt, Response, service_fn};

use crate::environment::{Environment, EnvironmentError};

/// The variable that holds the allowed origins.
pub const ALLOWED_ORIGINS: &str = "ALLOWED_ORIGINS";

/// How long, in seconds, a browser may remember the answer to a preflight. Chromium caps it at two hours.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The part of an invocation's time that is reserved for sending the answer.
const TIME_TO_ANSWER: Duration = Duration::from_millis(500);

/// The time of an invocation without a deadline, which only happens outside Lambda.
const DEFAULT_TIME: Duration = Duration::from_secs(5);

/// The time from `now` in which a request can be handled, so that the answer is sent before Lambda ends the invocation.
pub fn time_left(request: &Request, now: SystemTime) -> Duration {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = request
        .lambda_context_ref()
        .map_or(DEFAULT_TIME, |context| Duration::from_millis(context.deadline).saturating_sub(now));
    left.saturating_sub(TIME_TO_ANSWER)
}

/// Which web origins may read the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Any origin: right for beacons on pages of third parties.
    Any,
    /// These only, each as a browser sends it: scheme, host and port.
    These(Vec<HeaderValue>),
}

impl AllowedOrigins {
    /// Reads `*`, or a list such as `https://www.example.com,https://shop.example.com`.
    ///
    /// # Errors
    /// When the variable is missing, or an entry is not an origin.
    pub fn from_env(environment: &impl Environment) -> Result<Self, EnvironmentError> {
        let list = environment.required(ALLOWED_ORIGINS)?;
        if list.trim() == "*" {
            return Ok(Self::Any);
        }
        let origins = list.split(',').map(|origin| {
            let origin = origin.trim();
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.filter(|host| !host.is_empty() && !host.contains(['/', '*', ' ']))
                .and_then(|_| HeaderValue::from_str(origin).ok())
                .ok_or_else(|| EnvironmentError::Invalid {
                    name: ALLOWED_ORIGINS,
                    problem: format!("`{origin}` is not an origin: write * or a list such as https://www.example.com"),
                })
        });
        Ok(Self::These(origins.collect::<Result<_, _>>()?))
    }

    /// Adds the CORS headers of a route to which `navigator.sendBeacon` can post JSON.
    ///
    /// A browser sends a preflight before such a beacon, and sends the beacon with the cookies of the API's site
    /// (<https://w3c.github.io/beacon/>). The answer must therefore name the page's origin and allow credentials: with `*`, the
    /// browser would drop the beacon. This gives a page no more access, since the functions read no cookies.
    pub fn apply_to_beacon(&self, request: &HeaderMap, response: &mut Response<Body>) {
        self.apply(request, response);
        let Some(origin) = request.get(ORIGIN).filter(|origin| self.allows(origin)) else { return };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::These(origins) => origins.contains(origin),
        }
    }

    /// Adds the CORS headers for the origin of a request.
    pub fn apply(&self, request: &HeaderMap, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
        match self {
            Self::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::These(_) => {
                headers.insert(VARY, HeaderValue::from_static("Origin"));
                if let Some(origin) = request.get(ORIGIN).filter(|origin| self.allows(origin)) {
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
            }
        }
    }
}

/// Runs a handler behind a REST API until Lambda ends the process.
///
/// It does what `lambda_http::run` does, but only for the one kind of event that these functions get. There is no kind to
/// detect, so the event is read once instead of twice, and the body is moved instead of copied.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn run<H, F>(handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>>,
{
    let handler = &handler;
    let service = service_fn(move |event: LambdaEvent<ApiGatewayProxyRequest>| async move {
        let response = handler(request(event)).await;
        Ok::<_, Error>(proxy_response(response))
    });
    lambda_runtime::run(service).await
}

/// The request of an event: method, headers, body, parameters of path and query, and the invocation's context.
///
/// `lambda_http` also builds a URL from headers, which clients control. It panics if the result is not a URL, or if the body
/// is not base64 although the event says so. Here there is no URL, and such a body stays as it is.
pub fn request(event: LambdaEvent<ApiGatewayProxyRequest>) -> Request {
    let payload = event.payload;
    let body = match payload.body {
        Some(body) if payload.is_base64_encoded => {
            base64_simd::STANDARD.decode_to_vec(&body).map_or(Body::Text(body), Body::Binary)
        }
        Some(body) => Body::Text(body),
        None => Body::Empty,
    };
    let mut request = Request::new(body);
    *request.method_mut() = payload.http_method;
    *request.headers_mut() = payload.multi_value_headers;
    request.headers_mut().extend(payload.headers);
    // The multi-value parameters include those with one value.
    let query = if payload.multi_value_query_string_parameters.is_empty() {
        payload.query_string_parameters
    } else {
        payload.multi_value_query_string_parameters
    };
    request
        .with_query_string_parameters(query)
        .with_path_parameters(payload.path_parameters)
        .with_lambda_context(event.context)
}

fn proxy_response(response: Response<Body>) -> ApiGatewayProxyResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayProxyResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.multi_value_headers = parts.headers;
    answer.is_base64_encoded = matches!(body, Body::Binary(_));
    answer.body = (!matches!(body, Body::Empty)).then_some(body);
    answer
}

/// An answer without a body to a CORS preflight, or to any other `OPTIONS`.
#[must_use]
pub fn preflight(methods: &'static str, request_headers: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(request_headers));
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    response
}

/// A JSON answer.
#[must_use]
pub fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error: `{"error_code":…,"error_message":…}`.
#[must_use]
pub fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(status, serde_json::json!({"error_code": code, "error_message": message}).to_string())
}

/// 405, with the methods of the route.
#[must_use]
pub fn method_not_allowed(methods: &'static str) -> Response<Body> {
    let message = format!("this route takes {methods}");
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// 503, with the seconds after which a retry makes sense.
#[must_use]
pub fn unavailable(message: &str, retry_after_seconds: u16) -> Response<Body> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
    response
}

#[cfg(test)]
mod tests {
    use lambda_http::http::HeaderName;

    use super::*;

    fn origins(list: &str) -> Result<AllowedOrigins, EnvironmentError> {
        AllowedOrigins::from_env(&[(ALLOWED_ORIGINS, list)].as_slice())
    }

    fn allowed_for(list: &str, origin: &'static str) -> Option<String> {
        let mut request = HeaderMap::new();
        request.insert(ORIGIN, HeaderValue::from_static(origin));
        let mut response = Response::new(Body::Empty);
        origins(list).unwrap().apply(&request, &mut response);
        response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|origin| origin.to_str().unwrap().to_owned())
    }

    fn event(body: &str, is_base64_encoded: bool) -> LambdaEvent<ApiGatewayProxyRequest> {
        let payload = serde_json::json!({
            "httpMethod": "POST",
            "path": "/impressions",
            "headers": {"Content-Type": "application/json"},
            "multiValueQueryStringParameters": {"limit": ["1", "2"]},
            "pathParameters": {"ad-id": "a"},
            "requestContext": {"stage": "Prod", "httpMethod": "POST"},
            "body": body,
            "isBase64Encoded": is_base64_encoded,
        });
        LambdaEvent::new(serde_json::from_value(payload).unwrap(), lambda_http::Context::default())
    }

    #[test]
    fn an_event_becomes_a_request() {
        let request = request(event("{}", false));
        assert_eq!(request.method(), "POST");
        assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(request.body(), &Body::Text("{}".to_owned()));
        assert_eq!(request.path_parameters().first("ad-id"), Some("a"));
        assert_eq!(request.query_string_parameters().all("limit"), Some(vec!["1", "2"]));
        assert!(request.lambda_context_ref().is_some());
        assert_eq!(super::request(event("e30=", true)).body(), &Body::Binary(b"{}".to_vec()));
    }

    #[test]
    fn half_a_second_of_an_invocation_is_reserved_for_the_answer() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let mut event = event("{}", false);
        event.context.deadline = 10_000;
        let request = request(event);
        for (now, left) in [(7_000, 2_500), (9_400, 100), (9_500, 0), (11_000, 0)] {
            assert_eq!(time_left(&request, at(now)), Duration::from_millis(left), "{now}");
        }
        assert_eq!(time_left(&Request::new(Body::Empty), at(7_000)), Duration::from_millis(4_500));
    }

    #[test]
    fn malformed_client_headers_and_bodies_do_not_panic() {
        assert_eq!(super::request(event("{}", true)).body(), &Body::Text("{}".to_owned()));
        for (name, value) in [("Host", "a b"), ("Host", ""), ("X-Forwarded-Proto", "://"), ("Host", "[::1")] {
            let mut event = event("{}", false);
            event.payload.path = Some("no path\u{0}".to_owned());
            event.payload.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
            assert_eq!(super::request(event).body(), &Body::Text("{}".to_owned()), "{name}: {value}");
        }
    }

    #[test]
    fn a_response_becomes_an_api_gateway_response() {
        let response = unavailable("later", 2);
        let answer = serde_json::to_value(proxy_response(response)).unwrap();
        assert_eq!(answer["statusCode"], 503);
        assert_eq!(answer["multiValueHeaders"]["retry-after"], serde_json::json!(["2"]));
        assert_eq!(answer["body"], r#"{"error_code":"ServiceUnavailable","error_message":"later"}"#);
        assert_eq!(answer["isBase64Encoded"], false);
        let empty = serde_json::to_value(proxy_response(preflight("GET", "x"))).unwrap();
        assert_eq!(empty["body"], serde_json::Value::Null);
    }

    #[test]
    fn any_origin_may_read_when_all_are_allowed() {
        assert_eq!(allowed_for("*", "https://a.example"), Some("*".to_owned()));
    }

    #[test]
    fn only_exact_matches_in_a_list_of_origins_may_read() {
        let list = "https://a.example, http://localhost:8080";
        assert_eq!(allowed_for(list, "https://a.example"), Some("https://a.example".to_owned()));
        assert_eq!(allowed_for(list, "http://localhost:8080"), Some("http://localhost:8080".to_owned()));
        assert_eq!(allowed_for(list, "http://localhost"), None);
        assert_eq!(allowed_for(list, "https://a.example.evil.example"), None);
        assert_eq!(allowed_for(list, "null"), None);
    }

    #[test]
    fn a_beacon_is_answered_for_its_own_origin_and_with_credentials() {
        let answered = |list: &str, origin: Option<&'static str>| {
            let mut request = HeaderMap::new();
            request.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            let mut response = Response::new(Body::Empty);
            origins(list).unwrap().apply_to_beacon(&request, &mut response);
            let headers = response.headers();
            [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, VARY]
                .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
        };
        let some = |text: &str| Some(text.to_owned());
        let own = [some("https://a.example"), some("true"), some("Origin")];
        assert_eq!(answered("*", Some("https://a.example")), own);
        assert_eq!(answered("https://a.example", Some("https://a.example")), own);
        // Requests that no browser sends, and origins that are not allowed.
        assert_eq!(answered("*", None), [some("*"), None, None]);
        assert_eq!(answered("https://a.example", Some("https://b.example")), [None, None, some("Origin")]);
        assert_eq!(answered("https://a.example", None), [None, None, some("Origin")]);
    }

    #[test]
    fn invalid_origins_are_refused_at_start() {
        for list in ["a.example", "https://", "https://a.example/", "https://*.example", "*,https://a.example", "x\ny"]
        {
            assert!(matches!(origins(list), Err(EnvironmentError::Invalid { .. })), "{list}");
        }
        assert_eq!(origins(""), Err(EnvironmentError::Missing(ALLOWED_ORIGINS)));
    }
}
