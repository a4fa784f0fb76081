//! A JSON Schema validator gives each event the same verdict as this crate, except for intended differences.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use proptest::prelude::*;
use support::{ORDERS, READINGS, Type, random, random_schema};

fn validator(schema: &str) -> jsonschema::Validator {
    let schema = serde_json::from_str(schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn is_valid(validator: &jsonschema::Validator, event: &str) -> bool {
    // serde_json refuses some values, such as a number beyond the range of doubles or half a surrogate pair.
    serde_json::from_str(event).is_ok_and(|event| validator.is_valid(&event))
}

fn schema_of(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()
}

/// Values that this crate accepts and JSON Schema does not, and vice versa. Random events contain all of them: see
/// `Sample::judged`.
#[test]
fn the_intended_differences_exist() {
    let validator = validator(READINGS);
    let readings = Type::new("readings", READINGS);
    let event = |field: &str, value: &str| {
        let mut fields = vec![("count", "1"), ("read_at", "\"2026-11-20T11:59:58Z\""), ("place", "{\"room\":\"a\"}")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let taken_here = [
        // The form of times in raw lines.
        ("read_at", "\"2026-11-20 11:59:58\""),
        ("built_at", "\"2026-11-20 11:59:58.123\""),
    ];
    let refused_here = [
        // The time of an event must be close to the server's clock.
        ("read_at", "\"2026-11-20T13:00:00Z\""),
        ("read_at", "\"2025-11-20T13:00:00Z\""),
        // The lake supports the years 0001 to 9999, in UTC.
        ("built_at", "\"0000-11-20T13:00:00Z\""),
        ("built_at", "\"9999-12-31T23:59:59-01:00\""),
        ("built_on", "\"0000-11-20\""),
        // Integers have 64 bits, and neither a point nor an exponent.
        ("count", "1.0"),
        ("count", "1e2"),
        ("count", "9223372036854775808"),
        // The range of a decimal is symmetric around zero.
        ("tiny", "-0.50000001"),
        // The lake reads a number with a longer exponent as text.
        ("ratio", "1e-10000"),
        ("steps", "0e10000"),
        // A name may occur only once.
        ("count", "1,\"count\":1"),
        ("place", "{\"room\":\"a\",\"room\":\"a\"}"),
    ];
    for (field, value) in taken_here {
        let event = event(field, value);
        assert!(readings.line(&event).is_ok() && !is_valid(&validator, &event), "{event}");
    }
    for (field, value) in refused_here {
        let event = event(field, value);
        assert!(readings.line(&event).is_err() && is_valid(&validator, &event), "{event}");
    }
}

fn check(event_type: &Type, validator: &jsonschema::Validator, seed: u64, oddness: f64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let sample = random::event(&mut rng, &event_type.model, oddness);
    let found = event_type.line(&sample.written);
    let expected = is_valid(validator, &sample.judged);
    match found {
        Ok(line) => {
            assert!(expected, "accepted but not valid: {}", sample.written);
            assert_eq!(line, sample.line + "\n", "{}", sample.written);
        }
        Err((code, message)) => assert!(!expected, "valid but refused with {code}: {message}\n{}", sample.written),
    }
}

macro_rules! same_verdict {
    ($name:ident, $type:literal, $schema:expr) => {
        #[test]
        fn $name() {
            let (event_type, validator) = (Type::new($type, &$schema), validator(&$schema));
            // Most events have at most one fault. Otherwise only the first check would be tested.
            for (oddness, count) in [(0.0, 500), (0.02, 3000), (0.2, 1000)] {
                for seed in 0..count {
                    check(&event_type, &validator, seed, oddness);
                }
            }
        }
    };
}

same_verdict!(impressions_get_the_verdict_of_json_schema, "impressions", schema_of("impressions"));
same_verdict!(clicks_get_the_verdict_of_json_schema, "clicks", schema_of("clicks"));
same_verdict!(orders_get_the_verdict_of_json_schema, "orders", ORDERS);
same_verdict!(events_with_every_type_get_the_verdict_of_json_schema, "readings", READINGS);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_of_any_schema_get_the_verdict_of_json_schema(seed in any::<u64>()) {
        let schema = random_schema::schema(&mut fastrand::Rng::with_seed(seed));
        let (event_type, validator) = (Type::new("things", &schema), validator(&schema));
        for at in 0..40 {
            check(&event_type, &validator, seed ^ at, if at % 2 == 0 { 0.0 } else { 0.05 });
        }
    }
}
