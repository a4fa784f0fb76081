//! Reads what was stored: the journal, the raw lines, the rows of the lake, the items of DynamoDB.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDateTime, Utc};
use event_types::EventType;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::account::{Copies, Fate, Traffic};
use crate::local::aws::Aws;
use crate::local::books::open_object;
use crate::local::spark::Spark;

/// Codes of the journal for events that could not be stored and that the sender gave up on.
const NOT_STORED: [&str; 4] = ["NotStored", "ConnectFailed", "Http429", "Http503"];

/// The number of events by type and code, of those that were not acknowledged.
pub type Codes = BTreeMap<String, u64>;

/// What was sent, by type.
pub type Sent = HashMap<String, HashMap<Uuid, Fate>>;

/// Reads the load generator's journal.
pub fn journal(path: &Path) -> Result<(Sent, Codes)> {
    #[derive(Deserialize)]
    struct Line<'a> {
        table: &'a str,
        id: Uuid,
        fate: &'a str,
        code: Option<&'a str>,
    }
    let (mut sent, mut codes) = (Sent::new(), Codes::new());
    each_line(path, |line| {
        let Line { table, id, fate, code } =
            serde_json::from_slice(line).context("failed to read a line of the journal")?;
        let fate = match (fate, code) {
            ("acknowledged", _) => Fate::Acknowledged,
            ("unknown", _) => Fate::Unknown,
            ("refused", Some(code)) if NOT_STORED.contains(&code) => Fate::NotStored,
            ("refused", _) => Fate::Refused,
            other => bail!("the journal has an unknown fate: {other:?}"),
        };
        if fate != Fate::Acknowledged {
            *codes.entry(format!("{table} {}", code.unwrap_or("none"))).or_default() += 1;
        }
        if !sent.contains_key(table) {
            sent.insert(table.to_owned(), HashMap::new());
        }
        if let Some(events) = sent.get_mut(table) {
            let known = events.entry(id).or_insert(fate);
            *known = fate.max(*known);
        }
        Ok(())
    })?;
    Ok((sent, codes))
}

/// The raw lines of a type.
#[derive(Debug, Default)]
pub struct Raw {
    pub ids: Copies,
    /// Lines without an id of their own.
    pub without_id: u64,
    /// Lines by the minute in which Firehose wrote their object.
    pub minutes: BTreeMap<DateTime<Utc>, u64>,
    /// Lines of other objects: imported or restored ones.
    pub undated: u64,
    /// Events of the requested ad.
    pub matching: HashSet<Uuid>,
}

/// Reads the raw lines of a type below a local copy of the data prefix, and lists the events of an ad.
pub fn raw(data: &Path, event_type: &EventType, ad: Option<&str>) -> Result<Raw> {
    let mut raw = Raw::default();
    for path in files(&data.join("raw").join(&event_type.group).join(&event_type.name))? {
        let minute = path.file_name().and_then(|name| minute_of(&name.to_string_lossy()));
        let mut lines = 0;
        each_line(&path, |line| {
            lines += 1;
            let event: Value = serde_json::from_slice(line).unwrap_or_default();
            match id_of(&event, &event_type.id) {
                Some(id) => {
                    *raw.ids.entry(id).or_default() += 1;
                    if ad.is_some_and(|ad| event["ad_id"] == ad) {
                        raw.matching.insert(id);
                    }
                }
                None => raw.without_id += 1,
            }
            Ok(())
        })?;
        match minute {
            Some(minute) => *raw.minutes.entry(minute).or_default() += lines,
            None => raw.undated += lines,
        }
    }
    Ok(raw)
}

/// The ids of the lines that Firehose set aside and that were not restored.
pub fn set_aside(data: &Path, event_type: &EventType) -> Result<Copies> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        raw_data: String,
    }
    let mut ids = Copies::new();
    for path in files(&data.join("raw-errors").join(&event_type.name))? {
        each_line(&path, |line| {
            let Record { raw_data } =
                serde_json::from_slice(line).context("failed to read a record that was set aside")?;
            let bytes =
                base64_simd::STANDARD.decode_to_vec(raw_data).context("a record that was set aside is not base64")?;
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let event: Value = serde_json::from_slice(line).unwrap_or_default();
                if let Some(id) = id_of(&event, &event_type.id) {
                    *ids.entry(id).or_default() += 1;
                }
            }
            Ok(())
        })?;
    }
    Ok(ids)
}

