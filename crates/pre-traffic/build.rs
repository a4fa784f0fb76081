//! Makes a valid event of each type from the schemas in `events/`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use event_types::{EventType, Sampler};

/// The same schemas give the same events.
const SEED: u64 = 1;

/// 2026-01-01, in milliseconds of Unix time. The function replaces it with the time of its call.
const TIME: i64 = 1_767_225_600_000;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    println!("cargo:rerun-if-changed={}", folder.display());
    let types = event_types::read_all(&folder).unwrap_or_else(|error| panic!("{error}"));
    let samples: String = types.iter().map(sample).collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("samples.rs");
    fs::write(&out, format!("&[\n{samples}]")).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// A `Sample` of the type, in Rust.
fn sample(event_type: &EventType) -> String {
    let event = Sampler::new(event_type, SEED).next(TIME);
    let EventType { name, id, time, .. } = event_type;
    format!("Sample {{ name: {name:?}, id: {id:?}, time: {time:?}, event: {event:?} }},\n")
}
