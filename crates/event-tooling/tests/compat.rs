//! Compatible and incompatible changes of an event type.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use event_tooling::{compat, lock};
use event_types::{EventType, read_type};

const ORDERS: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Order", "description": "A customer ordered.", "type": "object", "additionalProperties": false,
  "x-group": "shop", "x-id": "order_id", "x-time": "ordered_at", "x-sort": ["ordered_at"], "x-erase": ["customer"],
  "required": ["ordered_at", "customer", "total"],
  "properties": {
    "order_id": {"description": "Own id", "type": "string", "format": "uuid"},
    "ordered_at": {"description": "When", "type": "string", "format": "date-time"},
    "customer": {"description": "Who", "type": "string", "minLength": 2, "maxLength": 40},
    "total": {"description": "Sum", "type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 50000},
    "currency": {"description": "Currency", "type": "string", "enum": ["EUR", "JPY"]},
    "weight": {"description": "kg", "type": "number", "maximum": 30},
    "count": {"description": "Count", "type": "integer", "minimum": 1, "maximum": 9},
    "items": {
      "description": "Items", "type": "array", "maxItems": 10,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["sku"],
        "properties": {"sku": {"description": "SKU", "type": "string", "maxLength": 8}, "gift": {"description": "Gift", "type": "boolean"}}
      }
    }
  }
}"#;

fn orders(changes: &[(&str, &str)]) -> EventType {
    let mut schema = ORDERS.to_owned();
    for (from, to) in changes {
        assert_eq!(schema.matches(from).count(), 1, "{from}");
        schema = schema.replace(from, to);
    }
    read_type("orders", &schema).unwrap()
}

