//! `import`: copies files in the layout of the raw zone, such as those of `loadgen files`, to the warehouse.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::cli::Import;
use crate::local::catalog::EventTable;
use crate::local::raw_file;
use crate::local::stack::Output;
use crate::local::tools::ToolSet;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::process::Tool;
use crate::ui::{counted, note, step, thousands};
use crate::workspace::Workspace;

/// The result of an upload.
#[derive(Debug, Deserialize, Serialize)]
pub struct Stored {
    /// Objects that were not there before.
    pub keys: Vec<String>,
    /// Files that were already there, byte for byte.
    pub unchanged: u64,
    /// Uploaded bytes.
    pub bytes: u64,
    /// The first and the last arrival day of the files.
    pub first_day: String,
    pub last_day: String,
}

pub fn run(workspace: &Workspace, options: &Import) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let bucket = warehouse.stack.output(Output::DataLakeBucket)?;
    let tables = warehouse.event_tables()?;
    let folder = raw_folder(&options.dir, &tables)?;
    step("check the files", || check(&folder), |count| format!("{} are complete", thousands(*count)))?;
    let summary = |stored: &Stored| counted(stored.keys.len() as u64, "object");
    let (stored, _) =
        step("copy to the raw zone", || upload(workspace, &warehouse, &tables, &folder, bucket), summary)?;
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&stored)?);
        return Ok(Outcome::Done);
    }
    let (objects, bytes) = (counted(stored.keys.len() as u64, "object"), counted(stored.bytes, "byte"));
    note(&format!("{objects}, {bytes}; {} were already there", thousands(stored.unchanged)));
    note(&format!(
        "To load them into the lake, run\n  cargo dataless batch --day {} --to {}",
        stored.first_day, stored.last_day
    ));
    Ok(Outcome::Done)
}

/// The folder that corresponds to `data/raw`: the given one, or the one that `loadgen files --out` creates in it.
fn raw_folder(dir: &Path, tables: &[EventTable]) -> Result<PathBuf> {
    let candidates = [dir.join("data/raw"), dir.join("raw"), dir.to_path_buf()];
    let has_raw = |folder: &PathBuf| tables.iter().any(|table| folder.join(table.folder()).is_dir());
    candidates.into_iter().find(has_raw).with_context(|| {
        format!(
            "{} has no raw files: they must be below data/raw/<group>/<type>/year=…/month=…/day=…/hour=…/, where <group>/<type> is \
             one of {}",
            dir.display(),
            tables.iter().map(EventTable::folder).collect::<Vec<_>>().join(", ")
        )
    })
}

/// Reads each file to its end, and returns the number of files.
///
/// Raw is never changed, and a truncated object would fail every job that reads it. So files are checked before.
fn check(folder: &Path) -> Result<u64> {
    let mut files = Vec::new();
    collect(folder, &mut Vec::new(), &mut files)?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let content = File::open(file).with_context(|| format!("failed to read {}", file.display()))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            raw_file::check(&name, BufReader::new(content))
                .map_err(|problem| anyhow!("{} {problem}: nothing was stored", file.display()))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a check panicked"))?)
    })?;
    Ok(files.len() as u64)
}

/// Collects the files below a folder, also behind links. Names that begin with a dot are skipped, as they are not stored.
/// `parents` are the folders that contain it.
fn collect(folder: &Path, parents: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    let cannot_be_read = || format!("failed to read {}", folder.display());
    let real = folder.canonicalize().with_context(cannot_be_read)?;
    if parents.contains(&real) {
        bail!("{} is a link to one of its own parents: nothing was stored", folder.display());
    }
    parents.push(real);
    for entry in folder.read_dir().with_context(cannot_be_read)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, parents, files)?;
        } else if path.is_file() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            files.push(path);
        }
    }
    parents.pop();
    Ok(())
}