fn id_of(event: &Value, field: &str) -> Option<Uuid> {
    event[field].as_str().filter(|text| text.len() == 36)?.parse().ok()
}

/// The minute of an object that Firehose named: `<stream>-<version>-yyyy-MM-dd-HH-mm-ss-<uuid>`, with or without extension.
fn minute_of(name: &str) -> Option<DateTime<Utc>> {
    const UUID: usize = 36;
    const TIME: usize = 19;
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let (rest, id) = stem.split_at_checked(stem.len().checked_sub(UUID)?)?;
    id.parse::<Uuid>().ok()?;
    let rest = rest.strip_suffix('-')?;
    let time = rest.get(rest.len().checked_sub(TIME)?..)?;
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d-%H-%M-%S").ok()?.and_utc();
    DateTime::from_timestamp(time.timestamp() / 60 * 60, 0)
}

/// The rows of the lake.
#[derive(Debug, Default)]
pub struct Rows {
    /// Events by type.
    pub events: HashMap<String, Copies>,
    /// Rows of `advertising` by impression.
    pub advertising: Copies,
    /// The same by ad and day, counted.
    pub by_ad: Traffic,
    /// The table `ad_traffic`. Rows with the same key are summed.
    pub ad_traffic: Traffic,
}

/// Exports the rows of the lake with Spark, and reads them.
pub fn rows(spark: &Spark<'_>, out: &Path, types: &[EventType]) -> Result<Rows> {
    let tables: Vec<String> =
        types.iter().map(|found| format!("{}/{}:{}", found.group, found.name, found.id)).collect();
    let out_text = out.display().to_string();
    let data = spark.data_path()?;
    spark.script("glue/local/rows.py", &["--data_path", &data, "--out", &out_text, "--tables", &tables.join(",")])?;
    let mut rows = Rows::default();
    for event_type in types {
        let copies = rows.events.entry(event_type.name.clone()).or_default();
        each_row(&out.join(&event_type.name), |fields: [&str; 1]| {
            *copies.entry(fields[0].parse()?).or_default() += 1;
            Ok(())
        })?;
    }
    let Rows { advertising, by_ad, ad_traffic, .. } = &mut rows;
    each_row(&out.join("advertising"), |[impression, ad, day, clicked]: [&str; 4]| {
        *advertising.entry(impression.parse()?).or_default() += 1;
        let sums = by_ad.entry((ad.to_owned(), day.to_owned())).or_default();
        *sums = (sums.0 + 1, sums.1 + clicked.parse::<u64>()?);
        Ok(())
    })?;
    each_row(&out.join("ad_traffic"), |[ad, day, impressions, clicks]: [&str; 4]| {
        let sums = ad_traffic.entry((ad.to_owned(), day.to_owned())).or_default();
        *sums = (sums.0 + impressions.parse::<u64>()?, sums.1 + clicks.parse::<u64>()?);
        Ok(())
    })?;
    Ok(rows)
}

/// All items of the traffic table in DynamoDB.
pub fn items(aws: &Aws, table: &str) -> Result<Traffic> {
    let mut request = json!({ "TableName": table });
    let mut items = Traffic::new();
    loop {
        let mut answer = aws.call("dynamodb", "DynamoDB_20120810.Scan", &request)?;
        let found = answer["Items"].as_array().context("failed to read the items of DynamoDB")?;
        for item in found {
            let text = |name: &str, kind: &str| {
                item[name][kind].as_str().with_context(|| format!("an item of DynamoDB has no {name}: {item}"))
            };
            let key = (text("ad_id", "S")?.to_owned(), text("day", "S")?.to_owned());
            items.insert(key, (text("impressions", "N")?.parse()?, text("clicks", "N")?.parse()?));
        }
        let next = answer["LastEvaluatedKey"].take();
        if next.is_null() {
            return Ok(items);
        }
        request["ExclusiveStartKey"] = next;
    }
}

/// The files below a folder, in their order, but for hidden ones and check sums; none where it is missing.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The rows of CSV files without headers and quotes.
fn each_row<const N: usize>(folder: &Path, mut row: impl FnMut([&str; N]) -> Result<()>) -> Result<()> {
    for path in files(folder)? {
        each_line(&path, |line| {
            let line = std::str::from_utf8(line)?;
            let fields: Vec<&str> = line.split(',').collect();
            let fields = fields.try_into().map_err(|_| anyhow::anyhow!("{line} does not have {N} fields"))?;
            row(fields)
        })?;
    }
    Ok(())
}

