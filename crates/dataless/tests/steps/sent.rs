//! Compares what was sent with the ledger and the lake.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::run;

/// A line that was sent, from the point of view of its sender.
pub struct Sent {
    pub table: &'static str,
    /// The day on which it arrived.
    pub arrived: String,
    /// The own id and the time of the event. `None` if the line is not an event.
    pub event: Option<(String, String)>,
    pub line: String,
}

const TABLES: [(&str, &str); 2] = [("impressions", "impression_id"), ("clicks", "click_id")];

/// Every line of the raw files below a folder: the output of `loadgen files`, or the local copy of the raw zone.
pub fn sent_in_files(folder: &Path) -> Vec<Sent> {
    let mut sent = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sent.extend(sent_in_files(&path));
            continue;
        }
        let name = path.display().to_string();
        let (table, own) = *TABLES.iter().find(|(table, _)| name.contains(&format!("/raw/ad/{table}/year="))).unwrap();
        let part = |key: &str| name.split(&format!("/{key}=")).nth(1).unwrap().split('/').next().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        // The emulator does not compress what Firehose would compress.
        let text = if bytes.starts_with(&[0x1f, 0x8b]) {
            std::io::read_to_string(flate2::read::GzDecoder::new(&bytes[..])).unwrap()
        } else {
            String::from_utf8(bytes).unwrap()
        };
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let whole = |key: &str| event[key].as_str().filter(|id| id.len() == 36).map(str::to_owned);
            let time = event["occurred_at"].as_str().filter(|time| time.len() == 23).map(str::to_owned);
            sent.push(Sent {
                table,
                arrived: format!("{}-{}-{}", part("year"), part("month"), part("day")),
                event: whole("ad_id").and(whole(own)).zip(time),
                line: line.to_owned(),
            });
        }
    }
    sent
}

/// An event is late if it arrives more than three days after the day on which it occurred.
pub fn is_late(occurred_at: &str, arrived: &str) -> bool {
    let day = |text: &str| chrono::NaiveDate::parse_from_str(&text[..10], "%Y-%m-%d").unwrap();
    (day(arrived) - day(occurred_at)).num_days() > 3
}

/// Asserts that the ledger and the lake account for exactly the lines that arrived on some days.
pub fn assert_accounted_for(sent: &[Sent]) {
    let days: BTreeSet<&str> = sent.iter().map(|sent| sent.arrived.as_str()).collect();
    for (table, own) in TABLES {
        let mut lake = BTreeSet::new();
        for day in &days {
            let lines: Vec<&Sent> = sent.iter().filter(|sent| sent.table == table && sent.arrived == **day).collect();
            let events: Vec<&(String, String)> = lines.iter().filter_map(|sent| sent.event.as_ref()).collect();
            let (late, rest): (Vec<_>, Vec<_>) =
                events.iter().copied().partition(|(_, occurred_at)| is_late(occurred_at, day));
            let kept: BTreeSet<String> = rest
                .iter()
                .map(|(id, occurred_at)| format!("{id},{occurred_at},{},{day}", &occurred_at[..10]))
                .collect();
            let expected = serde_json::json!({
                "raw": lines.len(),
                "kept": kept.len(),
                "repeats": rest.len() - kept.len(),
                "rejected": lines.len() - events.len(),
                "late": late.len(),
            });
            assert!(late.len() > 1 && rest.len() > kept.len() && kept.len() > 100, "{table} {day}: {expected}");
            let books: Value = serde_json::from_str(&run(&["ledger", "--day", day, "--json"])).unwrap();
            let row = books.as_array().unwrap().iter().find(|row| row["table"] == table).unwrap();
            for (name, count) in expected.as_object().unwrap() {
                assert_eq!(&row[name], count, "{table} {day}: {name} of {row}");
            }
            lake.extend(kept);
        }
        let (first, last) = (days.first().unwrap(), days.last().unwrap());
        let rows = run(&[
            "query",
            "--format",
            "csv",
            &format!(
                "SELECT {own}, date_format(occurred_at, 'yyyy-MM-dd HH:mm:ss.SSS'), concat_ws('-', year, month, day), \
                 arrived FROM {table} WHERE arrived BETWEEN '{first}' AND '{last}' ORDER BY 1"
            ),
        ]);
        let rows: Vec<&str> = rows.lines().skip(1).collect();
        assert_eq!(rows, lake.iter().collect::<Vec<_>>(), "{table}");
    }
}
