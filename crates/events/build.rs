//! Writes the tables of the event types from their schemas. A schema that is not an event type fails the build.

#[path = "build/model.rs"]
mod model;
#[path = "src/table.rs"]
#[allow(dead_code, reason = "the tables are only written here")]
mod table;

use std::path::Path;

/// The folder of the schemas, relative to this crate.
const SCHEMAS: &str = "../../events";

fn main() {
    println!("cargo::rerun-if-changed={SCHEMAS}");
    if let Err(problem) = write_tables() {
        println!("cargo::error={problem}");
    }
}

fn write_tables() -> Result<(), Box<dyn std::error::Error>> {
    let types = event_types::read_all(Path::new(SCHEMAS))?;
    if let Some(reserved) =
        types.iter().find(|event_type| event_types::TAKEN_BY_EVENTS.contains(&event_type.name.as_str()))
    {
        return Err(format!("events/{0}.json: `{0}` can't name an event type: use another name", reserved.name).into());
    }
    let tables: Vec<_> = types.iter().map(model::table).collect();
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("types.rs"), model::source(&tables))?;
    Ok(())
}
