//! `replay`: sends rejected lines through the raw zone again, corrected or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use console::style;
use events::{Batch, EventType};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cli::Replay;
use crate::local::catalog::EventTable;
use crate::local::lake::{self, RejectedLine};
use crate::local::replayed::Replayed;
use crate::local::stack::Output;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::ui::{counted, note, step};
use crate::workspace::Workspace;

/// The outcome of the lines.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Lines that are valid events now.
    replayed: u64,
    /// Objects that were added to the raw zone, without those that were already there.
    objects: Vec<String>,
    /// Lines that are still not valid, and why.
    refused: Vec<Refused>,
    /// The first and the last arrival day to run the batch for. The batch also runs the days whose look-back includes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun: Option<(NaiveDate, NaiveDate)>,
}

#[derive(Debug, Serialize)]
struct Refused {
    source: String,
    line: String,
    problem: String,
}

/// Raw text by the key of its object.
type Objects = BTreeMap<String, Vec<u8>>;

pub fn run(workspace: &Workspace, options: &Replay) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let lines = match &options.file {
        Some(path) => read_lines(path)?,
        None => {
            let spark = warehouse.spark(workspace);
            let read = || lake::rejected(&spark, &warehouse.stack, Some(options.day));
            step("read the rejected lines", read, |lines| counted(lines.len() as u64, "line"))?.0
        }
    };
    let tables = warehouse.event_tables()?;
    let (objects, mut report) = correct(&lines, options.day, &tables)?;
    if !objects.is_empty() {
        let bucket = warehouse.stack.output(Output::DataLakeBucket)?;
        let put = || put(workspace, &warehouse, &tables, &objects, bucket);
        let summary = |keys: &Vec<String>| counted(keys.len() as u64, "object");
        report.objects = step("copy to the raw zone", put, summary)?.0;
        let refused = |line: &&RejectedLine| {
            report.refused.iter().any(|refused| (&refused.source, &refused.line) == (&line.source, &line.line))
        };
        Replayed::read(&warehouse.instance)?.add(lines.iter().filter(|line| !refused(line)))?;
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    // A user who corrected lines by hand expects all of them to be valid.
    Ok((options.file.is_none() || report.refused.is_empty()).into())
}

fn print(report: &Report) {
    for Refused { source, line, problem } in &report.refused {
        outln!("{}  {source}\n    {line}", style(problem).bold());
    }
    let (replayed, refused) = (report.replayed, report.refused.len() as u64);
    note(&format!("replayed: {}; still rejected: {}", counted(replayed, "line"), counted(refused, "line")));
    match (&report.rerun, report.objects.is_empty()) {
        (Some((first, last)), false) => {
            note(&format!("To load them into the lake, run\n  cargo dataless batch --day {first} --to {last}"));
        }
        (Some(_), true) => note("All of them had been replayed before: nothing changed."),
        (None, _) => {}
    }
}

/// Reads lines in the format of `rejected --json`.
fn read_lines(path: &Path) -> Result<Vec<RejectedLine>> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?
    };
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| {
            format!("line {} of {} must be an object with table, source and line", number + 1, path.display())
        })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

