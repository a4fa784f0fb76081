//! Random and damaged bodies through the validator: it must not panic, and what it takes must be canonical.
//!
//! `cargo run --release -p events --example random_bodies -- 10000000 [SEED]`
#![allow(clippy::unwrap_used, reason = "it fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use events::{Batch, BatchError};
use fastrand::Rng;
use support::{ORDERS, READINGS, Type, random};

/// What bytes are replaced by, or put in.
const PIECES: [&[u8]; 22] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"-",
    b"0",
    b"9",
    b"e",
    b".",
    b"null",
    b"true",
    b"1e999",
    b"\\u",
    b"\\ud800",
    b"\xff",
    b"\xf0\x9f",
    b"\n",
    b"\0",
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().unwrap());
    let (count, seed): (u64, u64) = (arguments.next().unwrap_or(100_000), arguments.next().unwrap_or(7));
    let mut rng = Rng::with_seed(seed);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let types = [
        Type::new("impressions", &read("impressions.json")),
        Type::new("clicks", &read("clicks.json")),
        Type::new("orders", ORDERS),
        Type::new("readings", READINGS),
    ];
    let started = Instant::now();
    let (mut no_batch, mut stored, mut refused) = (0_u64, 0_u64, 0_u64);
    for number in 1..=count {
        let event_type = &types[rng.usize(..types.len())];
        let body = body(&mut rng, event_type);
        match parse(event_type, &body) {
            Ok(batch) => {
                for event in batch.events() {
                    match event {
                        Ok(_) => stored += 1,
                        Err(error) => {
                            assert!(!error.message().is_empty() && error.message().len() < 1000, "{error}");
                            refused += 1;
                        }
                    }
                }
                check_lines(event_type, &batch);
            }
            Err(_) => no_batch += 1,
        }
        if number % 1_000_000 == 0 || number == count {
            println!(
                "{number} bodies in {:.0?}, seed {seed}: {no_batch} are no batch; of the events {stored} stored, {refused} \
                 refused",
                started.elapsed()
            );
        }
    }
}

fn parse(event_type: &Type, body: &[u8]) -> Result<Batch, BatchError> {
    Batch::parse(event_type.table, body, support::now(), || support::GIVEN)
}

/// Lines are JSON, and written again as they are.
fn check_lines(event_type: &Type, batch: &Batch) {
    let lines = std::str::from_utf8(batch.ndjson()).unwrap();
    if lines.is_empty() {
        return;
    }
    let events = lines.trim_end().replace('\n', ",");
    let again = parse(event_type, format!("{{\"{}\":[{events}]}}", event_type.model.name).as_bytes()).unwrap();
    assert_eq!(std::str::from_utf8(again.ndjson()).unwrap(), lines);
}

fn body(rng: &mut Rng, event_type: &Type) -> Vec<u8> {
    if rng.u8(..20) == 0 {
        return (0..rng.usize(..100)).flat_map(|_| PIECES[rng.usize(..PIECES.len())].to_vec()).collect();
    }
    let oddness = [0.0, 0.01, 0.1, 0.5][rng.usize(..4)];
    let events: Vec<String> =
        (0..rng.usize(1..4)).map(|_| random::event(rng, &event_type.model, oddness).written).collect();
    let mut body = format!("{{\"{}\":[{}]}}", event_type.model.name, events.join(",")).into_bytes();
    for _ in 0..[0, 0, 1, 3][rng.usize(..4)] {
        let at = rng.usize(..body.len());
        match rng.u8(..4) {
            0 => body[at] = rng.u8(..),
            1 => drop(body.drain(at..(at + rng.usize(1..20)).min(body.len()))),
            2 => drop(body.splice(at..at, PIECES[rng.usize(..PIECES.len())].iter().copied())),
            _ => {
                let piece: Vec<u8> = body[at..(at + rng.usize(1..60)).min(body.len())].to_vec();
                let to = rng.usize(..=body.len());
                body.splice(to..to, piece);
            }
        }
        if body.is_empty() {
            break;
        }
    }
    body
}