/// Stores the files below a folder that corresponds to `data/raw`. Raw is never overwritten: if an object with the same
/// name has another content, it fails and stores nothing.
pub fn upload(
    workspace: &Workspace,
    warehouse: &Warehouse,
    tables: &[EventTable],
    folder: &Path,
    bucket: &str,
) -> Result<Stored> {
    let tool = Tool::new(warehouse.tools.program(ToolSet::Spark, "python"), warehouse.instance.logs().join("aws.log"))
        .arg(workspace.path("glue/local/put_raw.py"))
        .args(["--bucket", bucket, "--folder"])
        .arg(folder)
        .arg("--types")
        .args(tables.iter().map(EventTable::folder));
    let printed = warehouse.aws.with_endpoint(tool).output()?;
    let stored: Stored = serde_json::from_str(&printed).context("failed to read what was stored")?;
    if stored.keys.is_empty() && stored.unchanged == 0 {
        bail!("{} has no raw files", folder.display());
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn tables(group: &str) -> [EventTable; 2] {
        [("ad", "clicks"), (group, "orders")].map(|(group, name)| EventTable { name: name.into(), group: group.into() })
    }

    fn hour(folder: &Path) -> PathBuf {
        let hour = folder.join("data/raw/shop/orders/year=2026/month=03/day=01/hour=07");
        std::fs::create_dir_all(&hour).unwrap();
        hour
    }

    #[test]
    fn the_raw_zone_is_found_from_each_of_its_parents() {
        let folder = tempfile::tempdir().unwrap();
        hour(folder.path());
        for given in ["", "data", "data/raw"] {
            assert_eq!(
                raw_folder(&folder.path().join(given), &tables("shop")).unwrap(),
                folder.path().join("data/raw")
            );
        }
        let error = raw_folder(&folder.path().join("data/raw/shop/orders"), &tables("shop")).unwrap_err().to_string();
        assert!(error.contains("has no raw files"), "{error}");
        let error = raw_folder(folder.path(), &tables("store")).unwrap_err().to_string();
        assert!(error.ends_with("<group>/<type> is one of ad/clicks, store/orders"), "{error}");
    }

    #[test]
    fn complete_files_are_valid_and_temporary_ones_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let hour = hour(folder.path());
        // Firehose concatenates objects, so a file can have several gzip members.
        std::fs::write(hour.join("one.gz"), [gzip("{}\n"), gzip("{}\n")].concat()).unwrap();
        std::fs::write(hour.join("two.gz"), gzip("")).unwrap();
        std::fs::write(hour.join(".three.gz"), "torn").unwrap();
        std::fs::write(hour.join("plain"), "{}\n").unwrap();
        std::fs::write(hour.join("plain.json"), "").unwrap();
        assert_eq!(check(folder.path()).unwrap(), 4);
    }

    #[test]
    fn a_file_that_readers_would_misinterpret_is_refused() {
        let zstd = b"\x28\xb5\x2f\xfd\x04\0\x19\0\0{}\n".to_vec();
        for (name, content, problem) in [
            ("a.json", gzip("{}\n"), "is gzip: rename it to end in .gz"),
            ("a.GZ", gzip("{}\n"), "is gzip: rename it to end in .gz"),
            ("a.json", [gzip("{}\n"), gzip("{}\n")].concat(), "is gzip: rename it to end in .gz"),
            ("a.json", zstd.clone(), "is zstd: compress it with gzip, or not at all"),
            ("a.gz", zstd.clone(), "is zstd: compress it with gzip, or not at all"),
            ("a.zst", zstd, "has a name that ends in .zst: compress it with gzip or not at all, and rename it"),
            // Spark would decompress these too, or fail.
            (
                "a.bz2",
                b"{}\n".to_vec(),
                "has a name that ends in .bz2: compress it with gzip or not at all, and rename it",
            ),
            ("a.gz", [gzip("{}\n"), b"{}\n".to_vec()].concat(), "is not a complete gzip file"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(hour(folder.path()).join(name), content).unwrap();
            let error = check(folder.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} {problem}")), "{error}");
            assert!(error.ends_with(": nothing was stored"), "{error}");
        }
    }

    #[test]
    fn linked_folders_are_checked_and_cyclic_links_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hour = hour(folder.path());
        std::fs::write(hour.join("one.gz"), gzip("{}\n")).unwrap();
        // A second path to the same folder is not a cycle.
        std::os::unix::fs::symlink(&hour, hour.with_file_name("hour=08")).unwrap();
        assert_eq!(check(folder.path()).unwrap(), 2);
        std::os::unix::fs::symlink("..", hour.join("link")).unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("link is a link to one of its own parents"), "{error}");
    }

    #[test]
    fn an_incomplete_file_is_named() {
        let whole = gzip(&"{\"click_id\":\"x\"}\n".repeat(1_000));
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0xff;
        for torn in [&whole[..whole.len() - 1], &whole[..20], &changed, b"{}\n", b""] {
            let folder = tempfile::tempdir().unwrap();
            let hour = hour(folder.path());
            std::fs::write(hour.join("right.gz"), &whole).unwrap();
            std::fs::write(hour.join("wrong.gz"), torn).unwrap();
            let error = check(folder.path()).unwrap_err().to_string();
            assert!(error.contains("wrong.gz is not a complete gzip file ("), "{error}");
        }
    }
}
