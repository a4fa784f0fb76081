//! `logs`: the output of child processes.

use anyhow::{Context, Result, bail};

use crate::cli::Logs;
use crate::outcome::Outcome;
use crate::ui::note;
use crate::workspace::{InstanceName, Workspace};

pub fn run(workspace: &Workspace, options: &Logs) -> Result<Outcome> {
    let instance = workspace.instance(if options.demo { InstanceName::Demo } else { InstanceName::Up });
    let folders = [instance.logs(), workspace.tools().join("logs")];
    let mut logs = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
                logs.push((name.to_owned(), path.clone()));
            }
        }
    }
    logs.sort();
    if logs.is_empty() {
        bail!("could not find any log in {}", instance.logs().display());
    }
    let Some(wanted) = &options.name else {
        for (name, path) in logs {
            outln!("{name:<24} {}", path.strip_prefix(workspace.root()).unwrap_or(&path).display());
        }
        note("\nTo show one, run `cargo dataless logs NAME`.");
        return Ok(Outcome::Done);
    };
    let Some((_, path)) = logs.iter().find(|(name, _)| name == wanted) else {
        let names: Vec<_> = logs.into_iter().map(|(name, _)| name).collect();
        bail!("could not find the log {wanted}; the logs are {}", names.join(", "));
    };
    let bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(options.lines)..] {
        outln!("{line}");
    }
    Ok(Outcome::Done)
}