/// Validates the lines as the API would have at the time. Valid events go back to their original arrival hour, so that they
/// are not later than they were.
fn correct(lines: &[RejectedLine], day: NaiveDate, tables: &[EventTable]) -> Result<(Objects, Report)> {
    let mut hours: BTreeMap<(&str, String), Vec<&RejectedLine>> = BTreeMap::new();
    for line in lines {
        hours.entry(locate(line, day, tables)?).or_default().push(line);
    }
    let (mut objects, mut report) = (Objects::new(), Report::default());
    for ((table, folder), lines) in hours {
        let event_type = event_type(table)?;
        let arrived = hour_of(&folder).with_context(|| format!("{folder} does not contain an hour"))?;
        let mut corrected = Vec::new();
        for RejectedLine { source, line, .. } in lines {
            match read_event(event_type, line, arrived + TimeDelta::hours(1)) {
                Ok(event) => corrected.push(event),
                Err(problem) => report.refused.push(Refused { source: source.clone(), line: line.clone(), problem }),
            }
        }
        if corrected.is_empty() {
            continue;
        }
        report.replayed += corrected.len() as u64;
        // Sorted, so that the same lines give the same object in any order.
        corrected.sort();
        corrected.dedup();
        let text = corrected.concat();
        let mut digest = String::new();
        for byte in &Sha256::digest(&text)[..8] {
            write!(digest, "{byte:02x}")?;
        }
        objects.insert(format!("data/{folder}/replay-{digest}.gz"), gzip(&text)?);
    }
    if report.replayed > 0 {
        report.rerun = Some((day, day));
    }
    Ok((objects, report))
}

/// The table of a line and the folder of its raw object.
fn locate<'a>(line: &RejectedLine, day: NaiveDate, tables: &'a [EventTable]) -> Result<(&'a str, String)> {
    let Some(table) = tables.iter().find(|table| table.name == line.table) else {
        let known: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        bail!("{} is not a table of events: it must be one of {}", line.table, known.join(", "));
    };
    let folder = line.source.rsplit_once('/').map_or("", |(folder, _)| folder);
    let expected = format!("raw/{}/{}/hour=", table.folder(), day.format("year=%Y/month=%m/day=%d"));
    if !folder.starts_with(&expected) || hour_of(folder).is_none() {
        bail!("the source {} is not a raw object of the table {} and the day {day}", line.source, line.table);
    }
    Ok((&table.name, folder.to_owned()))
}

/// The event type of a table. The deployed catalog may have a type that this program was built without.
fn event_type(table: &str) -> Result<&'static EventType> {
    let known = events::ALL.iter().find(|event_type| event_type.name == table);
    known
        .copied()
        .with_context(|| format!("this checkout has no schema of {table}: use the checkout that was deployed"))
}

/// The start of the hour of a folder such as `…/year=2026/month=11/day=20/hour=09`.
fn hour_of(folder: &str) -> Option<DateTime<Utc>> {
    let part = |name: &str| folder.split('/').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    let (year, month, day, hour): (u32, u32, u32, u32) = (part("year")?, part("month")?, part("day")?, part("hour")?);
    let day = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(day.and_hms_opt(hour, 0, 0)?.and_utc())
}

/// The raw form of an event with its newline, or the problem.
fn read_event(event_type: &'static EventType, line: &str, now: DateTime<Utc>) -> Result<String, String> {
    let body = format!("{{\"{}\":[{line}]}}", event_type.name);
    let mut assigned = false;
    let new_id = || {
        assigned = true;
        uuid::Uuid::nil()
    };
    let batch = Batch::parse(event_type, body.as_bytes(), now, new_id).map_err(|error| error.to_string())?;
    match batch.events() {
        // A generated id would differ at the next replay, and the line would become a second event.
        _ if assigned => Err(format!("{} is missing: add one to the event", event_type.id_field())),
        [Ok(_)] => Ok(String::from_utf8_lossy(batch.ndjson()).into_owned()),
        [Err(error)] => Err(error.message().to_owned()),
        _ => Err("the line is more than one event".to_owned()),
    }
}

/// Compresses without name and time, so that the same text gives the same bytes.
fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

