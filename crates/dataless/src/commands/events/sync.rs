//! `events sync`: generates the derived files.

use std::path::Path;

use anyhow::{Result, bail};
use event_tooling::compat::Incompatible;
use event_tooling::{lock, names};
use event_types::EventType;
use serde_json::json;

use super::files::{Changes, apply, outdated, read};
use crate::cli::Sync;
use crate::outcome::Outcome;

pub fn sync(root: &Path, types: &[EventType], options: &Sync) -> Result<Outcome> {
    check_names(types)?;
    let conflicts = lock_conflicts(root, types)?;
    // The crate of a removed type may still exist.
    let is_gone = |name: &str| types.iter().all(|event_type| event_type.name != name);
    let refused: Vec<_> = conflicts
        .into_iter()
        .filter(|conflict| !options.allow.contains(&conflict.event_type) || is_gone(&conflict.event_type))
        .collect();
    if !refused.is_empty() {
        bail!("{}", refusal(&refused));
    }
    let changes = outdated(root, types, &[])?;
    apply(root, &changes)?;
    report(&changes, options.json)?;
    Ok(Outcome::Done)
}

/// Fails if a name is taken.
pub fn check_names(types: &[EventType]) -> Result<()> {
    for (index, event_type) in types.iter().enumerate() {
        if let Some(problem) = names::problem(&event_type.name, &types[..index]) {
            bail!("events/{}.json: {problem}", event_type.name);
        }
    }
    Ok(())
}

/// The changes that `events/lock.json` refuses.
pub fn lock_conflicts(root: &Path, types: &[EventType]) -> Result<Vec<Incompatible>> {
    match read(root, lock::PATH)? {
        Some(text) => lock::conflicts(&text, types).map_err(anyhow::Error::msg),
        None => Ok(Vec::new()),
    }
}

fn refusal(conflicts: &[Incompatible]) -> String {
    let lines: Vec<String> = conflicts.iter().map(|conflict| format!("\n  {conflict}")).collect();
    let name = &conflicts[0].event_type;
    format!(
        "events/lock.json has other columns:{}\nIf no event of the type is stored anywhere, its columns may change: `cargo dataless \
         events sync --allow {name}`",
        lines.concat()
    )
}

/// Prints the changed files.
pub fn report(changes: &Changes, json: bool) -> Result<()> {
    if json {
        let of =
            |written: bool| changes.iter().filter(move |(_, text)| text.is_some() == written).map(|(path, _)| path);
        let (written, deleted): (Vec<_>, Vec<_>) = (of(true).collect(), of(false).collect());
        outln!("{}", serde_json::to_string_pretty(&json!({"written": written, "deleted": deleted}))?);
        return Ok(());
    }
    for (path, text) in changes {
        outln!("{} {path}", if text.is_some() { "wrote  " } else { "deleted" });
    }
    if changes.is_empty() {
        outln!("Everything is up to date.");
    }
    if changes.keys().any(|path| path.ends_with(".yaml")) {
        // Pages about the resources and costs of the templates, which other programs generate.
        outln!(
            "Before you push: python3 tools/delivery/reference.py --write; python3 tools/costs/costs.py --write; python3 tools/costs/scale.py --write"
        );
    }
    Ok(())
}
