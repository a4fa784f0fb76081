//! Infers schemas from samples.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use event_tooling::infer::{Given, Inferred, from_samples, minimal};
use event_types::{EventType, read_type};

fn given(name: &str) -> Given {
    Given { name: name.to_owned(), ..Given::default() }
}

/// A number as a UUID.
fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Samples of orders with an id, a time and the given members.
fn samples(members: &[&str]) -> String {
    let line = |(number, members): (usize, &&str)| {
        let comma = if members.is_empty() { "" } else { ", " };
        format!("{{\"order_id\": \"{}\", \"ordered_at\": \"2026-11-21T08:15:30Z\"{comma}{members}}}\n", uuid(number))
    };
    members.iter().enumerate().map(line).collect()
}

fn inferred(members: &[&str]) -> Inferred {
    from_samples(&given("orders"), &samples(members), &[]).unwrap()
}

fn schema(members: &[&str]) -> (EventType, Inferred) {
    let inferred = inferred(members);
    (read_type("orders", &inferred.schema).unwrap(), inferred)
}

/// The lines of a field in the inferred schema, without its name and description.
fn field(members: &[&str], name: &str) -> String {
    let text = inferred(members).schema;
    let begin = text.find(&format!("    \"{name}\": {{")).unwrap_or_else(|| panic!("{name}: {text}"));
    let end = text[begin..].find("\n    }").unwrap();
    text[begin..begin + end]
        .lines()
        .skip(2)
        .map(|line| line.trim().trim_end_matches(','))
        .collect::<Vec<_>>()
        .join("; ")
}

fn refused(members: &[&str]) -> String {
    from_samples(&given("orders"), &samples(members), &[]).unwrap_err().to_string()
}

#[test]
fn a_schema_has_what_every_sample_has() {
    let (orders, inferred) = schema(&[
        r#""customer": "Ærø", "currency": "EUR", "total": 19.90, "note": "x", "items": [{"sku": "a", "quantity": 2, "price": 9.95}]"#,
        r#""customer": "京都", "currency": "JPY", "total": 5, "items": []"#,
    ]);
    let columns: Vec<String> =
        orders.object.fields.iter().map(|field| format!("{} {}", field.name, field.value.lake_type())).collect();
    assert_eq!(
        columns,
        [
            "order_id string",
            "ordered_at timestamp",
            "customer string",
            "currency string",
            "total decimal(9,2)",
            "note string",
            "items array<struct<sku:string,quantity:bigint,price:decimal(9,2)>>",
        ]
    );
    assert_eq!((orders.id.as_str(), orders.time.as_str(), orders.group.as_str()), ("order_id", "ordered_at", "app"));
    assert_eq!(orders.sort, ["customer", "ordered_at", "order_id"]);
    assert_eq!(orders.erase, ["customer"]);
    assert_eq!(orders.title, "Order");
    let optional: Vec<&str> =
        orders.object.fields.iter().filter(|field| !field.required).map(|field| field.name.as_str()).collect();
    assert_eq!(optional, ["order_id", "note"]);
    let abouts: Vec<&str> = inferred.assumptions.iter().map(|assumption| assumption.about.as_str()).collect();
    for about in ["x-group", "x-id", "x-time", "x-sort", "x-erase", "note", "total", "items", "items[].price"] {
        assert!(abouts.contains(&about), "{about}: {abouts:?}");
    }
    assert!(
        inferred.assumptions.iter().all(|assumption| !assumption.change.is_empty() && !assumption.assumed.is_empty())
    );
}

