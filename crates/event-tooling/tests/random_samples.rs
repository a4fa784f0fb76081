//! Inference from random samples gives a schema that they match, or an error.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use event_tooling::infer::{Given, from_samples};
use event_types::read_type;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Values in few forms, so that samples often agree. Null is left out, because a schema never allows it.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-3_i64..1000).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u32..100_000).prop_map(|cents| json!(f64::from(cents) / 100.0)),
        any::<f64>().prop_filter("JSON has no such number", |number| number.is_finite()).prop_map(Value::from),
        "[a-c]{1,2}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        (1_u32..29).prop_map(|day| json!(format!("2026-02-{day:02}"))),
        (0_u32..60).prop_map(|second| json!(format!("2026-11-21T08:15:{second:02}Z"))),
        any::<u128>().prop_map(|bits| json!(uuid(bits))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn uuid(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Samples with an id and a time, each with some fields of a common set.
fn samples() -> impl Strategy<Value = Vec<Value>> {
    let fields = proptest::collection::btree_map("[a-z][a-z0-9]{0,3}", (value(), any::<u8>()), 0..5);
    (fields, proptest::collection::vec((any::<u128>(), any::<u8>()), 1..30)).prop_map(|(fields, lines)| {
        let line = |(id, choice): &(u128, u8)| {
            let mut members = Map::new();
            members.insert("order_id".into(), json!(uuid(*id)));
            members.insert("occurred_at".into(), json!("2026-11-21 08:15:30"));
            let chosen = fields.iter().filter(|(_, (_, often))| choice <= often);
            members.extend(chosen.map(|(name, (value, _))| (name.clone(), value.clone())));
            Value::Object(members)
        };
        lines.iter().map(line).collect()
    })
}

fn check(samples: &[Value]) -> Result<(), TestCaseError> {
    let text: String = samples.iter().map(|sample| format!("{sample}\n")).collect();
    let given = Given { name: "orders".into(), ..Given::default() };
    let Ok(inferred) = from_samples(&given, &text, &[]) else { return Ok(()) };
    // An error that samples can't show, such as a reserved name of the lake, is found when the schema is read.
    if read_type("orders", &inferred.schema).is_err() {
        return Ok(());
    }
    let validator = jsonschema::validator_for(&serde_json::from_str(&inferred.schema).unwrap()).unwrap();
    for sample in samples {
        let problem = validator.validate(sample).err().map(|error| error.to_string());
        prop_assert_eq!(problem, None, "{}\n{}", sample, inferred.schema);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn consistent_samples_match_their_schema(samples in samples()) {
        check(&samples)?;
    }

    #[test]
    fn any_samples_end_in_a_schema_or_an_error(values in proptest::collection::vec(value(), 1..5)) {
        check(&values)?;
        let named: Vec<Value> = values.into_iter().enumerate().map(|(number, value)| json!({
            "order_id": uuid(number as u128), "occurred_at": "2026-11-21 08:15:30", "v": value,
        })).collect();
        check(&named)?;
    }

    #[test]
    fn any_text_ends_in_an_error(text in any::<String>()) {
        let given = Given { name: "orders".into(), ..Given::default() };
        prop_assert!(from_samples(&given, &text, &[]).is_err());
    }
}
