//! `tools/costs/sizes.json`: the average length of each type's raw lines, for the cost model.

use event_types::{EventType, Sampler};

/// The file.
pub const PATH: &str = "tools/costs/sizes.json";

/// The number of lines in the average, and their seed and time: they are always the same.
const LINES: usize = 1_000;
const SEED: u64 = 1;
const NOW: i64 = 1_763_712_930_250;

/// The text of the file.
#[must_use]
pub fn text(types: &[EventType]) -> String {
    let lines: Vec<String> =
        types.iter().map(|event_type| format!("  \"{}\": {}", event_type.name, line_bytes(event_type))).collect();
    if lines.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", lines.join(",\n")) }
}

/// Bytes of a raw line on average, its line break included. Random events have all lengths that the schema allows.
fn line_bytes(event_type: &EventType) -> usize {
    let mut sampler = Sampler::new(event_type, SEED).raw_times();
    let bytes: usize = (0..LINES).map(|_| sampler.next(NOW).trim_end().len() + 1).sum();
    (bytes + LINES / 2) / LINES
}