#[test]
fn the_type_of_a_field_fits_all_its_values() {
    let many = |values: &[&str]| -> Vec<String> {
        (0..20).map(|number| format!("\"f\": {}", values[number % values.len()])).collect()
    };
    for (values, expected) in [
        (&["true", "false"][..], r#""type": "boolean""#),
        (&["1", "0", "-0"], r#""type": "integer""#),
        (&["1", "7"], r#""type": "integer"; "minimum": 0"#),
        (&["1", "1.5"], r#""type": "number""#),
        (&["1e3"], r#""type": "number""#),
        (&["1.25", "3.50"], r#""type": "number"; "multipleOf": 0.01; "minimum": 0; "maximum": 9999999.99"#),
        (&["-1.25", "3.50"], r#""type": "number"; "multipleOf": 0.01; "maximum": 9999999.99"#),
        (&[r#""2026-11-21""#], r#""type": "string"; "format": "date""#),
        (&[r#""2026-11-21 01:02:03""#, r#""2026-11-21T01:02:03+01:00""#], r#""type": "string"; "format": "date-time""#),
        (&[r#""2026-11-21""#, r#""2026-11-21 01:02:03""#], r#""type": "string"; "maxLength": 64"#),
        (&[r#""EUR""#, r#""CHF""#, r#""JPY""#], r#""type": "string"; "enum": ["CHF", "EUR", "JPY"]"#),
        (&[r#""EUR""#], r#""type": "string"; "maxLength": 16"#),
        (&[r#""two words""#, r#""EUR""#], r#""type": "string"; "maxLength": 32"#),
        (&["[1, 2, 3]", "[]"], r#""type": "array"; "maxItems": 10; "items": {; "type": "integer"; "minimum": 0; }"#),
        (
            &["[[true]]"],
            r#""type": "array"; "maxItems": 10; "items": {; "type": "array"; "maxItems": 10; "items": {; "type": "boolean"; }; }"#,
        ),
    ] {
        let members = many(values);
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        assert_eq!(field(&members, "f"), expected, "{values:?}");
        read_type("orders", &inferred(&members).schema).unwrap();
    }
    let codes: Vec<String> =
        (0..20).map(|number| format!("\"country_code\": \"{}\"", ["de", "fr"][number % 2])).collect();
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    assert_eq!(field(&codes, "country_code"), r#""type": "string"; "maxLength": 16"#);
    // From one sample: text instead of an enum, and a price because of its name alone.
    assert_eq!(field(&[r#""f": "EUR""#], "f"), r#""type": "string"; "maxLength": 16"#);
    assert_eq!(
        field(&[r#""unit_price": 1234567.5"#], "unit_price").split("; ").last(),
        Some(r#""maximum": 9999999999.99"#)
    );
    assert_eq!(field(&[r#""f": 1.25"#], "f"), r#""type": "number""#);
}

#[test]
fn nulls_and_times_inside_objects_are_reported() {
    let inferred = inferred(&[
        r#""note": null, "a": {"at": "2026-11-21T08:15:30Z"}"#,
        r#""note": "x", "a": {"at": "2026-11-21T08:15:30Z"}"#,
    ]);
    let about = |name: &str| {
        let found = inferred.assumptions.iter().filter(|assumption| assumption.about == name);
        found.map(|assumption| assumption.assumed.as_str()).collect::<Vec<_>>().join("; ")
    };
    assert!(about("note").contains("optional: 1 of 2 samples don't have it"), "{}", about("note"));
    assert!(about("note").contains("null in 1 sample (first in line 1), which the API refuses"), "{}", about("note"));
    assert!(
        about("a.at").contains("the lake has times and dates in fields of the event itself only"),
        "{}",
        about("a.at")
    );
}

#[test]
fn values_that_cannot_be_a_column_are_refused_with_their_line() {
    for (members, expected) in [
        (vec!["", r#""a": null"#], "line 2: `a` is never anything but null"),
        (vec![r#""a": 1"#, r#""a": "x""#], "line 2: `a` is a string here and a number in line 1"),
        (vec![r#""a": [1]"#, r#""a": [1, true]"#], "line 2: `a[]` is a boolean here and a number in line 1"),
        (vec![r#""a": [[["x"]]]"#], "line 1: `a[][]` is nested too deeply"),
        (vec![r#""a": [{"b": {"c": 1}}]"#], "line 1: `a[].b` is nested too deeply"),
        (vec![r#""a": []"#], "`a` is empty in every sample"),
        (vec![r#""a": {}"#], "line 1: `a` is an object without fields"),
        (vec![r#""a": [1]"#, r#""a": [1, null]"#], "line 2: `a` has null among its items"),
        (vec![r#""a": 9223372036854775808"#], "line 1: `a` has more than 64 bits"),
    ] {
        assert!(refused(&members).starts_with(expected), "{members:?}: {}", refused(&members));
    }
}

#[test]
fn an_own_id_and_a_time_are_found_or_asked_for() {
    let from = |name: &str, samples: &str| from_samples(&given(name), samples, &[]);
    let twice = format!(
        "{{\"order_id\": \"{0}\", \"t\": \"2026-11-21T08:15:30Z\"}}\n{{\"order_id\": \"{0}\", \"t\": \"2026-11-21T08:15:30Z\"}}\n",
        uuid(1)
    );
    assert!(from("orders", &twice).unwrap_err().to_string().contains("Add `order_id` with a uuid"));
    let no_time = format!("{{\"order_id\": \"{}\", \"t\": \"2026-11-21\"}}\n", uuid(1));
    assert!(from("orders", &no_time).unwrap_err().to_string().starts_with("no field has a time in every sample"));

    let both = format!(
        "{{\"session\": \"{}\", \"order_id\": \"{}\", \"occurred_at\": \"2026-11-21T08:15:30Z\", \"ordered_at\": \"2026-11-21T08:15:30Z\"}}\n",
        uuid(1),
        uuid(2)
    );
    let orders = read_type("orders", &from("orders", &both).unwrap().schema).unwrap();
    assert_eq!((orders.id.as_str(), orders.time.as_str()), ("order_id", "ordered_at"));
    let chosen = Given { id: Some("session".into()), time: Some("occurred_at".into()), ..given("orders") };
    let orders = read_type("orders", &from_samples(&chosen, &both, &[]).unwrap().schema).unwrap();
    assert_eq!((orders.id.as_str(), orders.time.as_str()), ("session", "occurred_at"));
    for (chosen, expected) in [
        (Given { id: Some("x".into()), ..given("orders") }, "--id x: no sample has this field"),
        (
            Given { id: Some("ordered_at".into()), ..given("orders") },
            "--id ordered_at: its values are not unique uuids",
        ),
        (
            Given { time: Some("order_id".into()), ..given("orders") },
            "--time order_id: it is not a time in every sample",
        ),
    ] {
        assert_eq!(from_samples(&chosen, &both, &[]).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_own_id_of_another_type_is_a_reference() {
    let orders = read_type("orders", &minimal(&given("orders")).schema).unwrap();
    let refunds = format!(
        "{{\"order_id\": \"{}\", \"refund_id\": \"{}\", \"refunded_at\": \"2026-11-21 08:15:30\"}}\n",
        uuid(1),
        uuid(2)
    );
    let inferred = from_samples(&given("refunds"), &refunds, &[orders]).unwrap();
    let refunds = read_type("refunds", &inferred.schema).unwrap();
    assert_eq!(refunds.id, "refund_id");
    assert_eq!(refunds.field("order_id").unwrap().references.as_ref().unwrap().event_type, "orders");
}

#[test]
fn without_samples_there_is_an_id_and_a_time() {
    let entries = read_type("entries", &minimal(&given("entries")).schema).unwrap();
    let fields: Vec<&str> = entries.object.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(fields, ["entry_id", "occurred_at"]);
    assert_eq!(entries.sort, ["occurred_at", "entry_id"]);
}

/// The sample orders of the repository, and samples with a value of each type.
fn wide_samples() -> [String; 2] {
    let orders =
        std::fs::read_to_string(format!("{}/../../examples/orders/samples.ndjson", env!("CARGO_MANIFEST_DIR")))
            .unwrap();
    let all = samples(&[
        r#""d": "2026-11-21", "n": -1.5e3, "i": -7, "price": 0.125, "b": false, "o": {"a": [1, 2], "s": "é"}"#,
        r#""d": "2026-11-22", "n": 2, "i": 0, "price": 1234.5, "b": true, "o": {"a": []}, "l": [["x"], []]"#,
    ]);
    [orders, all]
}

#[test]
fn samples_match_the_schema_inferred_from_them() {
    for samples in wide_samples() {
        let schema = from_samples(&given("orders"), &samples, &[]).unwrap().schema;
        read_type("orders", &schema).unwrap();
        let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
        for line in samples.lines() {
            let problem = validator.validate(&serde_json::from_str(line).unwrap()).err().map(|error| error.to_string());
            assert_eq!(problem, None, "{line}");
        }
    }
}
