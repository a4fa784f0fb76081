//! Remembers which rejected lines were replayed. Raw still has them, so they stay in the list of rejected lines.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::local::lake::RejectedLine;
use crate::workspace::Instance;

/// The ids of replayed lines, in a file beside the warehouse's data, one per line.
#[derive(Debug)]
pub struct Replayed {
    path: PathBuf,
    ids: BTreeSet<String>,
}

impl Replayed {
    /// Reads the ids of an instance.
    pub fn read(instance: &Instance) -> Result<Self> {
        Self::read_file(&instance.dir().join("replayed"))
    }

    fn read_file(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("failed to read {}", path.display()))?,
        };
        Ok(Self { path: path.to_owned(), ids: text.lines().map(str::to_owned).collect() })
    }

    /// Sets the ids of lines, and marks replayed lines.
    pub fn mark(&self, lines: &mut [RejectedLine]) {
        for line in lines {
            line.id = Some(id(line));
            line.replayed = line.id.as_ref().is_some_and(|id| self.ids.contains(id));
        }
    }

    /// Adds lines. A line that was corrected by hand has the id from before the correction.
    pub fn add<'a>(&mut self, lines: impl IntoIterator<Item = &'a RejectedLine>) -> Result<()> {
        let ids = lines.into_iter().map(|line| line.id.clone().unwrap_or_else(|| id(line)));
        let fresh: Vec<String> = ids.filter(|id| self.ids.insert(id.clone())).collect();
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let text: String = fresh.iter().map(|id| format!("{id}\n")).collect();
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("failed to write {}", self.path.display()))
    }
}

/// A digest of the line's location and content.
fn id(line: &RejectedLine) -> String {
    let digest = Sha256::digest(format!("{}\n{}", line.source, line.line));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: &str, line: &str) -> RejectedLine {
        RejectedLine { source: source.into(), line: line.into(), ..Default::default() }
    }

    #[test]
    fn a_replayed_line_is_recognised_even_after_a_correction_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replayed");
        let listed = || {
            let mut lines = [line("a.gz", "{}"), line("a.gz", "torn"), line("b.gz", "{}")];
            Replayed::read_file(&path).unwrap().mark(&mut lines);
            lines
        };
        assert_eq!(listed().map(|line| line.replayed), [false; 3]);

        // As `rejected --json` prints it, then corrected.
        let mut corrected = listed()[1].clone();
        corrected.line = r#"{"click_id": "c"}"#.into();
        let mut replayed = Replayed::read_file(&path).unwrap();
        replayed.add([&corrected]).unwrap();
        assert_eq!(listed().map(|line| line.replayed), [false, true, false]);
        // From the lake, without an id. Adding it twice has no effect.
        replayed.add([&line("b.gz", "{}"), &corrected]).unwrap();
        assert_eq!(listed().map(|line| line.replayed), [false, true, true]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
