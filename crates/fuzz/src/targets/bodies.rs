//! Batches of a beacon, by the types of this warehouse and by two that have every kind of field.

use events::{Batch, BatchError};
use fastrand::Rng;

use super::super::{Target, mutate, oracle};

#[path = "../../../events/tests/support/mod.rs"]
pub mod support;

use support::{ORDERS, READINGS, Type, random};

/// Batches of events.
pub struct Bodies {
    types: Vec<Type>,
    next: usize,
}

impl Default for Bodies {
    fn default() -> Self {
        let types = vec![
            Type::new("impressions", include_str!("../../../../events/impressions.json")),
            Type::new("clicks", include_str!("../../../../events/clicks.json")),
            Type::new("orders", ORDERS),
            Type::new("readings", READINGS),
        ];
        Self { types, next: 0 }
    }
}

impl Target for Bodies {
    fn name(&self) -> &'static str {
        "bodies"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        self.next = rng.usize(..self.types.len());
        let mut body = body(rng, &self.types[self.next]);
        // The first byte chooses the type, so that an input is all that a case needs.
        body.insert(0, b'0' + self.next as u8);
        body
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Some((first, body)) = input.split_first() else { return false };
        let event_type = &self.types[usize::from(*first) % self.types.len()];
        let Ok(batch) = parse(event_type, body) else { return false };
        assert!(
            oracle::is_grammatical(body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)),
            "a batch that is not JSON"
        );
        for refused in batch.events().iter().filter_map(|event| event.as_ref().err()) {
            assert!(!refused.message().is_empty() && refused.message().len() < 1000, "{refused}");
        }
        check_lines(event_type, &batch)
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 64)
    }
}

fn parse(event_type: &Type, body: &[u8]) -> Result<Batch, BatchError> {
    Batch::parse(event_type.table, body, support::now(), || support::GIVEN)
}

/// Lines are JSON, and are written again as they are. Whether there are any.
fn check_lines(event_type: &Type, batch: &Batch) -> bool {
    let lines = std::str::from_utf8(batch.ndjson()).unwrap_or_else(|error| panic!("lines that are not text: {error}"));
    if lines.is_empty() {
        return false;
    }
    assert!(lines.lines().all(|line| oracle::is_object(line.as_bytes())), "a line that is not JSON: {lines}");
    let events = lines.trim_end().replace('\n', ",");
    let again = parse(event_type, format!("{{\"{}\":[{events}]}}", event_type.model.name).as_bytes());
    let again = again.unwrap_or_else(|error| panic!("lines that are no batch: {error}\n{lines}"));
    assert_eq!(again.ndjson(), lines.as_bytes());
    true
}

/// A batch of the type, with events that are wrong in something, and damaged.
fn body(rng: &mut Rng, event_type: &Type) -> Vec<u8> {
    if mutate::one_in(rng, 20) {
        return mutate::junk(rng, &mutate::JSON);
    }
    let oddness = [0.0, 0.01, 0.1, 0.5][rng.usize(..4)];
    let events: Vec<String> =
        (0..rng.usize(1..4)).map(|_| random::event(rng, &event_type.model, oddness).written).collect();
    let mut body = format!("{{\"{}\":[{}]}}", event_type.model.name, events.join(",")).into_bytes();
    mutate::damage(rng, &mut body, &mutate::JSON);
    body
}
