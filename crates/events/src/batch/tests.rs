use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::EventErrorCode::{self, *};
use crate::{CLICKS, IMPRESSIONS};

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

/// The error codes of a batch of impressions. `None` is a stored event.
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
fn an_event_without_its_own_id_is_given_one() {
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

/// Asserts that each element fails with this code while its neighbours are stored.
fn assert_each_fails_alone(elements: &[String], code: EventErrorCode) {
    for element in elements {
        let three = format!("{},{element},{}", good(), good());
        assert_eq!(codes(&three), [None, Some(code), None], "{element}");
    }
}

#[test]
fn an_element_that_is_not_an_object_fails_alone() {
    let elements = ["[]", "[[{}]]", "\"text\"", "null", "true", "-1", "1", "1.5", "1e999"];
    assert_each_fails_alone(&elements.map(str::to_owned), NotAnObject);
}

#[test]
fn an_event_without_a_required_field_fails_alone() {
    let elements = ["{}".to_owned(), format!("{{\"ad_id\":\"{AD}\"}}"), format!("{{\"occurred_at\":\"{AT}\"}}")];
    assert_each_fails_alone(&elements, MissingField);
}

#[test]
fn an_event_with_a_field_that_its_type_does_not_have_fails_alone() {
    let elements = [
        good().replace("ad_id", "ad"),
        good().replace("impression_id", "click_id"),
        good().replace('}', ",\"cost\":1e999}"),
        good().replace('}', ",\"cost\":{\"a\":[\"\\ud800\"]}}"),
    ];
    assert_each_fails_alone(&elements, UnknownField);
}

#[test]
fn an_event_with_a_field_twice_fails_alone() {
    assert_each_fails_alone(&[good().replace('}', ",\"ad_id\":1}")], DuplicateField);
}

#[test]
fn an_event_whose_id_is_not_a_uuid_fails_alone() {
    let elements = [
        good().replace(AD, "fc91623b"),
        good().replace(AD, "fc91623b7c7042a6829b29b0eb3d61de"),
        good().replace(AD, &format!("{{{AD}}}")),
        good().replace(AD, &format!("urn:uuid:{AD}")),
        good().replace(AD, "gc91623b-7c70-42a6-829b-29b0eb3d61de"),
        good().replace(AD, "fc91623b-7c70-42a6-829b-29b0eb3d61d\\u00e9"),
        good().replace(AD, "\\ud800"),
        good().replace(&format!("\"{AD}\""), "null"),
        good().replace(&format!("\"{ID}\""), "null"),
        good().replace(&format!("\"{ID}\""), "1e999"),
    ];
    assert_each_fails_alone(&elements, InvalidId);
}

#[test]
fn an_event_whose_time_is_not_a_time_fails_alone() {
    let elements = [good().replace(&format!("\"{AT}\""), "1763640000"), good().replace(AT, "yesterday")];
    assert_each_fails_alone(&elements, InvalidTime);
}

#[test]
fn an_event_too_far_from_the_servers_clock_fails_alone() {
    assert_each_fails_alone(&[good().replace(AT, "2026-11-20 12:15:00.001")], TooEarly);
    assert_each_fails_alone(&[good().replace(AT, "2026-10-20 12:00:00")], TooLate);
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
fn a_body_that_is_not_a_batch_is_refused_as_a_whole() {
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
    /// The oracle reads the same batch as a `serde_json::Value`.
    #[test]
    fn an_event_is_stored_exactly_when_the_oracle_accepts_it(
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
    fn arbitrary_bodies_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Batch::parse(&CLICKS, &body, now(), Uuid::nil);
    }
}
