//! From the body of a request to lines of the raw zone, event by event.

use std::borrow::Cow;
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::encode::{Encoded, Encoder};
use crate::error::{BatchError, EventError};
use crate::id::ID_LEN;
use crate::problem::{Problem, Reason};
use crate::table::EventType;

/// The most events a request may carry. Firehose takes as many records in a call, so a batch is never split for its
/// count, and 500 events fit in one record of it.
pub const MAX_EVENTS: usize = 500;

/// The most bytes of an event's line, the newline included: what fits in one record of Firehose.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html>
pub const MAX_LINE_BYTES: usize = 1_000 * 1_024;

/// A valid event: where its line stands in [`Batch::ndjson`], and the id that the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes of its line, the newline included.
    pub line: Range<usize>,
    /// Its own id, when the client gave none.
    pub given_id: Option<Uuid>,
}

/// What became of one event of a batch.
pub type Event = Result<Stored, EventError>;

/// A batch that was read: an answer for each event in the order of the body, and the lines of the valid ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    events: Vec<Event>,
    ndjson: Vec<u8>,
}

impl Batch {
    /// Reads a body such as `{"impressions":[…]}`. `now` is the server's clock, `new_id` gives ids to events
    /// without one.
    ///
    /// # Errors
    /// When the body is no batch of 1 to [`MAX_EVENTS`] events. A bad event is no error of the batch: its place in
    /// [`Batch::events`] says what is wrong with it.
    pub fn parse(
        event_type: &'static EventType,
        body: &[u8],
        now: DateTime<Utc>,
        mut new_id: impl FnMut() -> Uuid,
    ) -> Result<Self, BatchError> {
        let text = std::str::from_utf8(body).map_err(|error| BatchError::InvalidJson(error.to_string()))?;
        let encoder = Encoder::new(event_type, now, text.len());
        let mut reader = Reader { event_type, new_id: &mut new_id, encoder, events: Vec::new(), count: 0 };
        if read_body(text, BodySeed(&mut reader)).is_ok() {
            return reader.finish();
        }
        // Some event, or the body, holds what serde_json refuses. Element by element it shows which of them, and
        // costs a second look only here.
        reader.start_again_with_care();
        let elements = read_body(text, RawBodySeed(event_type)).map_err(|error| batch_error(event_type, &error))?;
        for element in elements {
            reader.take_alone(element);
        }
        reader.finish()
    }

    /// What became of each event, in the order of the body.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The valid events in their raw form: a JSON object a line.
    #[must_use]
    pub fn ndjson(&self) -> &[u8] {
        &self.ndjson
    }
}

fn read_body<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> serde_json::Result<S::Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn batch_error(event_type: &EventType, error: &serde_json::Error) -> BatchError {
    if error.is_data() {
        BatchError::InvalidBatch { problem: error.to_string(), key: event_type.name }
    } else {
        BatchError::InvalidJson(error.to_string())
    }
}

struct Reader<'a> {
    event_type: &'static EventType,
    new_id: &'a mut dyn FnMut() -> Uuid,
    encoder: Encoder,
    events: Vec<Event>,
    /// How many events there were, those past the limit included.
    count: usize,
}

impl Reader<'_> {
    fn start_again_with_care(&mut self) {
        self.encoder.start_again_with_care();
        self.events.clear();
        self.count = 0;
    }

    fn finish(mut self) -> Result<Batch, BatchError> {
        match self.count {
            0 => Err(BatchError::InvalidBatch { problem: "it has no event".to_owned(), key: self.event_type.name }),
            1..=MAX_EVENTS => Ok(Batch { events: self.events, ndjson: std::mem::take(self.encoder.lines()) }),
            count => Err(BatchError::TooManyEvents(count)),
        }
    }

    fn take<'de, D: Deserializer<'de>>(&mut self, event: D) -> Result<(), D::Error> {
        self.count += 1;
        if self.count > MAX_EVENTS {
            return IgnoredAny::deserialize(event).map(|_| ());
        }
        let event = match self.encoder.event(event)? {
            Ok(encoded) => Ok(self.store(&encoded)),
            Err(problem) => Err(EventError::new(&problem)),
        };
        self.events.push(event);
        Ok(())
    }

    fn take_alone(&mut self, element: &RawValue) {
        if self.take(&mut serde_json::Deserializer::from_str(element.get())).is_err() {
            // JSON as such, yet with a number or a name that stands for nothing.
            self.encoder.drop_event();
            let problem = Problem::new(Reason::NotAnObject(self.event_type));
            self.events.push(Err(EventError::new(&problem)));
        }
    }

    fn store(&mut self, encoded: &Encoded) -> Stored {
        let lines = self.encoder.lines();
        let given_id = encoded.id_hole.map(|hole| {
            let id = (self.new_id)();
            id.hyphenated().encode_lower(&mut lines[hole..][..ID_LEN]);
            id
        });
        Stored { line: encoded.start..lines.len(), given_id }
    }
}

