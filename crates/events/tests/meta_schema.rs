//! `events/event-type.schema.json` and the crate `event-types` accept and refuse the same schemas, as far as JSON
//! Schema can express the rules.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Map, Value, json};
use support::{ORDERS, READINGS, random_schema};

/// Parts of the error messages of rules that only `event-types` can check.
const BEYOND_JSON_SCHEMA: [&str; 9] = [
    // One part of the schema must agree with another.
    "there is no property",
    "must be a string of format uuid and not be listed in `required`",
    "must be a string of format date-time, and listed in `required`",
    "is an array or an object: sort by simple fields",
    "must be a uuid, a string or an integer",
    "is greater than",
    "must be a multiple of",
    // `2.0` is an integer in JSON Schema.
    "it must be an integer of 64 bits",
    "it must be a count",
];

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events")
}

fn meta_schema() -> jsonschema::Validator {
    let text = std::fs::read_to_string(folder().join("event-type.schema.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn read(schema: &Value) -> Result<(), String> {
    event_types::read_type("things", &schema.to_string()).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn schemas_of_event_types_conform_to_the_meta_schema() {
    let meta_schema = meta_schema();
    assert!(jsonschema::meta::is_valid(
        &serde_json::from_str(&std::fs::read_to_string(folder().join("event-type.schema.json")).unwrap()).unwrap()
    ));
    let mut schemas = vec![ORDERS.to_owned(), READINGS.to_owned()];
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !["event-type.schema.json", "lock.json"].contains(&path.file_name().unwrap().to_str().unwrap()) {
            schemas.push(std::fs::read_to_string(path).unwrap());
        }
    }
    assert!(schemas.len() >= 4);
    schemas.extend((0..200).map(|seed| random_schema::schema(&mut Rng::with_seed(seed))));
    for schema in schemas {
        event_types::read_type("things", &schema).unwrap();
        let schema = serde_json::from_str(&schema).unwrap();
        assert!(meta_schema.is_valid(&schema), "{:?}\n{schema}", meta_schema.validate(&schema));
    }
}

#[test]
fn a_changed_schema_gets_the_same_verdict() {
    let meta_schema = meta_schema();
    let mut rng = Rng::with_seed(1);
    let mut beyond = BTreeSet::new();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..8_000 {
        // serde_json would write a smaller number with an exponent.
        let original = match round % 4 {
            0 => ORDERS.to_owned(),
            1 => READINGS.replace("0.00000001", "0.0001"),
            _ => random_schema::schema(&mut rng),
        };
        let mut schema: Value = serde_json::from_str(&original).unwrap();
        for _ in 0..rng.usize(1..3) {
            change(&mut rng, &mut schema);
        }
        if round % 10 == 0 && schema.is_object() {
            schema["x-sort"] = json!([one_of(&mut rng, &names(&schema))]);
        }
        let verdict = meta_schema.is_valid(&schema);
        match read(&schema) {
            Ok(()) => {
                assert!(verdict, "event-types accepts what the meta-schema refuses: {schema}");
                taken += 1;
            }
            Err(problem) if verdict => {
                let reason = BEYOND_JSON_SCHEMA.iter().find(|reason| problem.contains(*reason));
                beyond.insert(*reason.unwrap_or_else(|| panic!("the meta-schema misses: {problem}\n{schema}")));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 500 && refused > 2000, "{taken} accepted, {refused} refused");
    assert_eq!(beyond, BTreeSet::from(BEYOND_JSON_SCHEMA), "some reasons no longer occur");
}

/// Makes one change to a schema: a member is removed, gets another value or another name, or is added.
fn change(rng: &mut Rng, schema: &mut Value) {
    let names = names(schema);
    let mut objects = Vec::new();
    collect(schema, String::new(), &mut objects);
    let pointer = &objects[rng.usize(..objects.len())];
    let Some(Value::Object(object)) = schema.pointer_mut(pointer) else { unreachable!("only objects were collected") };
    let keys: Vec<String> = object.keys().cloned().collect();
    let key = if keys.is_empty() { "type".to_owned() } else { keys[rng.usize(..keys.len())].clone() };
    match rng.u8(..10) {
        0 | 1 => drop(object.remove(&key)),
        2..=5 => drop(object.insert(key.clone(), another(rng, &key, &names))),
        6 => {
            let name = one_of(rng, &["note_", "Note", "note__2", "7up", "year", "hour", "a", "x-sort", "enum"]);
            if let Some(value) = object.remove(&key) {
                object.insert(name.to_owned(), value);
            }
        }
        7 => {
            let key = one_of(
                rng,
                &[
                    "minimum",
                    "maximum",
                    "multipleOf",
                    "minLength",
                    "maxLength",
                    "enum",
                    "format",
                    "minItems",
                    "maxItems",
                    "items",
                    "uniqueItems",
                    "pattern",
                    "default",
                    "title",
                    "x-erase",
                    "x-since",
                ],
            );
            object.insert(key.to_owned(), another(rng, key, &names));
        }
        8 => drop(object.insert(
            "type".to_owned(),
            json!(one_of(rng, &["string", "number", "integer", "boolean", "object", "array", "null"])),
        )),
        _ => {
            let copy = Value::Object(object.clone());
            let pointer = &objects[rng.usize(..objects.len())];
            if let Some(Value::Object(target)) = schema.pointer_mut(pointer) {
                let key = one_of(rng, &["copy", "items", "note"]);
                target.insert(key.to_owned(), copy);
            }
        }
    }
}

/// A new value for a key of a schema, often a valid one.
fn another(rng: &mut Rng, key: &str, names: &[String]) -> Value {
    if rng.u8(..5) == 0 {
        let any = [json!(null), json!(true), json!(7), json!("x"), json!([]), json!({}), json!(-1.5), json!(" ")];
        return one_of(rng, &any);
    }
    let name = one_of(rng, names);
    let values = match key {
        "minimum" | "maximum" => vec![json!(0), json!(5), json!(-3), json!(1e30), json!(2.5), json!(0.125), json!(2.0)],
        "multipleOf" => vec![json!(0.1), json!(0.01), json!(1), json!(10), json!(0.02), json!(0)],
        "minLength" | "maxLength" | "minItems" | "maxItems" => {
            vec![json!(0), json!(1), json!(3), json!(50), json!(-1), json!(2.0), json!(4_294_967_296_u64)]
        }
        "enum" => vec![json!(["a", "b"]), json!(["a", "a"]), json!([]), json!([1]), json!("a")],
        "format" => vec![json!("uuid"), json!("date"), json!("date-time"), json!("email")],
        "required" | "x-sort" | "x-erase" => vec![json!([]), json!([name]), json!(["nothing"]), json!([name, name])],
        "x-id" | "x-time" => vec![json!(name), json!("nothing")],
        "x-since" => {
            vec![json!("2026-11-20"), json!("2026-11-31"), json!("2026-13-01"), json!("2026-1-1"), json!("soon")]
        }
        "x-group" => vec![json!("shop"), json!("Shop"), json!("a".repeat(33)), json!("")],
        "additionalProperties" => vec![json!(false), json!(true), json!({})],
        "properties" => vec![
            json!({}),
            Value::Object(
                (0..101).map(|at| (format!("f{at}"), json!({"description": "x", "type": "boolean"}))).collect(),
            ),
            Value::Object(Map::from_iter([("f".repeat(65), json!({"description": "x", "type": "boolean"}))])),
        ],
        "items" => vec![json!({"type": "boolean"}), json!({"type": "boolean", "description": "x"}), json!(true)],
        "description" | "title" => vec![json!("Other"), json!("")],
        "x-references" => vec![json!("impressions.impression_id"), json!("impressions")],
        _ => vec![
            json!({"description": "x", "type": "boolean"}),
            json!({"type": "boolean"}),
            json!({"description": "x", "type": "string", "maxLength": 5}),
            json!({"description": "x", "type": "string", "format": "uuid", "x-references": "impressions.impression_id"}),
            json!({"description": "x", "type": "string", "maxLength": 9, "x-references": "impressions.impression_id"}),
            json!({"description": "x", "type": "integer", "examples": [1], "x-since": "2026-11-20"}),
            json!({"description": "x", "type": "number", "multipleOf": 0.01, "maximum": 10}),
            json!({"description": "x", "type": "number", "multipleOf": 0.01, "maximum": 1e20}),
            json!({"description": "x", "type": "array", "maxItems": 2, "items": {"type": "string", "format": "date"}}),
        ],
    };
    one_of(rng, &values)
}

fn one_of<T: Clone>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())].clone()
}

/// The names of the event's fields.
fn names(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let names: Vec<_> = properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect();
    if names.is_empty() { vec!["nothing".to_owned()] } else { names }
}

fn collect(value: &Value, pointer: String, objects: &mut Vec<String>) {
    if let Value::Object(members) = value {
        for (name, member) in members {
            collect(member, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), objects);
        }
        objects.push(pointer);
    }
}
