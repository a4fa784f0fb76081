//! Every random event must match its schema. The tests read the schema independently, as plain JSON.

#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use event_types::{Sampler, read_type};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// 2026-11-30 12:00:00 UTC.
const NOW: i64 = 1_796_040_000_000;

/// A complete schema with these properties.
fn schema(properties: &Value, required: &[&str]) -> String {
    let mut all = json!({
        "order_id": {"description": "Own id", "type": "string", "format": "uuid"},
        "ordered_at": {"description": "When", "type": "string", "format": "date-time"},
    });
    all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order", "description": "A customer ordered.", "type": "object", "additionalProperties": false,
        "x-group": "shop", "x-id": "order_id", "x-time": "ordered_at", "x-sort": ["ordered_at"],
        "required": ([&["ordered_at"], required].concat()),
        "properties": all
    })
    .to_string()
}

fn every_type_of_value() -> String {
    schema(
        &json!({
            "invoice_id": {"description": "Id", "type": "string", "format": "uuid"},
            "shipped_at": {"description": "Time", "type": "string", "format": "date-time"},
            "born": {"description": "Date", "type": "string", "format": "date"},
            "name": {"description": "Text", "type": "string", "minLength": 3, "maxLength": 12},
            "note": {"description": "Text", "type": "string", "maxLength": 5000},
            "code": {"description": "Text", "type": "string", "minLength": 2, "maxLength": 2},
            "currency": {"description": "Enum", "type": "string", "enum": ["EUR", "CHF", "€ \"quoted\""]},
            "pieces": {"description": "Integer", "type": "integer", "minimum": -3, "maximum": 3},
            "counter": {"description": "Integer", "type": "integer"},
            "height": {"description": "Number", "type": "number", "minimum": -0.5, "maximum": 0.25},
            "any": {"description": "Number", "type": "number"},
            "vast": {"description": "Number", "type": "number", "minimum": -1.7e308, "maximum": 1.7e308},
            "total": {"description": "Sum", "type": "number", "multipleOf": 0.01, "maximum": 99999.99},
            "rate": {"description": "Rate", "type": "number", "multipleOf": 0.0001, "minimum": 0, "maximum": 1},
            "units": {"description": "Units", "type": "number", "multipleOf": 1, "minimum": 5, "maximum": 7},
            "gift": {"description": "Boolean", "type": "boolean"},
            "tags": {"description": "Tags", "type": "array", "minItems": 1, "maxItems": 3, "items":
                {"type": "string", "maxLength": 4}},
            "address": {
                "description": "Object", "type": "object", "additionalProperties": false, "required": ["city"],
                "properties": {
                    "zip": {"description": "Zip", "type": "string", "maxLength": 9},
                    "city": {"description": "City", "type": "string", "minLength": 1, "maxLength": 80},
                    "point": {"description": "Point", "type": "array", "minItems": 2, "maxItems": 2, "items":
                        {"type": "number", "minimum": -180, "maximum": 180}}
                }
            },
            "items": {
                "description": "Items", "type": "array", "maxItems": 20, "items": {
                    "type": "object", "additionalProperties": false, "required": ["price"],
                    "properties": {
                        "sku": {"description": "Article", "type": "string", "format": "uuid"},
                        "price": {"description": "Price", "type": "number", "multipleOf": 0.01, "maximum": 500}
                    }
                }
            }
        }),
        &["name", "total", "items"],
    )
}

/// Checks a value against its schema.
fn check(schema: &Value, raw: &RawValue) {
    let text = raw.get();
    let limit = |key: &str, otherwise: f64| schema[key].as_f64().unwrap_or(otherwise);
    match schema["type"].as_str().unwrap() {
        "boolean" => assert!(["true", "false"].contains(&text), "{text}"),
        "integer" => {
            let value: i64 = text.parse().unwrap();
            assert!(value >= schema["minimum"].as_i64().unwrap_or(i64::MIN), "{text}");
            assert!(value <= schema["maximum"].as_i64().unwrap_or(i64::MAX), "{text}");
        }
        "number" => {
            let value: f64 = serde_json::from_str(text).unwrap();
            let max = limit("maximum", f64::MAX);
            let otherwise = if schema.get("multipleOf").is_some() { -max.abs() } else { f64::MIN };
            assert!(value >= limit("minimum", otherwise) && value <= max, "{text}");
            if let Some(step) = schema.get("multipleOf") {
                let scale = (1.0 / step.as_f64().unwrap()).log10().round() as usize;
                let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
                assert!(fraction.len() <= scale && !text.contains('e'), "{text}");
            }
        }
        "array" => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            assert!(items.len() as f64 >= limit("minItems", 0.0) && items.len() as f64 <= limit("maxItems", 0.0));
            items.into_iter().for_each(|item| check(&schema["items"], item));
        }
        "object" => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(members.contains_key(required.as_str().unwrap()), "{required}: {text}");
            }
            members.into_iter().for_each(|(name, value)| check(&schema["properties"][name], value));
        }
        "string" => check_text(schema, &serde_json::from_str::<String>(text).unwrap()),
        other => panic!("{other}"),
    }
}

