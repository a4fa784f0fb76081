//! `events check`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use event_tooling::compat::{self, Incompatible};
use event_types::{EventType, is_schema};
use serde_json::json;

use super::FOLDER;
use super::files::outdated;
use super::sync::{check_names, lock_conflicts};
use crate::cli::Check;
use crate::environment::{is_foreign, without};
use crate::outcome::Outcome;

/// A problem with a schema or a derived file.
struct Problem {
    kind: &'static str,
    text: String,
}

pub fn check(root: &Path, options: &Check) -> Result<Outcome> {
    let mut problems = Vec::new();
    let types = schemas(root, &mut problems)?;
    let before = options.against.as_deref().map(|earlier| earlier_types(root, earlier)).transpose()?;
    // Derived files can't be checked against malformed schemas.
    if problems.is_empty() {
        let conflicts = lock_conflicts(root, &types)?;
        if conflicts.is_empty() {
            derived(root, &types, &mut problems)?;
        }
        let mut found = before.map(|before| compat::compare(&before, &types)).unwrap_or_default();
        // Conflicts that the comparison has found are not listed again.
        let is_new = |conflict: &Incompatible| {
            found.iter().all(|other| (&other.event_type, &other.path) != (&conflict.event_type, &conflict.path))
        };
        for conflict in conflicts.iter().filter(|conflict| is_new(conflict)) {
            problems.push(Problem { kind: "lock", text: conflict.to_string() });
        }
        found.retain(|found| !options.allow.contains(&found.event_type));
        for found in &found {
            problems.push(Problem { kind: "incompatible", text: found.to_string() });
        }
    }
    if options.json {
        let problems: Vec<_> =
            problems.iter().map(|problem| json!({"kind": problem.kind, "problem": problem.text})).collect();
        let names: Vec<_> = types.iter().map(|event_type| &event_type.name).collect();
        let report = json!({"types": names, "against": options.against, "problems": problems});
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for problem in &problems {
            outln!("{}: {}", problem.kind, problem.text);
        }
        if problems.is_empty() {
            let compatible = options.against.as_ref().map(|revision| format!(", compatible with {revision}"));
            let compatible = compatible.unwrap_or_default();
            outln!("{} event types: well formed, derived files up to date{compatible}", types.len());
        }
    }
    Ok(Outcome::from(problems.is_empty()))
}

/// The types with well-formed schemas; the problems of the others are added to the list.
fn schemas(root: &Path, problems: &mut Vec<Problem>) -> Result<Vec<EventType>> {
    let folder = root.join(FOLDER);
    let mut types = Vec::new();
    let names = file_names(&folder)?;
    let mut push = |text: String| problems.push(Problem { kind: "schema", text });
    for file in names.iter().filter(|name| is_schema(name)) {
        let text = std::fs::read_to_string(folder.join(file)).map_err(|error| error.to_string());
        let read = text.and_then(|text| {
            event_types::read_type(file.trim_end_matches(".json"), &text).map_err(|error| error.to_string())
        });
        match read {
            Ok(event_type) => types.push(event_type),
            Err(error) => push(error),
        }
    }
    if let Err(error) = event_types::check_references(&types) {
        push(error.to_string());
    }
    if let Err(error) = check_names(&types) {
        push(error.to_string());
    }
    Ok(types)
}

fn derived(root: &Path, types: &[EventType], problems: &mut Vec<Problem>) -> Result<()> {
    for (path, _) in outdated(root, types, &[])? {
        let text = format!("{path} does not match the schemas: run `cargo dataless events sync`");
        problems.push(Problem { kind: "derived", text });
    }
    Ok(())
}

/// The types of a folder or of a revision, which may have none.
fn earlier_types(root: &Path, earlier: &str) -> Result<Vec<EventType>> {
    let schemas = if Path::new(earlier).is_dir() {
        folder_schemas(Path::new(earlier))?
    } else {
        revision_schemas(root, earlier)?
    };
    let read = |(file, text): &(String, String)| event_types::read_type(file.trim_end_matches(".json"), text);
    let types = schemas.iter().map(read).collect::<Result<_, _>>();
    types.with_context(|| format!("a schema of {earlier} is not well formed"))
}

/// File names and texts.
type Schemas = Vec<(String, String)>;

fn folder_schemas(folder: &Path) -> Result<Schemas> {
    let mut schemas = Vec::new();
    for file in file_names(folder)?.into_iter().filter(|file| is_schema(file)) {
        let path = folder.join(&file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        schemas.push((file, text));
    }
    Ok(schemas)
}

fn revision_schemas(root: &Path, revision: &str) -> Result<Schemas> {
    let commit =
        git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])
            .with_context(|| format!("`{revision}` is not a folder, nor a revision that this checkout has"))?;
    let commit = commit.trim();
    let listed = git(root, &["ls-tree", "--name-only", commit, &format!("{FOLDER}/")])?;
    let files = listed.lines().map(|path| path.rsplit('/').next().unwrap_or(path)).filter(|file| is_schema(file));
    files.map(|file| Ok((file.to_owned(), git(root, &["show", &format!("{commit}:./{FOLDER}/{file}")])?))).collect()
}

/// The names of the entries of a folder, sorted.
fn file_names(folder: &Path) -> Result<Vec<String>> {
    let unreadable = || format!("failed to read {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        names.push(entry.with_context(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    // In a Git hook, the environment names the repository of the hook.
    let command = without(command.arg("-C").arg(root).args(arguments), is_foreign);
    let output = command.output().context("failed to start git")?;
    if !output.status.success() {
        bail!("git {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("what git {} printed is not UTF-8", arguments[0]))
}
