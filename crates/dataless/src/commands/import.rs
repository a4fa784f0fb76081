//! `import`: files in the layout of the raw zone into the warehouse, such as `loadgen files` writes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Outcome, Warehouse};
use crate::cli::Import;
use crate::process::Tool;
use crate::stage::tools::ToolSet;
use crate::ui::{note, step, thousands};
use crate::workspace::Workspace;

/// What was stored.
#[derive(Debug, Deserialize, Serialize)]
pub struct Stored {
    /// Objects that were not there before.
    pub keys: Vec<String>,
    /// Files that lay there already, the same to the byte.
    pub unchanged: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// The first and the last day of arrival among the files.
    pub first_day: String,
    pub last_day: String,
}

pub fn run(workspace: &Workspace, options: &Import) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let bucket = warehouse.stack.output("DataLakeBucket")?;
    let folder = raw_folder(&options.dir)?;
    let summary = |stored: &Stored| format!("{} objects", thousands(stored.keys.len() as u64));
    let (stored, _) = step("put into the raw zone", || upload(workspace, &warehouse, &folder, bucket), summary)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&stored)?);
        return Ok(Outcome::Done);
    }
    let (objects, bytes) = (thousands(stored.keys.len() as u64), thousands(stored.bytes));
    note(&format!("{objects} objects, {bytes} bytes; {} lay there already", thousands(stored.unchanged)));
    note(&format!(
        "Take them into the lake with\n  cargo dataless batch --day {} --to {}",
        stored.first_day, stored.last_day
    ));
    Ok(Outcome::Done)
}

/// The folder that stands for `data/raw`: the one given, or the one that `loadgen files --out` makes in it.
fn raw_folder(dir: &Path) -> Result<PathBuf> {
    let candidates = [dir.join("data/raw"), dir.join("raw"), dir.to_path_buf()];
    candidates.into_iter().find(|folder| folder.join("ad").is_dir()).with_context(|| {
        format!(
            "{} holds no raw files: they lie below data/raw/ad/{{impressions,clicks}}/year=…/month=…/day=…/hour=…/",
            dir.display()
        )
    })
}

/// Stores what lies below a folder that stands for `data/raw`. Raw is never written over: an object of the same name
/// and other content is an error, and then nothing is stored.
pub fn upload(workspace: &Workspace, warehouse: &Warehouse, folder: &Path, bucket: &str) -> Result<Stored> {
    let tool = Tool::new(warehouse.tools.program(ToolSet::Spark, "python"), warehouse.instance.logs().join("aws.log"))
        .arg(workspace.path("glue/local/put_raw.py"))
        .args(["--bucket", bucket, "--folder"])
        .arg(folder);
    let printed = warehouse.aws.lead(tool).output()?;
    let stored: Stored = serde_json::from_str(&printed).context("what was stored is not understood")?;
    if stored.keys.is_empty() && stored.unchanged == 0 {
        bail!("{} holds no raw files", folder.display());
    }
    Ok(stored)
}
