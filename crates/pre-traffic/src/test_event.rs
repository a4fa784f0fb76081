//! Test events, for which a function stores and counts nothing, and the expected answers.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_lambda::primitives::{DateTime, DateTimeFormat};
use serde_json::{Value, json};

/// A test event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEvent {
    /// A batch with one event of a type, which is not valid.
    Capture(&'static Sample),
    /// A query for an ad that cannot exist.
    Traffic,
    /// A metric that the sink must not publish.
    Metrics,
}

/// An event of a type, valid except for its time and its own id.
#[derive(Debug, PartialEq, Eq)]
pub struct Sample {
    name: &'static str,
    /// The field of its own id.
    id: &'static str,
    /// The field of its time.
    time: &'static str,
    /// The event as JSON.
    event: &'static str,
}

/// One of each type in `events/`. `build.rs` makes them.
const SAMPLES: &[Sample] = include!(concat!(env!("OUT_DIR"), "/samples.rs"));

/// A request from API Gateway, without method, route and body.
const REQUEST: &str = include_str!("events/request.json");

/// A request from an analytics application.
const ANALYTICS: &str = include_str!("events/analytics.json");

/// A UUID that no generator makes: all zeros except for its version and variant.
const NO_AD: &str = "00000000-0000-4000-8000-000000000000";

/// A value that is not an id. Every capture function refuses an event with it, so nothing is ever stored.
const NO_ID: &str = "none";

/// The error code of an event with that value.
const BAD_ID: &str = "InvalidId";

impl TestEvent {
    /// The values of the variable.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SAMPLES.iter().map(|sample| sample.name).chain(["traffic", "metrics"])
    }

    /// The event with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "traffic" => Some(Self::Traffic),
            "metrics" => Some(Self::Metrics),
            _ => SAMPLES.iter().find(|sample| sample.name == name).map(Self::Capture),
        }
    }

    /// The event as the function's caller would send it at a time.
    pub fn event(self, now: SystemTime) -> Value {
        match self {
            Self::Capture(Sample { name, id, time, event }) => {
                let mut event: Value = serde_json::from_str(event).unwrap_or_default();
                event[*time] = event_time(now).into();
                event[*id] = NO_ID.into();
                post(&format!("/{name}"), &json!({ *name: [event] }))
            }
            Self::Traffic => {
                let mut event = request("GET", "/traffic/{ad-id}", &format!("/traffic/{NO_AD}"));
                event["pathParameters"] = json!({"ad-id": NO_AD});
                event
            }
            Self::Metrics => serde_json::from_str(ANALYTICS).unwrap_or_default(),
        }
    }

    /// Compares the answer with the expected one.
    ///
    /// # Errors
    /// The difference.
    pub fn check(self, answer: &Value) -> Result<(), String> {
        match self {
            Self::Capture(_) => {
                let body = body(answer)?;
                equal(&body, "/failed_count", &json!(1))?;
                equal(&body, "/records/0/error_code", &json!(BAD_ID))
            }
            Self::Traffic => {
                let body = body(answer)?;
                equal(&body, "/count", &json!(0))?;
                equal(&body, "/days", &json!([]))
            }
            Self::Metrics => equal(answer, "/records/0/result", &json!("DeliveryFailed")),
        }
    }
}

/// A time as an event has it, to the second.
fn event_time(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = DateTime::from_secs(i64::try_from(seconds).unwrap_or_default());
    now.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}

fn request(method: &str, route: &str, path: &str) -> Value {
    let mut event: Value = serde_json::from_str(REQUEST).unwrap_or_default();
    event["httpMethod"] = method.into();
    event["resource"] = route.into();
    event["path"] = path.into();
    event["requestContext"]["httpMethod"] = method.into();
    event["requestContext"]["resourcePath"] = route.into();
    event
}

fn post(route: &str, body: &Value) -> Value {
    let mut event = request("POST", route, route);
    event["body"] = body.to_string().into();
    event
}

fn body(answer: &Value) -> Result<Value, String> {
    if answer["statusCode"] != 200 {
        return Err(format!("statusCode is {}, not 200", answer["statusCode"]));
    }
    let text = answer["body"].as_str().ok_or("there is no body")?;
    serde_json::from_str(text).map_err(|error| format!("the body is not JSON: {error}"))
}

fn equal(value: &Value, pointer: &str, expected: &Value) -> Result<(), String> {
    match value.pointer(pointer) {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!("{pointer} is {found}, not {expected}")),
        None => Err(format!("{pointer} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use events::{Batch, EventErrorCode, EventType};
    use uuid::Uuid;

    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + std::time::Duration::from_secs(1_795_176_042)
    }

    fn named(name: &str) -> TestEvent {
        TestEvent::from_name(name).unwrap()
    }

    #[test]
    fn every_name_is_an_event_with_content() {
        let names: Vec<&str> = TestEvent::names().collect();
        assert!(["impressions", "clicks", "traffic", "metrics"].iter().all(|name| names.contains(name)), "{names:?}");
        for name in names {
            let event = TestEvent::from_name(name).unwrap().event(now());
            assert!(event.as_object().unwrap().len() >= 3, "{name}: {event}");
        }
        assert_eq!(TestEvent::from_name("views"), None);
    }

    /// The result of each event in a body, from the parser of the capture function.
    fn capture(event_type: &'static EventType, body: &str) -> Vec<Result<(), EventErrorCode>> {
        let batch = Batch::parse(event_type, body.as_bytes(), DateTime::<Utc>::from(now()), Uuid::nil).unwrap();
        batch.events().iter().map(|event| event.as_ref().map(|_| ()).map_err(|error| error.code())).collect()
    }

    #[test]
    fn an_event_is_refused_for_its_id_and_for_nothing_else() {
        assert_eq!(EventErrorCode::InvalidId.as_str(), BAD_ID);
        for event_type in events::ALL {
            let TestEvent::Capture(sample) = named(event_type.name) else { panic!("{}", event_type.name) };
            let event = TestEvent::Capture(sample).event(now());
            assert_eq!(event["path"], format!("/{}", event_type.name));
            let body = event["body"].as_str().unwrap();
            assert_eq!(capture(event_type, body), [Err(EventErrorCode::InvalidId)], "{body}");
            let corrected =
                body.replace(&format!("\"{}\":\"{NO_ID}\"", sample.id), &format!("\"{}\":\"{NO_AD}\"", sample.id));
            assert_eq!(capture(event_type, &corrected), [Ok(())], "{corrected}");
        }
    }

    #[test]
    fn the_problem_is_named() {
        let answer = |body: Value| json!({"statusCode": 200, "body": body.to_string()});
        let stored = answer(json!({"failed_count": 0, "records": [{"failed": false}]}));
        assert_eq!(named("clicks").check(&stored), Err("/failed_count is 0, not 1".to_owned()));
        assert_eq!(TestEvent::Traffic.check(&answer(json!({"count": 0}))), Err("/days is missing".to_owned()));
        assert_eq!(TestEvent::Traffic.check(&answer(json!({"count": 0, "days": []}))), Ok(()));
        assert_eq!(TestEvent::Traffic.check(&json!({"statusCode": 500})), Err("statusCode is 500, not 200".to_owned()));
        let published = json!({"records": [{"recordId": "test", "result": "Ok"}]});
        assert_eq!(
            TestEvent::Metrics.check(&published),
            Err(r#"/records/0/result is "Ok", not "DeliveryFailed""#.to_owned())
        );
    }
}
