//! Validation and encoding in events per second, compared with parsing the JSON and discarding the result.
#![allow(missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use events::{Batch, CLICKS, EventType, IMPRESSIONS};
use serde::de::IgnoredAny;
use support::{ORDERS, Type, now};
use uuid::Uuid;

/// A batch of 500 events.
const EVENTS: usize = 500;

fn id(index: usize, field: usize) -> Uuid {
    Uuid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0000 + (index * 7 + field) as u128)
}

fn batch(event_type: &EventType, count: usize, event: impl Fn(usize) -> String) -> String {
    let events: Vec<String> = (0..count).map(event).collect();
    format!("{{\"{}\":[{}]}}", event_type.name, events.join(","))
}

/// A batch of one of the two types whose fields are ids and a time.
fn ids_and_time(event_type: &EventType, count: usize, with_id: bool) -> String {
    batch(event_type, count, |index| {
        let mut event = "{".to_owned();
        for (field, name) in event_type.field_names().enumerate().skip(usize::from(!with_id)) {
            match name {
                "occurred_at" => event.push_str("\"occurred_at\":\"2026-11-20 11:59:58.123\"}"),
                _ => write!(event, "\"{name}\":\"{}\",", id(index, field)).unwrap_or_default(),
            }
        }
        event
    })
}

/// Orders with ten fields and three items each.
fn orders(event_type: &EventType, with_blanks: bool) -> String {
    let batch = batch(event_type, EVENTS, |index| {
        let item = |item: usize| {
            let (sku, quantity, cents) = (index * 3 + item, item + 1, (index * 37 + item * 11) % 100);
            format!(r#"{{"sku":"A-{sku:06}","quantity":{quantity},"price":{}.{cents:02}}}"#, 5 + index % 90)
        };
        format!(
            r#"{{"order_id":"{}","customer_id":"{}","ordered_at":"2026-11-20T11:59:58.{:03}Z","deliver_on":"2026-11-24","currency":"EUR","total":{}.{:02},"weight":{:.3},"express":{},"note":"Bitte beim Nachbarn abgeben, 2. Stock – danke!","items":[{},{},{}]}}"#,
            id(index, 0),
            id(index, 1),
            index,
            20 + index % 400,
            index % 100,
            0.25 + index as f64 / 64.0,
            index % 2 == 0,
            item(0),
            item(1),
            item(2),
        )
    });
    if with_blanks { batch.replace("\":", "\": ").replace(",\"", ", \"") } else { batch }
}

fn parse(criterion: &mut Criterion) {
    if cfg!(debug_assertions) {
        panic!("the benchmark needs the release profile: use `cargo bench` without --profile");
    }
    let mut group = criterion.benchmark_group("parse");
    let orders_type = Type::new("orders", ORDERS).table;
    for (name, event_type, count, body) in [
        ("impressions", &IMPRESSIONS, EVENTS, ids_and_time(&IMPRESSIONS, EVENTS, true)),
        ("impressions", &IMPRESSIONS, 1, ids_and_time(&IMPRESSIONS, 1, true)),
        ("impressions without ids", &IMPRESSIONS, EVENTS, ids_and_time(&IMPRESSIONS, EVENTS, false)),
        ("clicks", &CLICKS, EVENTS, ids_and_time(&CLICKS, EVENTS, true)),
        ("orders", orders_type, EVENTS, orders(orders_type, false)),
        ("orders with blanks", orders_type, EVENTS, orders(orders_type, true)),
    ] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new(name, count), &body, |bencher, body| {
            bencher.iter(|| Batch::parse(event_type, body.as_bytes(), now(), Uuid::now_v7));
        });
    }
    group.finish();
}

/// Returns the median time of each of two functions. They run alternately, so that both see the same machine load.
fn medians(mut one: impl FnMut(), mut other: impl FnMut()) -> (Duration, Duration) {
    const ROUNDS: usize = 501;
    let timed = |function: &mut dyn FnMut()| {
        let start = Instant::now();
        function();
        start.elapsed()
    };
    let (mut ones, mut others): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (timed(&mut one), timed(&mut other))).unzip();
    ones.sort_unstable();
    others.sort_unstable();
    (ones[ROUNDS / 2], others[ROUNDS / 2])
}

/// Prints the time for a batch, compared with `serde_json::from_slice::<IgnoredAny>` of the same body.
fn compare(name: &str, event_type: &'static EventType, body: &str) {
    let parsed = Batch::parse(event_type, body.as_bytes(), now(), Uuid::now_v7);
    assert!(parsed.is_ok_and(|batch| batch.events().iter().all(Result::is_ok)), "{name}");
    let (ours, ignored) = medians(
        || drop(black_box(Batch::parse(event_type, black_box(body.as_bytes()), now(), Uuid::now_v7))),
        || drop(black_box(serde_json::from_slice::<IgnoredAny>(black_box(body.as_bytes())))),
    );
    let ratio = ours.as_secs_f64() / ignored.as_secs_f64();
    println!("{EVENTS} {name}, {} bytes: {ours:.1?}; IgnoredAny: {ignored:.1?}; {ratio:.2} times", body.len());
}

criterion_group!(benches, parse);

fn main() {
    benches();
    let orders_type = Type::new("orders", ORDERS).table;
    compare("impressions", &IMPRESSIONS, &ids_and_time(&IMPRESSIONS, EVENTS, true));
    compare("clicks", &CLICKS, &ids_and_time(&CLICKS, EVENTS, true));
    compare("orders", orders_type, &orders(orders_type, false));
    compare("orders with blanks", orders_type, &orders(orders_type, true));
    Criterion::default().configure_from_args().final_summary();
}