/// Reads the object with the batch's key and has each event taken while it is read.
struct BodySeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let event_type = self.0.event_type;
        deserializer.deserialize_map(BodyVisitor { event_type, array: EventsSeed(self.0) })
    }
}

struct EventsSeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for EventsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(EventSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct EventSeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.take(deserializer)
    }
}

/// Reads the same object without looking into the events.
struct RawBodySeed(&'static EventType);

impl<'de> DeserializeSeed<'de> for RawBodySeed {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(BodyVisitor { event_type: self.0, array: std::marker::PhantomData })
    }
}

struct BodyVisitor<S> {
    event_type: &'static EventType,
    array: S,
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for BodyVisitor<S> {
    type Value = S::Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "an object with the key `{}`", self.event_type.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Value, A::Error> {
        let key = self.event_type.name;
        let missing = || de::Error::custom(format_args!("the key `{key}` is missing"));
        let Some(first) = map.next_key::<Cow<'de, str>>()? else { return Err(missing()) };
        if first != key {
            return Err(de::Error::custom("it has a key that does not belong there"));
        }
        let value = map.next_value_seed(self.array)?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom("it has more than one key"));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventErrorCode::{self, *};
    use crate::{CLICKS, IMPRESSIONS};
    use proptest::prelude::*;
    use serde_json::json;

    const AD: &str = "fc91623b-7c70-42a6-829b-29b0eb3d61de";
    const ID: &str = "0192d3c4-9a5b-7c6d-8e7f-001122334455";
    const GIVEN: Uuid = Uuid::from_u128(7);
    const AT: &str = "2026-11-20 11:59:58";

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn parse(event_type: &'static EventType, body: &str) -> Result<Batch, BatchError> {
        Batch::parse(event_type, body.as_bytes(), now(), || GIVEN)
    }

    fn lines(batch: &Batch) -> Vec<&str> {
        let stored = batch.events().iter().flatten();
        stored.map(|stored| std::str::from_utf8(&batch.ndjson()[stored.line.clone()]).unwrap()).collect()
    }

    /// The codes of a batch of impressions, `None` for a stored one.
    fn codes(elements: &str) -> Vec<Option<EventErrorCode>> {
        let batch = parse(&IMPRESSIONS, &format!("{{\"impressions\":[{elements}]}}")).unwrap();
        batch.events().iter().map(|event| event.as_ref().err().map(EventError::code)).collect()
    }

    fn good() -> String {
        json!({"impression_id": ID, "ad_id": AD, "occurred_at": AT}).to_string()
    }

    #[test]
    fn an_impression_becomes_a_line_of_144_bytes() {
        let batch = parse(&IMPRESSIONS, &format!("{{\"impressions\":[{}]}}", good())).unwrap();
        let expected =
            format!("{{\"impression_id\":\"{ID}\",\"ad_id\":\"{AD}\",\"occurred_at\":\"2026-11-20 11:59:58.000\"}}\n");
        assert_eq!(lines(&batch), [&expected]);
        assert_eq!(expected.len(), 144);
        assert_eq!(batch.events()[0].as_ref().unwrap().given_id, None);
    }

    #[test]
    fn a_click_keeps_its_three_ids_apart_whatever_the_order_of_its_fields() {
        let body = format!(
            "{{\"clicks\":[{{\"occurred_at\":\"{AT}\",\"ad_id\":\"{AD}\",\"click_id\":\"{ID}\",\
             \"impression_id\":\"11111111-1111-4111-8111-111111111111\"}}]}}"
        );
        let batch = parse(&CLICKS, &body).unwrap();
        let expected = format!(
            "{{\"click_id\":\"{ID}\",\"impression_id\":\"11111111-1111-4111-8111-111111111111\",\"ad_id\":\"{AD}\",\
             \"occurred_at\":\"2026-11-20 11:59:58.000\"}}\n"
        );
        assert_eq!(lines(&batch), [expected]);
    }

    #[test]
    fn an_event_without_its_own_id_gets_one_and_is_told() {
        let body = json!({"impressions": [{"ad_id": AD, "occurred_at": AT}]}).to_string();
        let batch = parse(&IMPRESSIONS, &body).unwrap();
        assert_eq!(batch.events()[0].as_ref().unwrap().given_id, Some(GIVEN));
        assert!(lines(&batch)[0].starts_with("{\"impression_id\":\"00000000-0000-0000-0000-000000000007\","));
    }

    #[test]
    fn ids_are_written_in_lower_case_so_that_repeats_are_found() {
        let upper = good().replace(ID, &ID.to_uppercase());
        let batch = parse(&IMPRESSIONS, &format!("{{\"impressions\":[{upper}]}}")).unwrap();
        assert!(lines(&batch)[0].contains(ID));
    }

    #[test]
    fn escapes_in_names_and_values_are_undone() {
        let escaped = good().replace("ad_id", "\\u0061d_id").replace("2026", "\\u0032026");
        assert_eq!(codes(&escaped), [None]);
    }

    #[test]
    fn each_rule_fails_its_own_event_only() {
        let cases = [
            ("[]".to_owned(), NotAnObject),
            ("[[{}]]".to_owned(), NotAnObject),
            ("\"text\"".to_owned(), NotAnObject),
            ("null".to_owned(), NotAnObject),
            ("true".to_owned(), NotAnObject),
            ("-1".to_owned(), NotAnObject),
            ("1".to_owned(), NotAnObject),
            ("1.5".to_owned(), NotAnObject),
            ("1e999".to_owned(), NotAnObject),
            ("{}".to_owned(), MissingField),
            (good().replace("ad_id", "ad"), UnknownField),
            (good().replace("impression_id", "click_id"), UnknownField),
            (good().replace('}', ",\"cost\":1e999}"), UnknownField),
            (good().replace('}', ",\"cost\":{\"a\":[\"\\ud800\"]}}"), UnknownField),
            (good().replace('}', ",\"ad_id\":1}"), DuplicateField),
            (format!("{{\"ad_id\":\"{AD}\"}}"), MissingField),
            (format!("{{\"occurred_at\":\"{AT}\"}}"), MissingField),
            (good().replace(AD, "fc91623b"), InvalidId),
            (good().replace(AD, "fc91623b7c7042a6829b29b0eb3d61de"), InvalidId),
            (good().replace(AD, &format!("{{{AD}}}")), InvalidId),
            (good().replace(AD, &format!("urn:uuid:{AD}")), InvalidId),
            (good().replace(AD, "gc91623b-7c70-42a6-829b-29b0eb3d61de"), InvalidId),
            (good().replace(AD, "fc91623b-7c70-42a6-829b-29b0eb3d61d\\u00e9"), InvalidId),
            (good().replace(AD, "\\ud800"), InvalidId),
            (good().replace(&format!("\"{AD}\""), "null"), InvalidId),
            (good().replace(&format!("\"{ID}\""), "null"), InvalidId),
            (good().replace(&format!("\"{ID}\""), "1e999"), InvalidId),
            (good().replace(&format!("\"{AT}\""), "1763640000"), InvalidTime),
            (good().replace(AT, "yesterday"), InvalidTime),
            (good().replace(AT, "2026-11-20 12:15:00.001"), TooEarly),
            (good().replace(AT, "2026-10-20 12:00:00"), TooLate),
        ];
        for (element, expected) in cases {
            let three = format!("{},{element},{}", good(), good());
            assert_eq!(codes(&three), [None, Some(expected), None], "{element}");
        }
    }

    #[test]
    fn a_batch_of_499_good_events_and_a_bad_one_keeps_499() {
        let mut elements = vec![good(); 499];
        elements.insert(123, "{}".to_owned());
        let codes = codes(&elements.join(","));
        assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 499);
        assert_eq!(codes[123], Some(MissingField));
    }