fn check_text(schema: &Value, value: &str) {
    let count = |key: &str| schema[key].as_u64().unwrap_or(0) as usize;
    match schema["format"].as_str() {
        Some("uuid") => assert_eq!(uuid::Uuid::parse_str(value).unwrap().to_string(), value),
        Some("date-time") => {
            assert!(value.contains('T') && chrono::DateTime::parse_from_rfc3339(value).is_ok(), "{value}");
        }
        Some("date") => assert_eq!(value.parse::<chrono::NaiveDate>().unwrap().to_string(), value),
        _ => match schema["enum"].as_array() {
            Some(texts) => assert!(texts.contains(&json!(value)), "{value}"),
            None => assert!((count("minLength")..=count("maxLength")).contains(&value.chars().count()), "{value}"),
        },
    }
}

fn samples(schema: &str, count: usize) -> Vec<Value> {
    let mut sampler = Sampler::new(&read_type("orders", schema).unwrap(), 1);
    (0..count).map(|_| serde_json::from_str(&sampler.next(NOW)).unwrap()).collect()
}

fn clicks() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/clicks.json")).unwrap()
}

#[test]
fn every_sample_is_valid() {
    for (name, schema) in [("orders", every_type_of_value()), ("clicks", clicks())] {
        let parsed: Value = serde_json::from_str(&schema).unwrap();
        let mut sampler = Sampler::new(&read_type(name, &schema).unwrap(), 7);
        for _ in 0..3_000 {
            let sample = sampler.next(NOW);
            check(&parsed, serde_json::from_str(&sample).unwrap());
        }
    }
}

#[test]
fn the_checks_reject_invalid_values() {
    let schema: Value = serde_json::from_str(&every_type_of_value()).unwrap();
    for (field, wrong) in [
        ("total", "0.001"),
        ("total", "100000"),
        ("pieces", "4"),
        ("name", "\"ab\""),
        ("currency", "\"USD\""),
        ("tags", "[]"),
        ("address", "{}"),
        ("shipped_at", "\"2026-11-30 12:00:00.000Z\""),
    ] {
        let schema = schema["properties"][field].clone();
        let checked = std::panic::catch_unwind(move || check(&schema, serde_json::from_str(wrong).unwrap()));
        assert!(checked.is_err(), "{field}: {wrong}");
    }
}

#[test]
fn a_seed_decides_on_all_events() {
    let orders = read_type("orders", &every_type_of_value()).unwrap();
    let first = |seed| -> HashSet<String> {
        let mut sampler = Sampler::new(&orders, seed);
        (0..20).map(|_| sampler.next(NOW)).collect()
    };
    assert_eq!(first(1), first(1));
    assert_eq!(first(1).len(), 20);
    assert!(first(1).is_disjoint(&first(2)));
}

#[test]
fn keys_are_in_the_order_of_the_schema_and_the_own_id_is_always_there() {
    let orders = read_type("orders", &every_type_of_value()).unwrap();
    let mut sampler = Sampler::new(&orders, 3);
    for _ in 0..200 {
        let sample = sampler.next(NOW);
        let position = |name: &str| sample.find(&format!("\"{name}\":"));
        let positions: Vec<usize> = orders.object.fields.iter().filter_map(|field| position(&field.name)).collect();
        assert!(positions.is_sorted() && positions.len() > 5, "{sample}");
        assert!(position("order_id").is_some(), "{sample}");
    }
}

#[test]
fn optional_fields_are_mostly_there_and_sometimes_not() {
    let with = samples(&every_type_of_value(), 2_000).iter().filter(|order| order.get("gift").is_some()).count();
    assert!((1_600..1_900).contains(&with), "{with}");
}

#[test]
fn numbers_reach_their_limits_to_the_last_digit() {
    let digits = "9".repeat(36);
    let properties = json!({
        "exact": {"description": "d", "type": "number", "multipleOf": 0.01, "maximum": 123456},
        "small": {"description": "i", "type": "integer", "minimum": -7, "maximum": 1_000_000},
        "free": {"description": "i", "type": "integer"}
    });
    // Inserted as text, since a double would round it.
    let schema = schema(&properties, &["exact", "small", "free"]).replace("123456", &format!("{digits}.99"));
    let mut sampler = Sampler::new(&read_type("orders", &schema).unwrap(), 1);
    let events: Vec<String> = (0..2_000).map(|_| sampler.next(NOW)).collect();
    for (field, expected) in [
        ("exact", format!("{digits}.99")),
        ("exact", format!("-{digits}.99")),
        ("exact", format!("{digits}.98")),
        ("small", "-7".to_owned()),
        ("small", "-6".to_owned()),
        ("small", "1000000".to_owned()),
        ("small", "999999".to_owned()),
        ("free", "9223372036854775807".to_owned()),
        ("free", "-9223372036854775808".to_owned()),
    ] {
        let member = [format!("\"{field}\":{expected},"), format!("\"{field}\":{expected}}}")];
        let count = events.iter().filter(|event| member.iter().any(|member| event.contains(member))).count();
        assert!((1..100).contains(&count), "{field} {expected}: {count}");
    }
}