fn problems(changes: &[(&str, &str)]) -> Vec<String> {
    let found = compat::compare(&[orders(&[])], &[orders(changes)]);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn wider_limits_and_later_fields_are_compatible() {
    for changes in [
        vec![],
        // A new optional field at the end.
        vec![(
            "      }\n    }\n  }\n}",
            "      }\n    },\n    \"note\": {\"description\": \"Note\", \"type\": \"string\", \"maxLength\": 9}\n  }\n}",
        )],
        vec![("\"maxLength\": 40", "\"maxLength\": 41"), ("\"minLength\": 2, ", "")],
        vec![("\"maximum\": 50000", "\"maximum\": 99999.99")],
        vec![("[\"EUR\", \"JPY\"]", "[\"CHF\", \"JPY\", \"EUR\"]")],
        vec![("\"maximum\": 30", "\"maximum\": 30.5")],
        vec![(", \"maximum\": 30", "")],
        vec![("\"minimum\": 1, \"maximum\": 9", "\"minimum\": 0, \"maximum\": 10")],
        vec![("\"maxItems\": 10", "\"maxItems\": 11"), ("\"maxLength\": 8", "\"maxLength\": 9")],
        // Texts, and annotations that do not affect stored rows.
        vec![("\"Order\"", "\"An order\""), ("A customer ordered.", "x"), ("\"When\"", "\"Then\"")],
        vec![("\"x-sort\": [\"ordered_at\"]", "\"x-sort\": [\"customer\"]"), (", \"x-erase\": [\"customer\"]", "")],
    ] {
        assert_eq!(problems(&changes), Vec::<String>::new(), "{changes:?}");
    }
    assert!(compat::compare(&[], &[orders(&[])]).is_empty());
}

const UNDO: &str = "Undo it, and add a new optional field at the end, or a new type";

/// Asserts that the changes give exactly one error, with this path, start of the reason and part of the remedy.
fn assert_refused(changes: &[(&str, &str)], path: &str, reason: &str, remedy: &str) {
    let found = problems(changes);
    assert_eq!(found.len(), 1, "{changes:?}: {found:?}");
    assert!(found[0].starts_with(&format!("events/orders.json: {path}: {reason}")), "{}", found[0]);
    assert!(found[0].contains(remedy), "{}", found[0]);
}

#[test]
fn another_group_is_refused() {
    assert_refused(&[("\"shop\"", "\"app\"")], "x-group", "it was `shop` and is `app`", UNDO);
}

#[test]
fn a_field_that_is_gone_is_refused() {
    let renamed = [
        ("\"customer\": {\"description\"", "\"buyer\": {\"description\""),
        ("\"ordered_at\", \"customer\", \"total\"", "\"ordered_at\", \"total\""),
        (", \"x-erase\": [\"customer\"]", ""),
    ];
    assert_refused(&renamed, "properties.customer", "it is gone", UNDO);
}

#[test]
fn a_value_of_an_enum_that_is_gone_is_refused() {
    assert_refused(&[("\"JPY\"", "\"CHF\"")], "properties.currency.enum", "`JPY` is gone", UNDO);
}

#[test]
fn a_field_that_becomes_required_is_refused() {
    let required = [(
        "\"required\": [\"ordered_at\", \"customer\", \"total\"]",
        "\"required\": [\"ordered_at\", \"customer\", \"total\", \"count\"]",
    )];
    let remedy = "Leave it optional, or add a new type";
    assert_refused(&required, "properties.count", "it was optional and is required", remedy);
    let inside = [("[\"sku\"]", "[\"sku\", \"gift\"]")];
    assert_refused(&inside, "properties.items.items.properties.gift", "it was optional and is required", remedy);
}

#[test]
fn a_field_that_becomes_optional_is_refused() {
    let optional = [("\"ordered_at\", \"customer\", \"total\"", "\"ordered_at\", \"customer\"")];
    let remedy = "Leave it required, or add a new type";
    assert_refused(&optional, "properties.total", "it was required and is optional", remedy);
}

#[test]
fn a_new_required_field_is_refused() {
    let new = [
        (
            "      }\n    }\n  }\n}",
            "      }\n    },\n    \"note\": {\"description\": \"Note\", \"type\": \"boolean\"}\n  }\n}",
        ),
        ("\"customer\", \"total\"]", "\"customer\", \"total\", \"note\"]"),
    ];
    assert_refused(&new, "properties.note", "it is new and required", "Make it optional, or add a new type");
}

#[test]
fn a_narrower_limit_is_refused() {
    for (from, to, path, limits) in [
        ("\"maxLength\": 40", "\"maxLength\": 39", "customer.maxLength", "was 40 and is 39"),
        ("\"minLength\": 2", "\"minLength\": 3", "customer.minLength", "was 2 and is 3"),
        ("50000", "49999", "total.maximum", "was 50000 and is 49999"),
        ("\"maximum\": 30", "\"maximum\": 29.5", "weight.maximum", "was 30 and is 29.5"),
        (
            "\"type\": \"number\", \"maximum\": 30",
            "\"type\": \"number\", \"minimum\": 0, \"maximum\": 30",
            "weight.minimum",
            "was absent and is 0",
        ),
        ("\"maxItems\": 10", "\"maxItems\": 9", "items.maxItems", "was 10 and is 9"),
    ] {
        assert_refused(&[(from, to)], &format!("properties.{path}"), &format!("the limit {limits}"), "widen it");
    }
}

#[test]
fn another_type_of_a_column_is_refused() {
    let number = [("\"type\": \"integer\", \"minimum\": 1, \"maximum\": 9", "\"type\": \"number\"")];
    assert_refused(&number, "properties.count", "it was an integer and is a number (double)", UNDO);
    let finer = [("0.01", "0.001")];
    assert_refused(&finer, "properties.total.multipleOf", "it had 2 digits after the point and has 3", UNDO);
    let wider = [("50000", "100000")];
    let reason = "the column would change from decimal(7,2) to decimal(8,2)";
    assert_refused(&wider, "properties.total.maximum", reason, "Stay within 99999.99");
}

#[test]
fn a_new_field_inside_an_object_is_refused() {
    let new = [(
        "{\"description\": \"Gift\"",
        "{\"description\": \"x\", \"type\": \"boolean\"}, \"new\": {\"description\": \"x\"",
    )];
    let reason = "a new field inside an object changes the type of the lake's column";
    let remedy = "Add an optional field to the event itself";
    assert_refused(&new, "properties.items.items.properties.new", reason, remedy);
}

#[test]
fn a_new_field_before_others_is_refused() {
    let new = [("\"currency\":", "\"note\": {\"description\": \"Note\", \"type\": \"boolean\"},\n    \"currency\":")];
    let reason = "it is field number 6 and should be number 5";
    assert_refused(&new, "properties.currency", reason, "new fields go to the end");
}

#[test]
fn a_type_that_is_gone_is_refused() {
    let found = compat::compare(&[orders(&[])], &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().contains("the type is gone"), "{}", found[0]);
    assert!(found[0].to_string().contains("--allow orders"), "{}", found[0]);
}

fn locked(changes: &[(&str, &str)]) -> Vec<String> {
    let lock = lock::text(&[orders(&[])]);
    lock::conflicts(&lock, &[orders(changes)]).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn the_lock_has_the_columns_in_their_order() {
    let lock = lock::text(&[orders(&[])]);
    assert!(lock.contains("      \"total decimal(7,2)\",\n      \"currency string\",\n"), "{lock}");
    assert!(lock.contains("\"items array<struct<sku:string,gift:boolean>>\"\n    ]\n  }\n}\n"), "{lock}");
    assert_eq!(locked(&[]), Vec::<String>::new());
    assert_eq!(lock::conflicts("{}", &[orders(&[])]), Ok(Vec::new()));
    let at_end = [(
        "      }\n    }\n  }\n}",
        "      }\n    },\n    \"note\": {\"description\": \"Note\", \"type\": \"boolean\"}\n  }\n}",
    )];
    assert_eq!(locked(&at_end), Vec::<String>::new());
}

#[test]
fn the_lock_finds_incompatible_changes_without_git() {
    for (changes, expected) in [
        (
            vec![("\"currency\":", "\"note\": {\"description\": \"Note\", \"type\": \"boolean\"},\n    \"currency\":")],
            "properties.currency: it was field number 5 and is number 6",
        ),
        (vec![("\"weight\":", "\"mass\":")], "properties.weight: it is gone"),
        (vec![("50000", "100000")], "properties.total: the lake's column was decimal(7,2) and would be decimal(8,2)"),
        (vec![("\"shop\"", "\"app\"")], "x-group: it was `shop` and is `app`"),
    ] {
        let found = locked(&changes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("events/orders.json: {expected}")), "{}", found[0]);
    }
    let gone = lock::conflicts(&lock::text(&[orders(&[])]), &[]).unwrap();
    assert!(gone[0].to_string().contains("the type is gone"), "{}", gone[0]);
    assert!(gone[0].to_string().contains("cargo dataless events remove orders"), "{}", gone[0]);
    for damaged in [
        "",
        "[]",
        "{\"orders\": 1}",
        "{\"orders\": {\"group\": \"a\", \"id\": \"b\", \"time\": \"c\", \"columns\": [1]}}",
    ] {
        assert!(lock::conflicts(damaged, &[]).unwrap_err().contains("restore it from Git"), "{damaged}");
    }
}