    #[test]
    fn one_to_500_events_make_a_batch() {
        let of = |count| parse(&IMPRESSIONS, &format!("{{\"impressions\":[{}]}}", vec![good(); count].join(",")));
        assert_eq!(of(0).unwrap_err().code(), "InvalidBatch");
        assert_eq!(of(500).unwrap().events().len(), 500);
        assert_eq!(of(501).unwrap_err(), BatchError::TooManyEvents(501));
        assert_eq!(
            parse(&IMPRESSIONS, &format!("{{\"impressions\":[1e999{}]}}", ",{}".repeat(500))).unwrap_err(),
            BatchError::TooManyEvents(501)
        );
    }

    #[test]
    fn a_body_that_is_no_batch_is_refused_whole() {
        let good = good();
        for (body, code) in [
            (String::new(), "InvalidJson"),
            ("hello".to_owned(), "InvalidJson"),
            (format!("{{\"impressions\":[{good}]"), "InvalidJson"),
            (format!("{{\"impressions\":[{good}]}}]"), "InvalidJson"),
            (format!("{{\"impressions\":[{good} {good}]}}"), "InvalidJson"),
            ("[]".to_owned(), "InvalidBatch"),
            ("null".to_owned(), "InvalidBatch"),
            ("{}".to_owned(), "InvalidBatch"),
            (format!("[{good}]"), "InvalidBatch"),
            (format!("{{\"clicks\":[{good}]}}"), "InvalidBatch"),
            (format!("{{\"impressions\":{good}}}"), "InvalidBatch"),
            ("{\"impressions\":null}".to_owned(), "InvalidBatch"),
            (format!("{{\"impressions\":[{good}],\"clicks\":[]}}"), "InvalidBatch"),
            (format!("{{\"impressions\":[{good}],\"impressions\":[{good}]}}"), "InvalidBatch"),
        ] {
            assert_eq!(parse(&IMPRESSIONS, &body).unwrap_err().code(), code, "{body}");
        }
        let not_utf8 = Batch::parse(&CLICKS, b"\xff", now(), Uuid::nil).unwrap_err();
        assert_eq!(not_utf8.code(), "InvalidJson");
    }

