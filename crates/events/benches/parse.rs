//! Validation and encoding: events a second for batches of 500 and of one.
#![allow(missing_docs)]

use std::fmt::Write;

use chrono::{DateTime, Utc};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use events::{Batch, Kind};
use uuid::Uuid;

fn body(kind: Kind, count: usize, with_id: bool) -> String {
    let mut body = format!("{{\"{}\":[", kind.table());
    for index in 0..count {
        let separator = if index == 0 { "" } else { "," };
        write!(body, "{separator}{{").unwrap_or_else(|_| unreachable!("writing to a String cannot fail"));
        for (place, name) in kind.ids().iter().enumerate().skip(usize::from(!with_id)) {
            let id = Uuid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0000 + (index * 7 + place) as u128);
            write!(body, "\"{name}\":\"{id}\",").unwrap_or_else(|_| unreachable!("writing to a String cannot fail"));
        }
        body.push_str("\"occurred_at\":\"2026-11-20 11:59:58.123\"}");
    }
    body.push_str("]}");
    body
}

fn parse(criterion: &mut Criterion) {
    if cfg!(debug_assertions) {
        panic!("figures are of the release profile: use `cargo bench` without --profile");
    }
    let now = DateTime::<Utc>::from_timestamp_nanos(1_795_176_000_000_000_000);
    let mut group = criterion.benchmark_group("parse");
    for (name, kind, count, with_id) in [
        ("impressions", Kind::Impression, 500, true),
        ("impressions", Kind::Impression, 1, true),
        ("impressions without ids", Kind::Impression, 500, false),
        ("clicks", Kind::Click, 500, true),
    ] {
        let body = body(kind, count, with_id);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new(name, count), &body, |bencher, body| {
            bencher.iter(|| Batch::parse(kind, body.as_bytes(), now, Uuid::now_v7));
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
