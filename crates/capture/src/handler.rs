//! Handles one request: stores a batch, and returns the result of each event.

use std::fmt::Write;

use events::{Batch, Event, Stored};
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{HeaderMap, Method, StatusCode};
use lambda_http::{Body, Request, Response};
use lambda_support::http::{error, json, method_not_allowed, preflight, time_left, unavailable};
use tokio::time::Instant;
use uuid::Uuid;

use crate::body;
use crate::context::Context;
use crate::delivery::{DeliveryStream, deliver};
use crate::error::BodyError;
use crate::packing::pack;
use crate::refused::log;

/// The upper bound of `Retry-After`, in seconds. The value is random, from 1 on, so that clients do not return all at once.
const MAX_RETRY_AFTER_SECONDS: u16 = 3;

const METHODS: &str = "OPTIONS, POST";
const REQUEST_HEADERS: &str = "content-encoding, content-type";

/// Handles one request.
pub async fn handle<S: DeliveryStream>(request: Request, context: &Context<S>) -> Response<Body> {
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(METHODS, REQUEST_HEADERS),
        Method::POST => capture(&request, context).await,
        _ => method_not_allowed(METHODS),
    };
    context.allowed_origins.apply_to_beacon(request.headers(), &mut response);
    response
}

async fn capture<S: DeliveryStream>(request: &Request, context: &Context<S>) -> Response<Body> {
    if let Err(message) = check_media_type(request.headers()) {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message);
    }
    let body = match body::read(request.headers(), request.body().as_ref()) {
        Ok(body) => body,
        Err(refused) => return body_refused(&refused),
    };
    let now = (context.clock)();
    let table = context.event_type.name;
    let batch = match Batch::parse(context.event_type, &body, now, Uuid::now_v7) {
        Ok(batch) => batch,
        Err(refused) => {
            if let Some(metrics) = &context.refused {
                log(&metrics.of_batch(table, &refused, now));
            }
            return error(StatusCode::BAD_REQUEST, refused.code(), &refused.to_string());
        }
    };
    if let Some(metrics) = &context.refused {
        log(&metrics.of_events(table, batch.events(), now));
    }

    let ends: Vec<usize> = batch.events().iter().flatten().map(|stored| stored.line.end).collect();
    let records = pack(&ends, context.max_record_bytes);
    let deadline = Instant::now() + time_left(request, (context.clock)().into());
    let stored_records = deliver(&context.stream, batch.ndjson(), &records, deadline).await;
    if !ends.is_empty() && !stored_records.contains(&true) {
        return unavailable(
            "no event could be stored: send the batch again after the seconds of Retry-After",
            fastrand::u16(1..=MAX_RETRY_AFTER_SECONDS),
        );
    }
    let mut stored = vec![false; ends.len()];
    for (record, _) in records.iter().zip(stored_records).filter(|(_, stored)| *stored) {
        stored[record.lines.clone()].fill(true);
    }
    json(StatusCode::OK, answer(batch.events(), &stored))
}

/// Accepts JSON, plain text (which `navigator.sendBeacon` sends without a preflight), or no type at all.
fn check_media_type(headers: &HeaderMap) -> Result<(), &'static str> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") || essence.eq_ignore_ascii_case(b"text/plain") {
        return Ok(());
    }
    Err("send JSON with `Content-Type: application/json`, or `text/plain` from navigator.sendBeacon")
}

