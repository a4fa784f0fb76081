//! The books: each number is counted where it is stored and compared with the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use event_types::EventType;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::local::aws::Aws;
use crate::local::catalog::EventTable;
use crate::local::realtime::count_by_minute;
use crate::local::spark::Spark;
use crate::local::stack::{Output, Stack};
use crate::local::traffic::Client;

/// A count per event type, by name.
pub type Counts = BTreeMap<String, u64>;

/// The table `advertising`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Advertising {
    /// One per impression.
    pub rows: u64,
    /// Those with a click.
    pub clicked: u64,
}

/// The traffic endpoint compared with the lake.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Items of the DynamoDB table.
    pub items: u64,
    /// Ads that were queried over HTTP.
    pub checked: usize,
    /// Ads whose answer differs from the lake.
    pub mismatches: usize,
}

/// All books of a demo. Written to `report.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Books {
    pub day: NaiveDate,
    /// Events that the API acknowledged.
    pub accepted: Counts,
    /// Lines of the raw objects in S3.
    pub raw: Counts,
    /// Raw lines that the ledger accounts for.
    pub ledger: Counts,
    /// Rows of the lake's ORC files.
    pub lake: Counts,
    pub repeats: Counts,
    pub rejected: Counts,
    pub late: Counts,
    pub advertising: Advertising,
    pub traffic: Traffic,
    /// Sums of the metrics in CloudWatch.
    pub realtime: Counts,
    /// Clicked impressions of the table `ad_traffic` by its impressions.
    pub clickthrough_rate: f64,
    pub balanced: bool,
    /// How long each stage took.
    pub seconds: BTreeMap<String, f64>,
}

impl Books {
    /// The types of all books, in the order of the counts.
    pub fn types(&self) -> BTreeSet<&str> {
        let books = [&self.accepted, &self.raw, &self.ledger, &self.lake, &self.realtime];
        books.into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }
}

/// The output of `glue/local/books.py`, which counts rows of the ORC files.
#[derive(Clone, Debug, Deserialize)]
pub struct LakeBooks {
    pub ledger: Counts,
    pub lake: Counts,
    pub repeats: Counts,
    pub rejected: Counts,
    pub late: Counts,
    pub advertising: Advertising,
    /// Ad, impressions and clicks of the day.
    pub ad_traffic: Vec<(String, u64, u64)>,
}

/// Counts the lines of raw objects below a local copy of the data prefix, for these types and all others that are there.
pub fn count_raw<'a>(data: &Path, types: impl IntoIterator<Item = &'a String>) -> Result<Counts> {
    let mut counts: Counts = types.into_iter().map(|name| (name.clone(), 0)).collect();
    for (name, folder) in raw_folders(data)? {
        *counts.entry(name).or_default() += count_lines(&folder)?;
    }
    Ok(counts)
}

/// The types of events with their folders, `raw/<group>/<type>`.
fn raw_folders(data: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (_, group) in subfolders(&data.join("raw"), "")? {
        found.extend(subfolders(&group, "")?);
    }
    found.retain(|(name, _)| !name.starts_with(['.', '_']));
    Ok(found)
}

/// A table of events and a day of arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableDay {
    pub day: NaiveDate,
    pub table: String,
}

/// Counts raw lines by table and day of arrival, below a local copy of the data prefix.
pub fn count_raw_by_day(data: &Path, tables: &[EventTable]) -> Result<BTreeMap<TableDay, u64>> {
    let mut counts = BTreeMap::new();
    for table in tables {
        let folder = data.join("raw").join(table.folder());
        for (year, path) in subfolders(&folder, "year=")? {
            for (month, path) in subfolders(&path, "month=")? {
                for (day, path) in subfolders(&path, "day=")? {
                    let Ok(day) = format!("{year}-{month}-{day}").parse() else { continue };
                    counts.insert(TableDay { day, table: table.name.clone() }, count_lines(&path)?);
                }
            }
        }
    }
    Ok(counts)
}

