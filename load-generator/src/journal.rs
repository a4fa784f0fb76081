//! The fate of every event: one JSON object per line, compressed with gzip.
//!
//! A separate thread writes and compresses. Workers wait for it only if it is far behind.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use uuid::Uuid;

use crate::account::Fate;
use crate::event::{Defect, Event, Kind, Writer};
use crate::types::Types;

/// How many messages may wait to be written.
const BACKLOG: usize = 256;
/// How much text is compressed at once.
const CHUNK: usize = 1 << 16;

/// A line of the journal; the README describes it.
#[derive(Serialize)]
struct Row<'a> {
    table: &'a str,
    id: &'a str,
    occurred_at: &'a str,
    kind: &'static str,
    late: bool,
    bot: bool,
    fate: &'static str,
    code: Option<&'a str>,
    tries: u32,
}

/// Events with the same fate.
#[derive(Debug)]
struct Settled {
    events: Vec<Event>,
    fate: Fate,
    tries: u32,
}

/// The handle through which workers record the fates of events.
#[derive(Debug, Clone)]
pub struct Entry(SyncSender<Settled>);

impl Entry {
    /// Records the fate of events after a number of attempts.
    pub fn settled(&self, events: &[Event], fate: &Fate, tries: u32) {
        // It fails only after the writer has failed, which `Journal::finish` reports.
        let _ = self.0.send(Settled { events: events.to_vec(), fate: fate.clone(), tries });
    }
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    writer: JoinHandle<std::io::Result<()>>,
}

impl Journal {
    /// Starts a journal of these types in a new file, or over an old one. It ends when all entries are dropped.
    pub fn create(path: &Path, types: Arc<Types>) -> anyhow::Result<(Self, Entry)> {
        let file = File::create(path).with_context(|| format!("could not create the journal {}", path.display()))?;
        let (sender, receiver) = sync_channel(BACKLOG);
        let writer = std::thread::Builder::new()
            .name("loadgen-journal".to_owned())
            .spawn(move || write(file, &types, &receiver))?;
        Ok((Self { writer }, Entry(sender)))
    }

    /// Waits until everything is written.
    pub fn finish(self) -> anyhow::Result<()> {
        let written = self.writer.join().map_err(|_| anyhow!("the journal's thread has failed"))?;
        written.context("could not write the journal")
    }
}

fn write(file: File, types: &Types, receiver: &Receiver<Settled>) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(CHUNK, GzEncoder::new(file, Compression::fast()));
    let (mut writer, mut time, mut id) = (Writer::default(), Vec::new(), Uuid::encode_buffer());
    for Settled { events, fate, tries } in receiver {
        let (fate, code) = match &fate {
            Fate::Acknowledged => ("acknowledged", None),
            Fate::Refused(code) => ("refused", Some(code)),
            Fate::Unknown(code) => ("unknown", Some(code)),
        };
        for event in &events {
            time.clear();
            writer.time(event.occurred_at, &mut time);
            let row = Row {
                table: types.name(event.table),
                id: event.id.hyphenated().encode_lower(&mut id),
                occurred_at: std::str::from_utf8(&time).unwrap_or_default(),
                kind: kind(event.kind),
                late: event.late,
                bot: event.bot,
                fate,
                code: code.map(AsRef::as_ref),
                tries,
            };
            serde_json::to_writer(&mut out, &row)?;
            out.write_all(b"\n")?;
        }
    }
    out.into_inner()?.finish()?.flush()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Fresh => "fresh",
        Kind::Repeat => "repeat",
        Kind::Malformed(Defect::NoAd) => "malformed_no_ad",
        Kind::Malformed(Defect::ShortId) => "malformed_short_id",
        Kind::Malformed(Defect::NoTime) => "malformed_no_time",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::{Value, json};

    use super::*;
    use crate::ads::Ads;
    use crate::event::Table;

    fn types() -> Arc<Types> {
        Arc::new(Types::new(Ads::new(1, 0.0), Vec::new()))
    }

    #[test]
    fn a_journal_has_a_line_for_every_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.gz");
        let (journal, entry) = Journal::create(&path, types()).unwrap();
        let event = Event {
            table: Table::Clicks,
            kind: Kind::Malformed(Defect::ShortId),
            late: true,
            bot: false,
            ad: 0,
            id: Uuid::from_u128(1),
            impression: Uuid::nil(),
            occurred_at: 0,
        };
        entry.settled(&[event; 3], &Fate::Acknowledged, 1);
        let another = entry.clone();
        drop(entry);
        another.settled(&[event], &Fate::Refused("Odd\"Code".into()), 4);
        drop(another);
        journal.finish().unwrap();

        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[0],
            json!({"table": "clicks", "id": "00000000-0000-0000-0000-000000000001",
                "occurred_at": "1970-01-01 00:00:00.000", "kind": "malformed_short_id", "late": true, "bot": false,
                "fate": "acknowledged", "code": null, "tries": 1})
        );
        assert_eq!((&lines[3]["code"], &lines[3]["tries"]), (&json!("Odd\"Code"), &json!(4)));
    }

    #[test]
    fn a_journal_that_cannot_be_created_is_an_error() {
        let error = Journal::create(Path::new("/nonexistent/journal.gz"), types()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/journal.gz"));
    }
}