/// Stores the objects that are not there yet, and returns their keys.
fn put(
    workspace: &Workspace,
    warehouse: &Warehouse,
    tables: &[EventTable],
    objects: &Objects,
    bucket: &str,
) -> Result<Vec<String>> {
    let folder = warehouse.instance.dir().join("replay");
    let _ = std::fs::remove_dir_all(&folder);
    for (key, bytes) in objects {
        let path = folder.join(key);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        std::fs::write(path, bytes)?;
    }
    let stored = super::import::upload(workspace, warehouse, tables, &folder.join("data/raw"), bucket)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(stored.keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AD: &str = "ad000000-0000-4000-8000-000000000001";

    fn rejected(hour: u32, line: &str) -> RejectedLine {
        RejectedLine {
            table: "impressions".into(),
            reason: "invalid occurred_at".into(),
            source: format!("raw/ad/impressions/year=2026/month=11/day=20/hour={hour:02}/a.gz"),
            line: line.into(),
            ..Default::default()
        }
    }

    fn impression(id: u32, occurred_at: &str) -> String {
        format!(
            r#"{{"impression_id":"00000000-0000-4000-8000-{id:012}","ad_id":"{AD}","occurred_at":"{occurred_at}"}}"#
        )
    }

    fn day() -> NaiveDate {
        "2026-11-20".parse().unwrap()
    }

    fn correct_lines(lines: &[RejectedLine], day: NaiveDate) -> Result<(Objects, Report)> {
        let tables = [("ad", "impressions"), ("shop", "no_such_schema")];
        correct(lines, day, &tables.map(|(group, name)| EventTable { name: name.into(), group: group.into() }))
    }

    #[test]
    fn a_corrected_line_goes_back_to_its_hour_in_the_raw_form() {
        let lines = [rejected(9, &impression(1, "2026-11-19T23:30:00Z")), rejected(10, "{}"), rejected(10, "not json")];
        let (objects, report) = correct_lines(&lines, day()).unwrap();
        assert_eq!((report.replayed, report.refused.len()), (1, 2));
        assert_eq!(report.rerun, Some((day(), day())));
        let (key, bytes) = objects.first_key_value().unwrap();
        assert!(key.starts_with("data/raw/ad/impressions/year=2026/month=11/day=20/hour=09/replay-"), "{key}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, impression(1, "2026-11-19 23:30:00.000") + "\n");
    }

    #[test]
    fn the_same_lines_make_the_same_object_in_any_order() {
        let (one, two) = (impression(1, "2026-11-20T09:00:00Z"), impression(2, "2026-11-20T09:00:00Z"));
        let replay = |lines: &[&String]| {
            let lines: Vec<_> = lines.iter().map(|line| rejected(9, line)).collect();
            correct_lines(&lines, day()).unwrap().0
        };
        assert_eq!(replay(&[&one, &two]), replay(&[&two, &one, &one]));
        assert_ne!(replay(&[&one]), replay(&[&two]));
    }

    #[test]
    fn an_event_without_an_id_of_its_own_is_refused() {
        let line = format!(r#"{{"ad_id":"{AD}","occurred_at":"2026-11-20 09:00:00.000"}}"#);
        let (objects, report) = correct_lines(&[rejected(9, &line)], day()).unwrap();
        assert!(objects.is_empty() && report.rerun.is_none());
        assert!(report.refused[0].problem.starts_with("impression_id is missing"), "{:?}", report.refused);
    }

    #[test]
    fn a_line_of_another_day_or_table_is_an_error() {
        let mut line = rejected(9, "{}");
        assert!(correct_lines(&[line.clone()], "2026-11-21".parse().unwrap()).is_err());
        line.table = "views".into();
        let error = correct_lines(&[line.clone()], day()).unwrap_err().to_string();
        assert_eq!(error, "views is not a table of events: it must be one of impressions, no_such_schema");
        // The raw lines of a table are in the folder of its group.
        line.table = "no_such_schema".into();
        line.source = line.source.replace("impressions", "no_such_schema");
        let error = correct_lines(&[line.clone()], day()).unwrap_err().to_string();
        assert!(error.contains("is not a raw object of the table no_such_schema"), "{error}");
        line.source = line.source.replace("/ad/", "/shop/");
        let error = correct_lines(&[line], day()).unwrap_err().to_string();
        assert!(error.contains("this checkout has no schema of no_such_schema"), "{error}");
    }
}
