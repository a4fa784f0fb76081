//! The end of a log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = end_of(path).unwrap_or_else(|error| format!("(failed to read it: {error})"));
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// The last line of a file that is not blank.
pub fn last_line(path: &Path) -> Option<String> {
    let text = end_of(path).ok()?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

/// The last kilobytes of a file.
fn end_of(path: &Path) -> std::io::Result<String> {
    const MAX_BYTES: u64 = 16 * 1024;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