    #[test]
    fn deep_nesting_is_refused_without_using_up_the_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(codes(&good().replace('}', &format!(",\"x\":{deep}}}"))), [Some(UnknownField)]);
        assert_eq!(codes(&format!("{deep},{}", good())), [Some(NotAnObject), None]);
        assert_eq!(parse(&CLICKS, &"[".repeat(200_000)).unwrap_err().code(), "InvalidBatch");
    }

    #[test]
    fn messages_name_the_field_and_cut_a_long_name() {
        let long = "x".repeat(10_000);
        let body = format!("{{\"impressions\":[{{\"{long}\":1}}]}}");
        let batch = parse(&IMPRESSIONS, &body).unwrap();
        let message = batch.events()[0].as_ref().unwrap_err().message().to_owned();
        assert!(message.contains("impression_id, ad_id, occurred_at") && message.len() < 150, "{message}");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<f64>().prop_map(|value| json!(value)),
            "\\PC{0,12}".prop_map(|value| json!(value)),
            Just(json!(AD)),
            Just(json!(AT)),
        ];
        let name = prop_oneof![
            Just("impression_id".to_owned()),
            Just("ad_id".to_owned()),
            Just("occurred_at".to_owned()),
            "\\PC{0,5}"
        ];
        leaf.prop_recursive(3, 24, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::hash_map(name.clone(), inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The oracle reads the same batch as a tree of values.
        #[test]
        fn an_event_is_stored_exactly_when_a_tree_of_values_says_that_it_is_valid(
            elements in prop::collection::vec(
                prop_oneof![
                    any_json(),
                    (any::<u128>(), any::<u128>(), 0_u32..60).prop_map(|(id, ad, second)| json!({
                        "impression_id": Uuid::from_u128(id).to_string(),
                        "ad_id": Uuid::from_u128(ad).to_string().to_uppercase(),
                        "occurred_at": format!("2026-11-20T11:59:{second:02}.5+00:00"),
                    })),
                ],
                1..20,
            ),
        ) {
            let body = json!({"impressions": &elements}).to_string();
            let batch = parse(&IMPRESSIONS, &body).unwrap();
            prop_assert_eq!(batch.events().len(), elements.len());
            let mut expected = Vec::new();
            for (event, element) in batch.events().iter().zip(&elements) {
                let fields = element.as_object();
                let text = |name: &str| fields.and_then(|fields| fields.get(name)).and_then(|value| value.as_str());
                let valid = fields.is_some_and(|fields| {
                    fields.keys().all(|name| ["impression_id", "ad_id", "occurred_at"].contains(&name.as_str()))
                        && fields.get("impression_id").is_none_or(|id| id.as_str().is_some_and(|id| id.len() == 36 && Uuid::parse_str(id).is_ok()))
                        && text("ad_id").is_some_and(|id| id.len() == 36 && Uuid::parse_str(id).is_ok())
                        && text("occurred_at").is_some_and(|at| at == AT || at.starts_with("2026-11-20T11:59:"))
                });
                prop_assert_eq!(event.is_ok(), valid, "{}", element);
                if valid {
                    let id = text("impression_id").map_or(GIVEN.to_string(), str::to_lowercase);
                    expected.push((id, text("ad_id").unwrap().to_lowercase()));
                }
            }
            let stored: Vec<(String, String)> = lines(&batch).iter().map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                (value["impression_id"].as_str().unwrap().to_owned(), value["ad_id"].as_str().unwrap().to_owned())
            }).collect();
            prop_assert_eq!(stored, expected);
            let all_lines = lines(&batch).concat();
            prop_assert_eq!(all_lines.as_bytes(), batch.ndjson());
        }

        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Batch::parse(&CLICKS, &body, now(), Uuid::nil);
        }
    }
}
