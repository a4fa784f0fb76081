//! The traffic of a day in the form of the raw zone: gzip files with one event per line, by hour of arrival.

use std::fmt::{Display, Formatter};
use std::fs::{File, create_dir_all, rename};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use chrono::{Datelike, NaiveDate};
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::day::SECOND;
use crate::event::{Event, Kind, Table, Writer};
use crate::plan::{Plan, part_of_users};
use crate::progress::Progress;
use crate::types::ByType;

/// Each part of the users writes its own files. There is one part per this many impressions, or events of another type.
const EVENTS_PER_PART: u64 = 50_000;
/// The most parts. Each has one file per hour: together as many as Data Firehose writes that buffers for 225 seconds.
const PARTS_LIMIT: u64 = 16;
/// How much text is compressed at once.
const CHUNK: usize = 1 << 16;

/// The files of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableFiles {
    /// Lines of all kinds.
    pub lines: u64,
    /// Lines with an event that was sent before.
    pub repeats: u64,
    /// Lines with an event that occurred long before it arrived.
    pub late: u64,
    /// Lines with an event made by a bot.
    pub bots: u64,
    /// Lines that are not events.
    pub malformed: u64,
    /// Files.
    pub files: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl TableFiles {
    fn count(&mut self, event: &Event) {
        self.lines += 1;
        self.late += u64::from(event.late);
        self.bots += u64::from(event.bot);
        match event.kind {
            Kind::Fresh => {}
            Kind::Repeat => self.repeats += 1,
            Kind::Malformed(_) => self.malformed += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.repeats += other.repeats;
        self.late += other.late;
        self.bots += other.bots;
        self.malformed += other.malformed;
        self.files += other.files;
        self.text_bytes += other.text_bytes;
        self.bytes += other.bytes;
    }
}

/// What `loadgen files --json` prints; the README describes it.
#[derive(Debug, Clone, Serialize)]
pub struct FilesReport {
    /// The seed of the random numbers.
    pub seed: u64,
    /// The day on which the events arrived.
    pub day: NaiveDate,
    /// The folder with `data/raw`.
    pub out: PathBuf,
    /// How long it took.
    pub seconds: f64,
    /// Lines written per second.
    pub events_per_second: f64,
    /// The lines of each type.
    pub events: ByType<TableFiles>,
}

impl Display for FilesReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "Raw files of {} below {}, seed {}", self.day, self.out.display(), self.seed)?;
        let width = self.events.width(12);
        for (name, table) in &self.events.0 {
            writeln!(
                f,
                "  {name:<width$}{:>14} lines in {} files, {} ({} of text): {} repeats, {} late, {} malformed",
                HumanCount(table.lines).to_string(),
                HumanCount(table.files),
                HumanBytes(table.bytes),
                HumanBytes(table.text_bytes),
                HumanCount(table.repeats),
                HumanCount(table.late),
                HumanCount(table.malformed)
            )?;
        }
        write!(f, "In {:.1} s: {} events a second", self.seconds, HumanCount(self.events_per_second as u64))
    }
}

/// Writes the traffic of a day below `out`, with this number of threads. The result does not depend on it.
pub fn write(plan: Plan, day: NaiveDate, out: &Path, threads: usize) -> anyhow::Result<FilesReport> {
    let plan = Arc::new(plan);
    let most = plan.types.wanted().fold(plan.expected_impressions(), |most, (_, count)| most.max(count));
    let parts = (most / EVENTS_PER_PART).clamp(1, PARTS_LIMIT).min(u64::from(plan.users())) as u32;
    let line = Progress::new(plan.expected_events());
    let next_part = AtomicU32::new(0);
    let started = Instant::now();
    let none = || vec![TableFiles::default(); plan.types.count()];
    let work = || -> anyhow::Result<Vec<TableFiles>> {
        let mut tables = none();
        loop {
            let part = next_part.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return Ok(tables);
            }
            let written = Part::new(Arc::clone(&plan), day, out, part).write(parts, &line)?;
            for (table, written) in tables.iter_mut().zip(&written) {
                table.add(written);
            }
        }
    };
    let mut tables = none();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let threads: Vec<_> = (0..threads.min(parts as usize)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let written = thread.join().map_err(|_| anyhow!("a thread has failed"))??;
            for (table, written) in tables.iter_mut().zip(&written) {
                table.add(written);
            }
        }
        Ok(())
    })?;
    drop(line);
    Ok(report(&plan, day, out, started.elapsed(), tables))
}

