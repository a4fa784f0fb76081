//! The check of raw lines gives the expected result for the test lines of the jobs. `glue/tests/raw_lines.py` writes
//! them to `data/raw_lines.json`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use events::raw_line::{is_event, is_object};
use events::{CLICKS, IMPRESSIONS};
use serde_json::Value;
use support::Type;

/// Table, line, whether it is an event, and its fate.
fn lines() -> Vec<(String, Vec<u8>, bool, String)> {
    let read: Vec<Value> = serde_json::from_str(include_str!("data/raw_lines.json")).unwrap();
    let text = |line: &Value, name: &str| line[name].as_str().map(str::to_owned);
    let bytes = |hex: String| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let line = |line: &Value| {
        let content = text(line, "text").map_or_else(|| bytes(text(line, "bytes").unwrap()), String::into_bytes);
        (text(line, "table").unwrap(), content, line["is_event"].as_bool().unwrap(), text(line, "fate").unwrap())
    };
    read.iter().map(line).collect()
}

#[test]
fn a_line_is_an_event_when_the_etl_finds_one_in_it() {
    let orders = Type::new("orders", include_str!("schemas/nasty_orders.json"));
    let mut counts = (0, 0);
    for (table, line, expected, fate) in lines() {
        let event_type = if table == "orders" { orders.table } else { &IMPRESSIONS };
        let found = is_event(event_type, &line);
        assert_eq!(found, expected, "{fate}: {:.300}", String::from_utf8_lossy(&line));
        if found { counts.0 += 1 } else { counts.1 += 1 }
    }
    assert!(counts.0 > 150 && counts.1 > 150, "{counts:?}");
}

#[test]
fn a_line_is_an_object_when_the_etl_calls_it_neither_blank_nor_malformed() {
    for (_, line, _, fate) in lines() {
        let is_json = !["blank", "malformed"].contains(&fate.as_str());
        assert_eq!(is_object(&line), is_json, "{fate}: {:.300}", String::from_utf8_lossy(&line));
    }
}

#[test]
fn a_line_from_a_beacon_is_an_event_of_its_type() {
    let orders = Type::new("orders", support::ORDERS);
    let readings = Type::new("readings", support::READINGS);
    let mut rng = fastrand::Rng::with_seed(7);
    for of in [&orders, &readings] {
        let mut count = 0;
        for _ in 0..500 {
            let Ok(line) = of.line(&support::random::event(&mut rng, &of.model, 0.0).written) else { continue };
            count += 1;
            assert!(is_event(of.table, line.trim_end().as_bytes()), "{line}");
            assert!(!is_event(&IMPRESSIONS, line.trim_end().as_bytes()), "{line}");
        }
        assert!(count > 100, "{count} of {}", of.model.name);
    }
    let id = "0192d3c4-9a5b-7c6d-8e7f-001122334455";
    let click = format!(
        r#"{{"click_id":"{id}","impression_id":"{id}","ad_id":"{id}","occurred_at":"2026-11-20 10:00:00.000"}}"#
    );
    assert!(is_event(&CLICKS, click.as_bytes()));
    // A click has all fields of an impression, so the ETL accepts it as one.
    assert!(is_event(&IMPRESSIONS, click.as_bytes()));
    let impression = click.replace(&format!("\"click_id\":\"{id}\","), "");
    assert!(!is_event(&CLICKS, impression.as_bytes()));
}
