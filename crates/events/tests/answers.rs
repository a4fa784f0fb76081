//! An error names the path and the valid values, and does not depend on the order of the keys.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::{GIVEN, ORDERS, READINGS, Type, random};

const ID: &str = "0192d3c4-9a5b-7c6d-8e7f-001122334455";

fn orders() -> Type {
    Type::new("orders", ORDERS)
}

fn order() -> Value {
    json!({
        "order_id": ID,
        "customer_id": ID,
        "ordered_at": "2026-11-20T11:59:58Z",
        "currency": "EUR",
        "total": 30,
        "express": false,
        "items": [
            {"sku": "a", "quantity": 1, "price": 10},
            {"sku": "b", "quantity": 1, "price": 10},
            {"sku": "c", "quantity": 1, "price": 10},
        ],
    })
}

/// The order with another value at a path, as JSON.
fn order_with(pointer: &str, value: &str) -> String {
    let mut order = order();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match order.pointer_mut(parent).unwrap() {
        Value::Object(object) => drop(object.insert(name.to_owned(), json!("@"))),
        Value::Array(array) => array[name.parse::<usize>().unwrap()] = json!("@"),
        _ => unreachable!("values are in objects and arrays"),
    }
    order.to_string().replace("\"@\"", value)
}

fn problem(event: &str) -> (&'static str, String) {
    orders().line(event).unwrap_err()
}

/// Asserts that the order with this value at a path is refused with this code and start of the message.
fn assert_refused(pointer: &str, value: &str, code: &str, message: &str) {
    let event = order_with(pointer, value);
    let found = problem(&event);
    assert_eq!(found.0, code, "{event}: {}", found.1);
    assert!(found.1.starts_with(message), "{event}: {}", found.1);
}

#[test]
fn the_error_of_an_id_or_a_time_names_the_field_and_its_form() {
    for (pointer, value, code, message) in [
        ("/order_id", "null", "InvalidId", "`order_id` is not a UUID: write 8-4-4-4-12 hexadecimal digits, such as "),
        ("/customer_id", "\"7\"", "InvalidId", "`customer_id` is not a UUID: write 8-4-4-4-12"),
        (
            "/ordered_at",
            "\"now\"",
            "InvalidTime",
            "`ordered_at` is not a time: write `YYYY-MM-DD HH:MM:SS[.fff]` in UTC",
        ),
        (
            "/ordered_at",
            "\"2026-10-01 00:00:00\"",
            "TooLate",
            "`ordered_at` is more than 30 days back: events are accepted for 30 days only",
        ),
    ] {
        assert_refused(pointer, value, code, message);
    }
}

#[test]
fn the_error_of_a_value_names_the_field_and_its_valid_values() {
    for (pointer, value, message) in [
        ("/deliver_on", "\"2026-02-29\"", "`deliver_on`: write a day of the calendar as a string, `YYYY-MM-DD`"),
        ("/currency", "\"eur\"", "`currency`: write one of \"EUR\", \"JPY\", \"USD\""),
        ("/total", "0.001", "`total`: write a number from 0 to 9999999.99 with at most 2 digits after the point"),
        ("/total", "\"1\"", "`total`: write a number from 0 to 9999999.99"),
        ("/weight", "-1e-9", "`weight`: write a number of at least 0"),
        ("/express", "0", "`express`: write true or false"),
        ("/note", "7", "`note`: write a string of at most 200 characters"),
        ("/note", "\"\\ud83d!\"", "`note`: half a surrogate pair is not a character, write both halves or none"),
        ("/items", "[]", "`items`: write an array of 1 to 50 items"),
        ("/items", "{\"a\":1}", "`items`: write an array of 1 to 50 items"),
        ("/items", "1e999", "`items`: write an array of 1 to 50 items"),
    ] {
        assert_refused(pointer, value, "InvalidValue", message);
    }
}

#[test]
fn the_error_of_an_item_names_the_path_to_it() {
    for (pointer, value, message) in [
        ("/items/1", "[7]", "`items[1]`: write an object with sku, quantity, price"),
        ("/items/1", "1e999", "`items[1]`: write an object with sku, quantity, price"),
        ("/items/1", "{\"\\udc00\":1}", "`items[1]`: write an object with sku, quantity, price"),
        ("/items/2/sku", "\"\"", "`items[2].sku`: write a string of 1 to 40 characters"),
        ("/items/2/price", "-0.01", "`items[2].price`: write a number from 0 to 99999.99 with at most 2 digits"),
        ("/items/0/quantity", "1.0", "`items[0].quantity`: write an integer from 1 to 1000, without a point"),
    ] {
        assert_refused(pointer, value, "InvalidValue", message);
    }
}