/// The folders named `<prefix><value>` in a folder, with their values.
fn subfolders(folder: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(value) = name.strip_prefix(prefix) {
            found.push((value.to_owned(), path.clone()));
        }
    }
    Ok(found)
}

fn count_lines(path: &Path) -> Result<u64> {
    if !path.exists() {
        return Ok(0);
    }
    if path.is_dir() {
        return std::fs::read_dir(path)?.try_fold(0, |sum, entry| {
            let entry = entry?;
            // Hadoop's readers treat these as hidden.
            let is_hidden = matches!(entry.file_name().as_encoded_bytes().first(), Some(b'.' | b'_'));
            Ok(if is_hidden { sum } else { sum + count_lines(&entry.path())? })
        });
    }
    let count = || open_object(path)?.split(b'\n').try_fold(0, |count, line| line.map(|_| count + 1));
    count().with_context(|| format!("failed to read {}", path.display()))
}

/// Opens the local copy of an object and decompresses it. Objects are gzip on AWS; the emulator stores them uncompressed.
/// The first two bytes show which.
pub fn open_object(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const BUFFER_BYTES: usize = 1 << 16;
    let mut file = BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(GZIP) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// Counts the rows of the ORC files by Spark, without the catalog. Tables of events are named by their folders,
/// `<group>/<type>`.
pub fn count_lake(spark: &Spark<'_>, day: NaiveDate, tables: &[String]) -> Result<LakeBooks> {
    let options = ["--data_path", &spark.data_path()?, "--day", &day.to_string(), "--tables", &tables.join(",")];
    let printed = spark.script("glue/local/books.py", &options)?;
    serde_json::from_str(&printed).context("failed to read the books of the lake")
}

/// Sums of the real-time counts of these types since a time.
pub fn sum_realtime(aws: &Aws, stack: &Stack, since: DateTime<Utc>, types: &[EventType]) -> Result<Counts> {
    // The timestamp of a minute is its start.
    let margin = TimeDelta::minutes(2);
    let sum = |event_type: &EventType| {
        let minutes = count_by_minute(aws, stack, event_type, (since - margin, Utc::now() + margin))?;
        Ok((event_type.name.clone(), minutes.values().sum()))
    };
    types.iter().map(sum).collect()
}

/// Queries the endpoint for each ad of the lake's table, and compares.
pub fn check_traffic(aws: &Aws, stack: &Stack, day: NaiveDate, lake: &[(String, u64, u64)]) -> Result<Traffic> {
    const THREADS: usize = 4;
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        count: u64,
    }
    let table = stack.output(Output::AdTrafficTable)?;
    let answer: Answer = aws.json(&["dynamodb", "scan", "--table-name", table, "--select", "COUNT"])?;

    let client = Client::new(stack.base_url()?);
    let (next, mismatches) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let day = day.to_string();
    std::thread::scope(|scope| {
        let ask = || -> Result<()> {
            while let Some((ad, impressions, clicks)) = lake.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = client.days(ad, &[("start", &day), ("end", &day)])?;
                let same = matches!(answer.days.as_slice(), [found] if found.day == day
                    && (found.impressions, found.clicks) == (*impressions, *clicks));
                mismatches.fetch_add(usize::from(!same), Ordering::Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    Ok(Traffic { items: answer.count, checked: lake.len(), mismatches: mismatches.into_inner() })
}

/// One line of the books: two numbers that must be equal, and whether they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub title: &'static str,
    pub left: (&'static str, String),
    pub right: (&'static str, String),
    pub equal: bool,
}

/// Compares the numbers.
pub fn audit(books: &Books, ad_traffic: &[(String, u64, u64)]) -> Vec<Entry> {
    let sum = |of: fn(&(String, u64, u64)) -> u64| ad_traffic.iter().map(of).sum::<u64>();
    let of = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or_default();
    let types = books.types();
    // A type that was not sent has its position among the counts, and differs from 0.
    let all = |counts: &[&Counts]| -> String {
        let sums = types.iter().map(|name| counts.iter().map(|counts| of(counts, name)).sum::<u64>().to_string());
        sums.collect::<Vec<_>>().join(" + ")
    };
    let accounted = all(&[&books.lake, &books.repeats, &books.rejected, &books.late]);
    let [accepted, raw, ledger, lake, realtime] =
        [&books.accepted, &books.raw, &books.ledger, &books.lake, &books.realtime].map(|counts| all(&[counts]));
    let Books { advertising, traffic, .. } = books;
    [
        ("nothing lost on the way in", ("accepted", accepted.clone()), ("raw lines", raw.clone())),
        ("every raw line on the ledger", ("raw lines", raw), ("ledger", ledger.clone())),
        ("the ledger balances", ("ledger", ledger), ("kept + set aside", accounted)),
        ("every event in the lake", ("accepted", accepted.clone()), ("lake rows", lake)),
        (
            "every impression in advertising",
            ("impressions", of(&books.lake, "impressions").to_string()),
            ("rows", advertising.rows.to_string()),
        ),
        (
            "every ad in DynamoDB",
            ("ads in the lake", ad_traffic.len().to_string()),
            ("items", traffic.items.to_string()),
        ),
        (
            "the endpoint says what the lake says",
            ("ads asked for", traffic.checked.to_string()),
            ("answered right", (traffic.checked - traffic.mismatches).to_string()),
        ),
        (
            "sums by ad are the lake's",
            ("advertising", format!("{} + {}", advertising.rows, advertising.clicked)),
            ("ad_traffic", format!("{} + {}", sum(|ad| ad.1), sum(|ad| ad.2))),
        ),
        ("real time saw the same", ("accepted", accepted), ("metrics", realtime)),
    ]
    .map(|(title, left, right)| Entry { title, equal: left.1 == right.1, left, right })
    .into()
}

/// How long to wait for delayed metrics.
pub const METRICS_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn books() -> (Books, Vec<(String, u64, u64)>) {
        let all = || counts([("impressions", 10), ("clicks", 3), ("orders", 4)]);
        let none = || counts([("impressions", 0), ("clicks", 0), ("orders", 0)]);
        let books = Books {
            day: "2026-11-20".parse().unwrap(),
            accepted: all(),
            raw: all(),
            ledger: all(),
            lake: all(),
            repeats: none(),
            rejected: none(),
            late: none(),
            advertising: Advertising { rows: 10, clicked: 3 },
            traffic: Traffic { items: 2, checked: 2, mismatches: 0 },
            realtime: all(),
            clickthrough_rate: 0.3,
            balanced: false,
            seconds: BTreeMap::new(),
        };
        (books, vec![("a".into(), 4, 1), ("b".into(), 6, 2)])
    }

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> Counts {
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    fn unbalanced(change: impl FnOnce(&mut Books)) -> Vec<&'static str> {
        let (mut books, ads) = books();
        change(&mut books);
        audit(&books, &ads).iter().filter(|entry| !entry.equal).map(|entry| entry.title).collect()
    }

    #[test]
    fn correct_books_balance() {
        assert_eq!(unbalanced(|_| {}), [] as [&str; 0]);
    }

    #[test]
    fn each_wrong_number_is_found() {
        for name in ["impressions", "clicks", "orders"] {
            let set = |counts: &mut Counts, count| counts.insert(name.to_owned(), count);
            let add = |counts: &mut Counts| *counts.get_mut(name).unwrap() += 1;
            let accepted = unbalanced(|books| add(&mut books.accepted));
            assert_eq!(accepted, ["nothing lost on the way in", "every event in the lake", "real time saw the same"]);
            let raw = unbalanced(|books| add(&mut books.raw));
            assert_eq!(raw, ["nothing lost on the way in", "every raw line on the ledger"]);
            let ledger = unbalanced(|books| add(&mut books.ledger));
            assert_eq!(ledger, ["every raw line on the ledger", "the ledger balances"]);
            let asides: [fn(&mut Books) -> &mut Counts; 3] =
                [|books| &mut books.rejected, |books| &mut books.late, |books| &mut books.repeats];
            for aside in asides {
                assert_eq!(unbalanced(|books| add(aside(books))), ["the ledger balances"]);
            }
            assert_eq!(unbalanced(|books| _ = set(&mut books.realtime, 0)), ["real time saw the same"]);
        }
        assert_eq!(
            unbalanced(|books| _ = books.lake.insert("impressions".into(), 9)),
            ["the ledger balances", "every event in the lake", "every impression in advertising"]
        );
        assert_eq!(
            unbalanced(|books| _ = books.lake.insert("orders".into(), 3)),
            ["the ledger balances", "every event in the lake"]
        );
        assert_eq!(unbalanced(|books| books.advertising.clicked = 2), ["sums by ad are the lake's"]);
        assert_eq!(unbalanced(|books| books.traffic.items = 3), ["every ad in DynamoDB"]);
        assert_eq!(unbalanced(|books| books.traffic.mismatches = 1), ["the endpoint says what the lake says"]);
    }

    #[test]
    fn lines_of_a_type_that_was_not_sent_are_found() {
        assert_eq!(
            unbalanced(|books| _ = books.raw.insert("returns".into(), 1)),
            ["nothing lost on the way in", "every raw line on the ledger"]
        );
    }

    #[test]
    fn raw_lines_are_counted_in_gzip_and_plain_objects_alike() {
        let dir = tempfile::tempdir().unwrap();
        let hour = dir.path().join("raw/ad/impressions/year=2026/month=11/day=20/hour=09");
        std::fs::create_dir_all(&hour).unwrap();
        std::fs::write(hour.join("plain"), "{}\n{}\n\n").unwrap();
        let mut gzip = Vec::new();
        for member in ["{}\n", "{}\n{}"] {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(member.as_bytes()).unwrap();
            gzip.extend(encoder.finish().unwrap());
        }
        std::fs::write(hour.join("zipped.gz"), gzip).unwrap();
        // Blank lines count, and so does text after the last newline.
        assert_eq!(count_raw(dir.path(), []).unwrap(), counts([("impressions", 6)]));
    }

    #[test]
    fn raw_lines_of_every_type_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        for (file, lines) in [
            ("ad/impressions/year=2026/month=11/day=20/hour=09/a", "{}\n{}\n"),
            ("ad/impressions/year=2026/month=11/day=21/hour=00/b", "{}\n"),
            ("shop/orders/year=2026/month=11/day=21/hour=00/c", "{}\n"),
            ("shop/orders/year=2026/month=11/day=21/hour=00/_SUCCESS", "not a line"),
            ("shop/_temporary/d", "not a line"),
        ] {
            let path = dir.path().join("raw").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, lines).unwrap();
        }
        let counted = count_raw(dir.path(), &["clicks".to_owned()]).unwrap();
        assert_eq!(counted, counts([("impressions", 3), ("clicks", 0), ("orders", 1)]));
        let key = |day: &str, table: &str| TableDay { day: day.parse().unwrap(), table: table.into() };
        let tables = [("ad", "impressions"), ("shop", "orders"), ("shop", "returns")];
        let tables = tables.map(|(group, name)| EventTable { name: name.into(), group: group.into() });
        let expected = BTreeMap::from([
            (key("2026-11-20", "impressions"), 2),
            (key("2026-11-21", "impressions"), 1),
            (key("2026-11-21", "orders"), 1),
        ]);
        assert_eq!(count_raw_by_day(dir.path(), &tables).unwrap(), expected);
    }
}
