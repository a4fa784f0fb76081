//! Events that a function answers without storing or counting anything, and what the right answers are.

use serde_json::{Value, json};

/// A test event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEvent {
    /// A batch of impressions without a good one.
    Impressions,
    /// A batch of clicks without a good one.
    Clicks,
    /// A question for an ad that cannot exist.
    Traffic,
    /// A metric that is not the sink's to publish.
    Metrics,
}

/// What API Gateway sends, but for method, route and body.
const REQUEST: &str = include_str!("events/request.json");

/// What an analytics application sends.
const ANALYTICS: &str = include_str!("events/analytics.json");

/// A UUID that no generator makes: all zero but for its version and variant.
const NO_AD: &str = "00000000-0000-4000-8000-000000000000";

/// What a beacon says of an event whose ids are none.
const BAD_ID: &str = "InvalidId";

impl TestEvent {
    /// What the variable may say.
    pub const NAMES: [&str; 4] = ["impressions", "clicks", "traffic", "metrics"];

    /// The event of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Impressions, Self::Clicks, Self::Traffic, Self::Metrics]
            .into_iter()
            .zip(Self::NAMES)
            .find(|(_, known)| *known == name)
            .map(|(event, _)| event)
    }

    /// The event as the function's caller would send it.
    pub fn event(self) -> Value {
        let mut bad = json!({"ad_id": "none", "occurred_at": "never"});
        match self {
            Self::Impressions => post("/impressions", &json!({"impressions": [bad]})),
            Self::Clicks => {
                bad["impression_id"] = "none".into();
                post("/clicks", &json!({"clicks": [bad]}))
            }
            Self::Traffic => {
                let mut event = request("GET", "/traffic/{ad-id}", &format!("/traffic/{NO_AD}"));
                event["pathParameters"] = json!({"ad-id": NO_AD});
                event
            }
            Self::Metrics => serde_json::from_str(ANALYTICS).unwrap_or_default(),
        }
    }

    /// Whether the answer is the one that it must be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(self, answer: &Value) -> Result<(), String> {
        match self {
            Self::Impressions | Self::Clicks => {
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
    use super::*;

    #[test]
    fn every_name_is_an_event_with_content() {
        for name in TestEvent::NAMES {
            let event = TestEvent::from_name(name).unwrap().event();
            assert!(event.as_object().unwrap().len() >= 3, "{name}: {event}");
        }
        assert_eq!(TestEvent::from_name("views"), None);
    }

    #[test]
    fn the_beacons_refuse_the_event_for_its_id() {
        assert_eq!(events::EventErrorCode::InvalidId.as_str(), BAD_ID);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let answer = |body: Value| json!({"statusCode": 200, "body": body.to_string()});
        let stored = answer(json!({"failed_count": 0, "records": [{"failed": false}]}));
        assert_eq!(TestEvent::Clicks.judge(&stored), Err("/failed_count is 0, not 1".to_owned()));
        assert_eq!(TestEvent::Traffic.judge(&answer(json!({"count": 0}))), Err("/days is missing".to_owned()));
        assert_eq!(TestEvent::Traffic.judge(&answer(json!({"count": 0, "days": []}))), Ok(()));
        assert_eq!(TestEvent::Traffic.judge(&json!({"statusCode": 500})), Err("statusCode is 500, not 200".to_owned()));
        let published = json!({"records": [{"recordId": "test", "result": "Ok"}]});
        assert_eq!(
            TestEvent::Metrics.judge(&published),
            Err(r#"/records/0/result is "Ok", not "DeliveryFailed""#.to_owned())
        );
    }
}