#[test]
fn the_error_of_a_field_inside_an_item_names_the_path_to_it() {
    assert_refused("/items/1", "{}", "MissingField", "`items[1].sku` is missing: add it");
    let unknown = "unknown field `items[2].colour`: remove it, the fields are sku, quantity, price";
    assert_refused("/items/2/colour", "1", "UnknownField", unknown);
    let duplicate = "`items[0].sku` occurs more than once: keep one";
    assert_refused("/items/0/sku", "\"a\",\"sku\":\"b\"", "DuplicateField", duplicate);
}

#[test]
fn messages_are_short_and_cut_what_the_client_wrote() {
    let long = "x".repeat(5_000);
    let (_, message) = problem(&order_with(&format!("/items/2/{long}"), "1"));
    assert!(message.starts_with("unknown field `items[2].xxx") && message.len() < 120, "{message}");
}

/// All permutations of the members of an object.
fn permutations(members: &[&str]) -> Vec<String> {
    if members.len() < 2 {
        return vec![members.join(",")];
    }
    let mut all = Vec::new();
    for (at, first) in members.iter().enumerate() {
        let rest = [&members[..at], &members[at + 1..]].concat();
        all.extend(permutations(&rest).iter().map(|rest| format!("{first},{rest}")));
    }
    all
}

#[test]
fn the_first_error_is_that_of_the_schemas_first_field_in_any_order_of_keys() {
    // `currency` and later fields are missing, and `total` and `customer_id` are invalid.
    let members =
        ["\"total\":null", "\"note\":7", "\"customer_id\":1", "\"ordered_at\":\"2026-11-20 11:59:58\"", "\"items\":[]"];
    let answers: std::collections::BTreeSet<_> =
        permutations(&members).iter().map(|members| problem(&format!("{{{members}}}"))).collect();
    assert_eq!(answers.len(), 1);
    assert!(answers.first().unwrap().1.starts_with("`customer_id` is not a UUID"), "{answers:?}");
    let members = ["\"total\":null", "\"note\":7", "\"ordered_at\":\"2026-11-20 11:59:58\"", "\"items\":[]"];
    for members in permutations(&members) {
        assert_eq!(problem(&format!("{{{members}}}")).1, "`customer_id` is missing: add it");
    }
    // The same holds within an item.
    for members in permutations(&["\"price\":-1", "\"quantity\":0", "\"sku\":\"\""]) {
        let (_, message) = problem(&order_with("/items/1", &format!("{{{members}}}")));
        assert!(message.starts_with("`items[1].sku`: "), "{message}");
    }
}

#[test]
fn an_unknown_or_duplicate_field_is_the_first_error_of_its_object() {
    for members in permutations(&["\"total\":null", "\"colour\":7", "\"items\":[{\"size\":1}]"]) {
        assert!(problem(&format!("{{{members}}}")).1.starts_with("unknown field `colour`"));
    }
    for members in permutations(&["\"price\":-1", "\"sku\":\"\"", "\"sku\":\"\""]) {
        let (_, message) = problem(&order_with("/items/1", &format!("{{{members}}}")));
        assert_eq!(message, "`items[1].sku` occurs more than once: keep one");
    }
}

#[test]
fn the_first_item_that_is_not_valid_is_named_unless_there_are_too_many() {
    let items = |count: usize| format!("[{}]", vec!["{\"sku\":\"a\",\"quantity\":1,\"price\":1}"; count].join(","));
    assert!(orders().line(&order_with("/items", &items(50))).is_ok());
    let with_two = items(50).replacen("\"a\"", "1", 2);
    assert!(problem(&order_with("/items", &with_two)).1.starts_with("`items[0].sku`"));
    for count in [51, 20_000] {
        let too_many = items(count).replacen("\"a\"", "1", 1);
        assert_eq!(problem(&order_with("/items", &too_many)).1, "`items`: write an array of 1 to 50 items");
    }
}

#[test]
fn null_is_invalid_for_every_field() {
    let readings = Type::new("readings", READINGS);
    let valid = "\"count\":1,\"read_at\":\"2026-11-20 11:59:58\",\"place\":{\"room\":\"a\"}";
    assert!(readings.line(&format!("{{{valid}}}")).is_ok());
    for field in &readings.model.object.fields {
        let name = &field.name;
        let others: Vec<_> = valid.split(",\"").map(|member| format!("\"{}", member.trim_start_matches('"'))).collect();
        let others: Vec<_> =
            others.iter().filter(|member| !member.starts_with(&format!("\"{name}\""))).cloned().collect();
        let (code, message) = readings.line(&format!("{{\"{name}\":null,{}}}", others.join(","))).unwrap_err();
        assert!(code.starts_with("Invalid") && message.starts_with(&format!("`{name}`")), "{code}: {message}");
    }
}