fn report(plan: &Plan, day: NaiveDate, out: &Path, took: Duration, tables: Vec<TableFiles>) -> FilesReport {
    let seconds = took.as_secs_f64();
    let lines: u64 = tables.iter().map(|table| table.lines).sum();
    FilesReport {
        seed: plan.seed(),
        day,
        out: out.to_owned(),
        seconds: (seconds * 1_000.0).round() / 1_000.0,
        events_per_second: (lines as f64 / seconds.max(1e-9)).round(),
        events: plan.types.named(tables),
    }
}

/// The files of a part of the users, written hour by hour.
struct Part {
    plan: Arc<Plan>,
    day: NaiveDate,
    out: PathBuf,
    number: u32,
    writer: Writer,
    /// One per table, by its number.
    open: Vec<Option<Open>>,
    tables: Vec<TableFiles>,
}

/// An unfinished file, which has another name until it is finished.
struct Open {
    hour: u64,
    lines: u64,
    encoder: GzEncoder<File>,
    text: Vec<u8>,
    path: PathBuf,
}

impl Part {
    fn new(plan: Arc<Plan>, day: NaiveDate, out: &Path, number: u32) -> Self {
        let count = plan.types.count();
        Self {
            plan,
            day,
            out: out.to_owned(),
            number,
            writer: Writer::default(),
            open: std::iter::repeat_with(|| None).take(count).collect(),
            tables: vec![TableFiles::default(); count],
        }
    }

    fn write(mut self, parts: u32, line: &Progress) -> anyhow::Result<Vec<TableFiles>> {
        let plan = Arc::clone(&self.plan);
        let traffic = plan.traffic(part_of_users(plan.users(), self.number, parts));
        for planned in traffic {
            let (table, hour) = (planned.event.table, planned.at / (3_600 * SECOND));
            self.file(table, hour, line)?;
            let Some(open) = &mut self.open[table.index()] else { continue };
            self.writer.event(&planned.event, &plan.types, &mut open.text);
            open.text.push(b'\n');
            open.lines += 1;
            self.tables[table.index()].count(&planned.event);
            if open.text.len() >= CHUNK {
                self.tables[table.index()].text_bytes += open.flush()?;
            }
        }
        for table in plan.types.tables() {
            self.close(table, line)?;
        }
        Ok(self.tables)
    }

    /// Opens the file of the hour, unless it is open. Hours only increase.
    fn file(&mut self, table: Table, hour: u64, line: &Progress) -> anyhow::Result<()> {
        if self.open[table.index()].as_ref().is_some_and(|open| open.hour == hour) {
            return Ok(());
        }
        self.close(table, line)?;
        let day = self.day;
        let folder = self.out.join(format!(
            "data/raw/{}/{}/year={:04}/month={:02}/day={:02}/hour={hour:02}",
            self.plan.types.group(table),
            self.plan.types.name(table),
            day.year(),
            day.month(),
            day.day()
        ));
        create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        let path = folder.join(format!("loadgen-{}-{:03}.gz", self.plan.seed(), self.number));
        if path.exists() {
            bail!("{} exists: choose another folder, or another seed to add events", path.display());
        }
        let temporary = unfinished(&path);
        let file = File::create(&temporary).with_context(|| format!("could not create {}", temporary.display()))?;
        let encoder = GzEncoder::new(file, Compression::fast());
        self.open[table.index()] = Some(Open { hour, lines: 0, encoder, text: Vec::with_capacity(CHUNK + 256), path });
        Ok(())
    }

    fn close(&mut self, table: Table, line: &Progress) -> anyhow::Result<()> {
        let Some(mut open) = self.open[table.index()].take() else { return Ok(()) };
        let written = &mut self.tables[table.index()];
        written.text_bytes += open.flush()?;
        written.files += 1;
        let file = open.encoder.finish()?;
        written.bytes += file.metadata()?.len();
        drop(file);
        rename(unfinished(&open.path), &open.path)
            .with_context(|| format!("could not finish {}", open.path.display()))?;
        line.add(open.lines);
        Ok(())
    }
}

/// The name of a file until it is finished. It begins with a dot, so that readers of the folder ignore it, such as
/// `cargo dataless import` and Spark.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.unfinished"))
}

impl Open {
    fn flush(&mut self) -> anyhow::Result<u64> {
        self.encoder.write_all(&self.text).with_context(|| format!("could not write {}", self.path.display()))?;
        let length = self.text.len() as u64;
        self.text.clear();
        Ok(length)
    }
}