#[test]
fn texts_are_in_several_scripts_and_of_every_length() {
    let properties = json!({"name": {"description": "n", "type": "string", "maxLength": 9}});
    let names: Vec<String> = samples(&schema(&properties, &["name"]), 2_000)
        .iter()
        .map(|order| order["name"].as_str().unwrap().to_owned())
        .collect();
    for script in ['a'..='z', 'а'..='я', 'α'..='ω', '一'..='龠', '가'..='힣', '\u{1f000}'..='\u{1ffff}', '"'..='"']
    {
        assert!(names.iter().any(|name| name.chars().any(|char| script.contains(&char))), "{script:?}");
    }
    let lengths: HashSet<usize> = names.iter().map(|name| name.chars().count()).collect();
    assert_eq!(lengths, (0..=9).collect());
}

fn counts(schema: &str, field: &str, count: usize) -> HashMap<String, usize> {
    samples(schema, count).iter().fold(HashMap::new(), |mut counts, order| {
        *counts.entry(order[field].to_string()).or_default() += 1;
        counts
    })
}

#[test]
fn an_annotation_makes_some_values_frequent() {
    let with = |sample: Option<&str>| {
        let mut properties = json!({
            "country": {"description": "c", "type": "string", "enum": ["a", "b", "c", "d", "e", "f", "g", "h", "i"]},
            "customer": {"description": "c", "type": "string", "format": "uuid"},
            "pieces": {"description": "p", "type": "integer", "minimum": 0, "maximum": 8},
        });
        for field in ["country", "customer", "pieces"] {
            if let Some(sample) = sample {
                properties[field]["x-sample"] = json!(sample);
            }
        }
        schema(&properties, &["country", "customer", "pieces"])
    };
    let (zipf, normal) = (with(Some("zipf")), with(Some("normal")));

    assert_eq!(counts(&with(None), "customer", 4_000).len(), 4_000);
    let customers = counts(&zipf, "customer", 4_000);
    assert!(customers.len() < 1_000 && customers.values().any(|count| *count > 200), "{}", customers.len());

    let countries = counts(&zipf, "country", 9_000);
    assert!(countries["\"a\""] > 2 * countries["\"d\""], "{countries:?}");
    let pieces = counts(&normal, "pieces", 9_000);
    assert!(pieces["4"] > 4 * pieces["1"], "{pieces:?}");
    let pieces = counts(&zipf, "pieces", 9_000);
    assert!(pieces["0"] > 2 * pieces["3"], "{pieces:?}");

    let refused = read_type("orders", &with(Some("even"))).unwrap_err().to_string();
    assert!(refused.contains("properties.country.x-sample: `even` is not one of normal, zipf"), "{refused}");
}

#[test]
fn references_are_drawn_from_the_ids_that_are_given() {
    let mut sampler = Sampler::new(&read_type("clicks", &clicks()).unwrap(), 1);
    let ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
    let drawn = |sampler: &mut Sampler| -> HashSet<String> {
        let mut next = || serde_json::from_str::<Value>(&sampler.next(NOW)).unwrap();
        (0..100).map(|_| next()["impression_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(drawn(&mut sampler).len(), 100);
    sampler.refer_to("impressions", ids.map(str::to_owned).to_vec());
    assert_eq!(drawn(&mut sampler), ids.map(str::to_owned).into());
}

#[test]
fn events_occur_just_before_they_are_drawn_and_some_long_before() {
    let orders = read_type("orders", &every_type_of_value()).unwrap();
    let mut sampler = Sampler::new(&orders, 1).late(0.25, Duration::from_secs(86_400));
    let late = (0..1_000).filter(|_| {
        let order: Value = serde_json::from_str(&sampler.next(NOW)).unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(order["ordered_at"].as_str().unwrap()).unwrap();
        let behind = NOW - time.timestamp_millis();
        let is_late = (86_400_000..86_401_000).contains(&behind);
        assert!(is_late || (0..1_000).contains(&behind), "{order}");
        is_late
    });
    assert!((200..300).contains(&late.count()));

    let order: Value = serde_json::from_str(&Sampler::new(&orders, 2).raw_times().next(NOW)).unwrap();
    let time = order["ordered_at"].as_str().unwrap();
    let parsed = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.3f").unwrap();
    assert!(time.len() == 23 && NOW - parsed.and_utc().timestamp_millis() < 1_000, "{time}");
}