#[test]
fn an_event_that_serde_json_refuses_does_not_affect_the_others() {
    let orders = orders();
    let good = order().to_string();
    for bad in ["1e999", "\"\\ud800\"", "{\"\\ud800\":1}"] {
        for bad in
            [bad.to_owned(), order_with("/items", bad), order_with("/items/0", bad), order_with("/items/0/sku", bad)]
        {
            let batch = orders.parse(&format!("{good},{bad},{good}")).unwrap();
            let stored: Vec<bool> = batch.events().iter().map(Result::is_ok).collect();
            assert_eq!(stored, [true, false, true], "{bad}");
            let alone = orders.parse(&format!("{good},{good}")).unwrap();
            assert_eq!(batch.ndjson(), alone.ndjson(), "{bad}");
        }
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for pointer in ["/items", "/items/1", "/items/1/sku", "/note", "/unknown"] {
        let (code, _) = problem(&order_with(pointer, &deep));
        assert!(["InvalidValue", "UnknownField"].contains(&code), "{pointer}: {code}");
    }
}

#[test]
fn the_own_id_is_put_where_the_schema_has_it() {
    let readings = Type::new("readings", READINGS);
    let id = format!("\"reading_id\":\"{}\"", ID.replace("0192", "FFFF"));
    let (level, count) = ("\"level\":1", "\"count\":2");
    let (at, place) = ("\"read_at\":\"2026-11-20 11:59:58.000\"", "\"place\":{\"room\":\"a\"}");
    for with_id in [false, true] {
        let mut members = vec![level, count, at, place];
        if with_id {
            members.push(&id);
        }
        let given = format!("\"reading_id\":\"{GIVEN}\"");
        let expected_id = if with_id { id.to_lowercase() } else { given };
        let expected = format!("{{{count},{level},{expected_id},{at},{place}}}\n");
        for members in permutations(&members) {
            assert_eq!(readings.line(&format!("{{{members}}}")).unwrap(), expected, "{members}");
        }
    }
}

#[test]
fn a_line_round_trips() {
    let readings = Type::new("readings", READINGS);
    let mut rng = fastrand::Rng::with_seed(3);
    let lines: Vec<String> = (0..500)
        .map(|_| random::event(&mut rng, &readings.model, 0.0).written)
        .map(|event| readings.line(&event).unwrap())
        .collect();
    let again = readings.parse(&lines.concat().trim_end().replace('\n', ",")).unwrap();
    assert_eq!(std::str::from_utf8(again.ndjson()).unwrap(), lines.concat());
}

#[test]
fn a_line_of_1000_kib_is_taken_and_one_byte_more_is_not() {
    let orders = Type::new("orders", &ORDERS.replace("\"maxLength\": 200", "\"maxLength\": 2000000"));
    let noted = |length: usize| {
        let mut event = order();
        event["note"] = "x".repeat(length).into();
        event.to_string()
    };
    let others = orders.line(&noted(0)).unwrap().len();
    assert_eq!(orders.line(&noted(1_024_000 - others)).unwrap().len(), 1_024_000);
    let (code, message) = orders.line(&noted(1_024_001 - others)).unwrap_err();
    assert_eq!((code, &message[..]), ("InvalidValue", "the event is longer than 1024000 bytes: send less in it"));
    // Its neighbours are accepted.
    let batch = orders.parse(&format!("{},{},{}", order(), noted(1_100_000), order())).unwrap();
    assert_eq!(batch.events().iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(batch.ndjson().split(|byte| *byte == b'\n').count(), 3);
}

#[test]
fn an_event_with_an_invalid_last_key_leaves_no_output() {
    let (orders, good) = (orders(), order().to_string());
    let bad = format!("{},\"\\ud800\":1}}", good.trim_end_matches('}'));
    let batch = orders.parse(&format!("{good},{bad},{good}")).unwrap();
    assert_eq!(batch.events().iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(batch.ndjson(), orders.parse(&format!("{good},{good}")).unwrap().ndjson());
}

#[test]
fn each_line_has_its_own_1000_kib() {
    let orders = Type::new("orders", &ORDERS.replace("\"maxLength\": 200", "\"maxLength\": 2000000"));
    let mut event = order();
    event["note"] = "x".repeat(600_000).into();
    let batch = orders.parse(&format!("{event},{event},{event}")).unwrap();
    assert!(batch.events().iter().all(Result::is_ok), "{:?}", batch.events());
}