/// The lines of a file, gzip or not.
fn each_line(path: &Path, mut line: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let unreadable = || format!("failed to read {}", path.display());
    for read in open_object(path).with_context(unreadable)?.split(b'\n') {
        line(&read.with_context(unreadable)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use base64::prelude::{BASE64_STANDARD, Engine};
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const ONE: &str = "11111111-1111-4111-8111-111111111111";
    const TWO: &str = "22222222-2222-4222-8222-222222222222";

    fn impressions() -> EventType {
        let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/impressions.json"));
        event_types::read_type("impressions", &schema.unwrap()).unwrap()
    }

    fn id(text: &str) -> Uuid {
        text.parse().unwrap()
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut encoder = GzEncoder::new(file, Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap();
        } else {
            (&file).write_all(text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn the_best_known_fate_of_an_event_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.gz");
        let line = |table: &str, id: &str, fate: &str, code: &str| {
            format!(
                r#"{{"table":"{table}","id":"{id}","occurred_at":"2026-11-20 10:00:00.000","kind":"fresh","late":false,"bot":false,"fate":"{fate}","code":{code},"tries":1}}"#
            ) + "\n"
        };
        let lines = [
            line("clicks", ONE, "unknown", "\"Timeout\""),
            line("clicks", ONE, "acknowledged", "null"),
            line("clicks", TWO, "refused", "\"NotStored\""),
            line("impressions", ONE, "refused", "\"InvalidUuid\""),
            line("impressions", TWO, "unknown", "\"Http500\""),
        ];
        write(&path, &lines.concat());
        let (sent, codes) = journal(&path).unwrap();
        assert_eq!(sent["clicks"], [(id(ONE), Fate::Acknowledged), (id(TWO), Fate::NotStored)].into());
        assert_eq!(sent["impressions"], [(id(ONE), Fate::Refused), (id(TWO), Fate::Unknown)].into());
        let expected = [
            ("clicks NotStored", 1),
            ("clicks Timeout", 1),
            ("impressions Http500", 1),
            ("impressions InvalidUuid", 1),
        ];
        assert_eq!(codes, expected.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn raw_lines_are_counted_by_id_and_by_the_minute_of_their_object() {
        let folder = tempfile::tempdir().unwrap();
        let hour = folder.path().join("raw/ad/impressions/year=2026/month=11/day=20/hour=10");
        let line = |id: &str, ad: &str| format!(r#"{{"impression_id":"{id}","ad_id":"{ad}"}}"#) + "\n";
        write(
            &hour.join("wh-impressions-1-2026-11-20-10-05-59-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"),
            &line(ONE, "x").repeat(2),
        );
        write(
            &hour.join("wh-impressions-1-2026-11-20-10-06-00-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaab.gz"),
            &line(TWO, "y"),
        );
        write(&hour.join("undelivered-0c5a3f1b2d4e6a78.gz"), "not an event\n");
        write(&hour.join("_hidden"), &line(TWO, "y"));
        let raw = raw(folder.path(), &impressions(), Some("y")).unwrap();
        assert_eq!(raw.ids, [(id(ONE), 2), (id(TWO), 1)].into());
        let minute = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(raw.minutes, [(minute("2026-11-20T10:05:00Z"), 2), (minute("2026-11-20T10:06:00Z"), 1)].into());
        assert_eq!((raw.undated, raw.without_id, raw.matching), (1, 1, [id(TWO)].into()));
    }

    #[test]
    fn lines_that_were_set_aside_are_read_out_of_their_records() {
        let folder = tempfile::tempdir().unwrap();
        let hour = folder.path().join("raw-errors/impressions/processing-failed/year=2026/month=11/day=20/hour=10");
        let lines = format!("{{\"impression_id\":\"{ONE}\"}}\n{{\"impression_id\":\"{TWO}\"}}\n");
        write(&hour.join("object"), &format!("{{\"rawData\":\"{}\"}}\n", BASE64_STANDARD.encode(lines)));
        assert_eq!(set_aside(folder.path(), &impressions()).unwrap(), [(id(ONE), 1), (id(TWO), 1)].into());
        assert_eq!(set_aside(&folder.path().join("none"), &impressions()).unwrap(), Copies::new());
    }

    #[test]
    fn only_names_of_firehose_have_a_minute() {
        for other in [
            "",
            "impressions-5.gz",
            "wh-1-2026-13-20-10-05-59-aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
            "é-0c5a3f1b2d4e6a78",
        ] {
            assert_eq!(minute_of(other), None, "{other}");
        }
    }
}