fn body_refused(refused: &BodyError) -> Response<Body> {
    let (status, code) = match refused {
        BodyError::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
        BodyError::TooLong(_) | BodyError::TooLongDecompressed => (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"),
        BodyError::Gzip(_) => (StatusCode::BAD_REQUEST, "InvalidGzip"),
    };
    error(status, code, &refused.to_string())
}

/// `{"failed_count":…,"records":[…]}` in the order of the batch. `stored` has an entry for each valid event.
///
/// The result of an event without its own id has the id that it was given, stored or not: Firehose may have it anyway, and
/// a retry is a repeat only under the same id.
fn answer(events: &[Event], stored: &[bool]) -> String {
    const STORED: &str = "{\"failed\":false";
    const NOT_STORED: &str = "{\"failed\":true,\"error_code\":\"NotStored\",\
                              \"error_message\":\"the event was not stored: send it again under the same id\"";
    let mut records = String::with_capacity(events.len() * (STORED.len() + 2));
    let mut failed_count = 0;
    let mut stored = stored.iter();
    for event in events {
        if !records.is_empty() {
            records.push(',');
        }
        let is_stored = event.is_ok() && stored.next() == Some(&true);
        failed_count += usize::from(!is_stored);
        match event {
            Ok(Stored { given_id, .. }) => {
                records.push_str(if is_stored { STORED } else { NOT_STORED });
                if let Some(id) = given_id {
                    records.push_str(",\"id\":\"");
                    records.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
                    records.push('"');
                }
                records.push('}');
            }
            Err(refused) => {
                let message = serde_json::Value::from(refused.message());
                let code = refused.code().as_str();
                // Writing to a String cannot fail.
                let _ = write!(records, "{{\"failed\":true,\"error_code\":\"{code}\",\"error_message\":{message}}}");
            }
        }
    }
    format!("{{\"failed_count\":{failed_count},\"records\":[{records}]}}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Write as _;
    use std::sync::Mutex;

    use events::IMPRESSIONS;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use lambda_http::http;
    use lambda_support::http::AllowedOrigins;
    use lambda_support::service::ServiceError;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::body::MAX_BODY_BYTES;
    use crate::delivery::PutResult;

    const AD: &str = "fc91623b-7c70-42a6-829b-29b0eb3d61de";

    /// The faults of successive calls. Calls after the last fault succeed.
    #[derive(Clone, Debug)]
    enum Fault {
        None,
        /// The records with a set bit fail.
        Partial(u64),
        /// The call fails, retryably or not, and stores nothing.
        Refused(bool),
        /// The call never returns and stores nothing.
        Hangs,
    }

    /// An in-memory stream with faults. It keeps the stored records.
    #[derive(Default)]
    struct Memory {
        faults: Mutex<Vec<Fault>>,
        held: Mutex<Vec<u8>>,
    }

    impl DeliveryStream for Memory {
        async fn put(&self, records: Vec<Vec<u8>>) -> Result<Vec<PutResult>, ServiceError> {
            let fault = self.faults.lock().unwrap().pop().unwrap_or(Fault::None);
            let fails = match fault {
                Fault::None => 0,
                Fault::Partial(fails) => fails,
                Fault::Refused(retryable) => {
                    return Err(ServiceError { code: "Refused".into(), message: String::new(), retryable });
                }
                Fault::Hangs => return std::future::pending().await,
            };
            let mut held = self.held.lock().unwrap();
            Ok(records
                .into_iter()
                .enumerate()
                .map(|(at, record)| {
                    if fails >> (at % 64) & 1 == 1 {
                        return Err("ServiceUnavailableException".to_owned());
                    }
                    held.extend(record);
                    Ok(())
                })
                .collect())
        }
    }

    fn context(faults: Vec<Fault>) -> Context<Memory> {
        let stream = Memory { faults: Mutex::new(faults), held: Mutex::default() };
        let mut context = Context::new(&IMPRESSIONS, stream, AllowedOrigins::Any);
        context.clock = || "2026-11-20T12:00:00Z".parse().unwrap();
        context
    }

    fn post(body: impl Into<Body>) -> Request {
        http::Request::post("/impressions").header(CONTENT_TYPE, "application/json").body(body.into()).unwrap()
    }

    async fn answered(request: Request, context: &Context<Memory>) -> (u16, Value, HeaderMap) {
        let response = handle(request, context).await;
        let body = std::str::from_utf8(response.body().as_ref()).unwrap();
        (
            response.status().as_u16(),
            if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() },
            response.headers().clone(),
        )
    }

    fn id(number: u128) -> String {
        Uuid::from_u128(number).to_string()
    }

    fn event(number: u128) -> Value {
        json!({"impression_id": id(number), "ad_id": AD, "occurred_at": "2026-11-20 11:59:58"})
    }

    fn held_ids(context: &Context<Memory>) -> HashMap<String, usize> {
        let held = context.stream.held.lock().unwrap();
        let mut ids = HashMap::new();
        for line in std::str::from_utf8(&held).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            *ids.entry(line["impression_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        ids
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_in_the_order_of_the_batch() {
        let context = context(vec![]);
        let nameless = json!({"ad_id": AD, "occurred_at": "2026-11-20 11:59:58"});
        let body = json!({"impressions": [event(1), {"ad_id": AD}, nameless]}).to_string();
        let (status, answer, headers) = answered(post(body), &context).await;
        assert_eq!(status, 200);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(answer["failed_count"], 1);
        assert_eq!(answer["records"][0], json!({"failed": false}));
        assert_eq!(answer["records"][1]["error_code"], "MissingField");
        assert!(answer["records"][1]["error_message"].as_str().unwrap().contains("`occurred_at` is missing"));
        let given = answer["records"][2]["id"].as_str().unwrap();
        assert_eq!(Uuid::parse_str(given).unwrap().get_version_num(), 7);
        assert_eq!(held_ids(&context).len(), 2);
        assert!(held_ids(&context).contains_key(given));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_was_not_stored_can_be_resent_with_its_assigned_id() {
        // Of two records, the first fails in all eight attempts.
        let mut context = context(vec![Fault::Partial(1); 8]);
        context.max_record_bytes = 200;
        let mut without = event(1);
        without.as_object_mut().unwrap().remove("impression_id");
        let body = json!({"impressions": [&without, event(2)]}).to_string();
        let (status, answer, _) = answered(post(body), &context).await;
        assert_eq!((status, &answer["failed_count"]), (200, &json!(1)));
        assert_eq!(answer["records"][0]["error_code"], "NotStored");
        assert_eq!(answer["records"][1], json!({"failed": false}));
        without["impression_id"] = answer["records"][0]["id"].clone();
        let (status, answer, _) = answered(post(json!({"impressions": [&without]}).to_string()), &context).await;
        assert_eq!((status, answer), (200, json!({"failed_count": 0, "records": [{"failed": false}]})));
        assert_eq!(held_ids(&context).get(without["impression_id"].as_str().unwrap()), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_of_bad_events_only_is_processed_and_stores_nothing() {
        let context = context(vec![Fault::Refused(false)]);
        let (status, answer, _) = answered(post("{\"impressions\":[1,{}]}"), &context).await;
        assert_eq!((status, &answer["failed_count"]), (200, &json!(2)));
        assert_eq!(context.stream.faults.lock().unwrap().len(), 1, "Firehose was called");
    }

    #[tokio::test(start_paused = true)]
    async fn when_nothing_could_be_stored_the_client_is_asked_to_retry() {
        for fault in [Fault::Refused(false), Fault::Hangs] {
            let context = context(vec![fault]);
            let body = json!({"impressions": [event(1)]}).to_string();
            let (status, answer, headers) = answered(post(body), &context).await;
            assert_eq!((status, &answer["error_code"]), (503, &json!("ServiceUnavailable")));
            let seconds: u16 = headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=3).contains(&seconds));
            assert_eq!(held_ids(&context).len(), 0);
        }
    }

    #[tokio::test]
    async fn bodies_that_are_not_a_batch_get_400_with_the_reason() {
        let context = context(vec![]);
        for (body, code) in [("", "InvalidJson"), ("{", "InvalidJson"), ("{}", "InvalidBatch"), ("[]", "InvalidBatch")]
        {
            let (status, answer, _) = answered(post(body), &context).await;
            assert_eq!((status, &answer["error_code"]), (400, &json!(code)), "{body}");
        }
        let many = json!({"impressions": (0..501).map(event).collect::<Vec<_>>()}).to_string();
        let (status, answer, _) = answered(post(many), &context).await;
        assert_eq!((status, &answer["error_code"]), (400, &json!("TooManyEvents")));
    }

    #[tokio::test]
    async fn a_body_of_one_mib_is_read_and_one_byte_more_is_not() {
        let context = context(vec![]);
        let body = json!({"impressions": [event(1)]}).to_string();
        let padded = |length: usize| body.clone() + &" ".repeat(length - body.len());
        assert_eq!(answered(post(padded(MAX_BODY_BYTES)), &context).await.0, 200);
        let (status, answer, _) = answered(post(padded(MAX_BODY_BYTES + 1)), &context).await;
        assert_eq!((status, &answer["error_code"]), (413, &json!("PayloadTooLarge")));
    }

    #[tokio::test]
    async fn json_and_plain_text_are_read_and_other_types_are_not() {
        let context = context(vec![]);
        let body = json!({"impressions": [event(1)]}).to_string();
        for (content_type, status) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("text/plain;charset=UTF-8", 200),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonp", 415),
            ("", 415),
        ] {
            let request =
                http::Request::post("/").header(CONTENT_TYPE, content_type).body(body.clone().into()).unwrap();
            assert_eq!(answered(request, &context).await.0, status, "{content_type}");
        }
        let without = http::Request::post("/").body(body.clone().into()).unwrap();
        assert_eq!(answered(without, &context).await.0, 200);
    }

    #[tokio::test]
    async fn gzip_bodies_are_read_and_invalid_ones_are_refused_with_the_reason() {
        let context = context(vec![]);
        let body = json!({"impressions": [event(1)]}).to_string();
        let packed = |body: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        };
        let whole = packed(body.as_bytes());
        let torn = whole[..whole.len() - 1].to_vec();
        for (coding, body, expected) in [
            ("gzip", whole.clone(), (200, Value::Null)),
            // API Gateway decompressed the body and kept the header.
            ("gzip", body.clone().into_bytes(), (200, Value::Null)),
            ("gzip", torn, (400, json!("InvalidGzip"))),
            ("gzip", packed(b"{}"), (400, json!("InvalidBatch"))),
            ("gzip", packed(&[0; MAX_BODY_BYTES + 1]), (413, json!("PayloadTooLarge"))),
            ("br", body.clone().into_bytes(), (415, json!("UnsupportedMediaType"))),
            ("gzip, gzip", packed(&whole), (415, json!("UnsupportedMediaType"))),
        ] {
            let mut request = post(body);
            request.headers_mut().insert("content-encoding", coding.parse().unwrap());
            let (status, answer, _) = answered(request, &context).await;
            assert_eq!((status, answer["error_code"].clone()), expected, "{coding}: {answer}");
        }
        assert_eq!(held_ids(&context)[&id(1)], 2);
    }

    #[tokio::test]
    async fn binary_bodies_are_read_like_text() {
        let context = context(vec![]);
        let body = json!({"impressions": [event(1)]}).to_string();
        assert_eq!(answered(post(body.into_bytes()), &context).await.0, 200);
        assert_eq!(answered(post(vec![0xff]), &context).await.0, 400);
    }

    #[tokio::test]
    async fn options_is_answered_and_get_is_refused() {
        let context = context(vec![]);
        let options = http::Request::options("/").header("origin", "https://a.example").body(Body::Empty).unwrap();
        let (status, _, headers) = answered(options, &context).await;
        assert_eq!(status, 204);
        assert_eq!(headers["access-control-allow-origin"], "https://a.example");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["access-control-allow-methods"], "OPTIONS, POST");
        assert_eq!(headers["access-control-allow-headers"], "content-encoding, content-type");
        let get = http::Request::get("/").body(Body::Empty).unwrap();
        let (status, answer, headers) = answered(get, &context).await;
        assert_eq!((status, &answer["error_code"]), (405, &json!("MethodNotAllowed")));
        assert_eq!(headers["allow"], "OPTIONS, POST");
    }

    fn any_fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            4 => Just(Fault::None),
            4 => any::<u64>().prop_map(Fault::Partial),
            2 => any::<bool>().prop_map(Fault::Refused),
            1 => Just(Fault::Hangs),
        ]
    }

    proptest! {
        /// Sends random batches through random faults. For every event, the answer agrees with what the stream holds.
        #[test]
        fn an_event_is_acknowledged_exactly_when_the_stream_holds_it(
            valid in prop::collection::vec(any::<bool>(), 1..=500),
            faults in prop::collection::vec(any_fault(), 0..12),
            max_record_bytes in 144_usize..10_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let mut context = context(faults);
                context.max_record_bytes = max_record_bytes;
                let elements = valid.iter().zip(0..).map(|(valid, number)| {
                    if *valid { event(number) } else { json!({"impression_id": id(number), "ad": 1}) }
                });
                let body = json!({"impressions": elements.collect::<Vec<_>>()}).to_string();
                let (status, answer, _) = answered(post(body), &context).await;
                let held = held_ids(&context);
                let mut failed = 0;
                for (number, valid) in (0_u128..).zip(&valid) {
                    let record = &answer["records"][usize::try_from(number).unwrap()];
                    let acknowledged = status == 200 && record["failed"] == json!(false);
                    let times = held.get(&id(number)).copied().unwrap_or(0);
                    prop_assert_eq!(times, usize::from(acknowledged), "event {}", number);
                    prop_assert!(*valid || !acknowledged);
                    if status == 200 && !acknowledged {
                        failed += 1;
                        prop_assert_eq!(&record["error_code"], if *valid { "NotStored" } else { "UnknownField" });
                    }
                }
                if status == 200 {
                    prop_assert_eq!(&answer["failed_count"], &json!(failed));
                } else {
                    prop_assert_eq!(status, 503);
                }
                Ok(())
            })?;
        }
    }
}
