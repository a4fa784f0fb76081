//! `events new` and `events remove`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use event_tooling::infer::{self, Assumption, Given};
use event_tooling::{capture, names};
use event_types::EventType;
use serde_json::json;

use super::files::{Changes, apply, outdated, read};
use super::find;
use super::sync::{lock_conflicts, report};
use crate::cli::{New, Remove};
use crate::outcome::Outcome;

fn schema_path(name: &str) -> String {
    format!("events/{name}.json")
}

pub fn new(root: &Path, types: &[EventType], options: &New) -> Result<Outcome> {
    let name = &options.name;
    if let Some(problem) = names::problem(name, types) {
        bail!("{problem}");
    }
    for path in [schema_path(name), capture::folder(name)] {
        if root.join(&path).exists() {
            bail!("{path} already exists: delete it, or use another name");
        }
    }
    check_up_to_date(root, types)?;
    let given =
        Given { name: name.clone(), group: options.group.clone(), id: options.id.clone(), time: options.time.clone() };
    let inferred = match &options.from {
        None => infer::minimal(&given),
        Some(file) => {
            let bytes = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
            let samples = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
            infer::from_samples(&given, &samples, types).with_context(|| file.display().to_string())?
        }
    };
    let mut all = types.to_vec();
    all.push(event_types::read_type(name, &inferred.schema).context("failed to derive a schema")?);
    all.sort_by(|one, other| one.name.cmp(&other.name));
    event_types::check_references(&all)?;
    let mut changes = outdated(root, &all, &[])?;
    changes.insert(schema_path(name), Some(inferred.schema));
    apply(root, &changes)?;
    if options.json {
        let assumed = |assumption: &Assumption| json!({"about": assumption.about, "assumed": assumption.assumed, "change": assumption.change});
        let assumptions: Vec<_> = inferred.assumptions.iter().map(assumed).collect();
        let written: Vec<_> = changes.keys().collect();
        let report = json!({"type": name, "assumptions": assumptions, "written": written});
        outln!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(Outcome::Done);
    }
    outln!("Assumed for `{name}`:");
    for Assumption { about, assumed, change } in &inferred.assumptions {
        outln!("  {about}: {assumed}\n      to change it: {change}");
    }
    outln!("  descriptions: made from the names\n      to change them: describe each field in {}", schema_path(name));
    report(&changes, false)?;
    outln!(
        "Review {0}, edit it if necessary, and run `cargo dataless events sync`. `cargo dataless events remove {name}` undoes \
         everything. To change an option of `new`, remove the type and add it again.",
        schema_path(name)
    );
    Ok(Outcome::Done)
}

/// Fails if derived files do not match the schemas, so that `new` and `remove` change only what belongs to the type.
fn check_up_to_date(root: &Path, types: &[EventType]) -> Result<()> {
    if let Some(conflict) = lock_conflicts(root, types)?.first() {
        bail!("{conflict}");
    }
    let paths: Vec<String> = outdated(root, types, &[])?.into_keys().collect();
    if !paths.is_empty() {
        bail!("not up to date with the schemas: {}. Run `cargo dataless events sync` first", paths.join(", "));
    }
    Ok(())
}

pub fn remove(root: &Path, types: &[EventType], options: &Remove) -> Result<Outcome> {
    let name = &options.name;
    let schema = schema_path(name);
    let folder = capture::folder(name);
    let event_type = find(types, name)?;
    let rest: Vec<EventType> = types.iter().filter(|other| other.name != *name).cloned().collect();
    event_types::check_references(&rest).context("another type refers to it")?;
    let mut changes: Changes = outdated(root, &rest, std::slice::from_ref(name))?;
    changes.insert(schema, None);
    for (path, _) in capture::files(event_type) {
        if read(root, &path)?.is_some() {
            changes.insert(path, None);
        }
    }
    apply(root, &changes)?;
    report(&changes, options.json)?;
    if !options.json {
        if root.join(&folder).exists() {
            outln!("{folder} has files that `new` did not write. They are kept.");
        }
        outln!("Stored events stay in S3, below data/raw/{0}/{name}/ and data/lake/{0}/{name}/.", event_type.group);
    }
    Ok(Outcome::Done)
}
