//! Reads rows of the lake's tables in SQL.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::local::books::TableDay;
use crate::local::spark::Spark;
use crate::local::stack::{Output, Stack};

/// The books of a table and arrival day, in lines. `docs/lake.md` defines the terms.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct LedgerRow {
    pub table: String,
    pub day: NaiveDate,
    pub raw: u64,
    pub kept: u64,
    pub repeats: u64,
    pub rejected: u64,
    pub late: u64,
    pub stored: u64,
    /// Acknowledged lines that Firehose set aside: they are not in raw.
    pub undelivered: u64,
    /// When the run that decided the day began, and when it had published its result; `None` without such a run.
    pub started_at: Option<DateTime<Utc>>,
    pub decided_at: Option<DateTime<Utc>>,
}

impl LedgerRow {
    /// The table and day of arrival.
    pub fn table_day(&self) -> TableDay {
        TableDay { day: self.day, table: self.table.clone() }
    }

    /// Whether every line is in raw and has one fate there, and every kept line is a row of the lake.
    pub const fn balances(&self) -> bool {
        self.adds_up() && self.undelivered == 0
    }

    /// The same for the lines that are in raw, whatever Firehose set aside.
    pub const fn adds_up(&self) -> bool {
        self.raw == self.kept + self.repeats + self.rejected + self.late && self.kept == self.stored
    }
}

/// A raw line that is not a valid event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct RejectedLine {
    pub table: String,
    /// Why it is not valid. A line that was corrected by hand may omit it.
    #[serde(default)]
    pub reason: String,
    /// The raw object that contains it, below the data prefix.
    pub source: String,
    pub line: String,
    /// It stays the same when the line is corrected, so that a replay identifies the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default)]
    pub replayed: bool,
}

/// The stale rows: those for which an earlier day, within the look-back and one day more, was decided after their run
/// began.
pub fn stale(rows: &[LedgerRow], lookback_days: u64) -> Vec<TableDay> {
    let decided: BTreeMap<TableDay, DateTime<Utc>> =
        rows.iter().filter_map(|row| Some((row.table_day(), row.decided_at?))).collect();
    let is_stale = |row: &&LedgerRow| {
        (1..=lookback_days + 1).any(|back| {
            let before = TableDay { day: row.day - Days::new(back), table: row.table.clone() };
            decided.get(&before).copied() > row.started_at && row.started_at.is_some()
        })
    };
    rows.iter().filter(is_stale).map(LedgerRow::table_day).collect()
}

/// The ledger, by day and table.
pub fn ledger(spark: &Spark<'_>, stack: &Stack) -> Result<Vec<LedgerRow>> {
    let moment = |name: &str| format!("date_format({name}, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\") AS {name}");
    let columns = format!(
        "table_name AS table, concat_ws('-', year, month, day) AS day, raw, kept, repeats, rejected, late, stored, \
         undelivered, {}, {}",
        moment("started_at"),
        moment("decided_at")
    );
    query(spark, stack, &format!("SELECT {columns} FROM ledger ORDER BY 2, 1"))
}

/// The rejected lines; of one arrival day, if given.
pub fn rejected(spark: &Spark<'_>, stack: &Stack, day: Option<NaiveDate>) -> Result<Vec<RejectedLine>> {
    let columns = "table_name AS table, reason, source, line";
    query(spark, stack, &format!("SELECT {columns} FROM rejected {} ORDER BY source, line", condition(day)))
}

fn condition(day: Option<NaiveDate>) -> String {
    day.map(|day| {
        format!(
            "WHERE year = '{}' AND month = '{}' AND day = '{}'",
            day.format("%Y"),
            day.format("%m"),
            day.format("%d")
        )
    })
    .unwrap_or_default()
}

fn query<T: DeserializeOwned>(spark: &Spark<'_>, stack: &Stack, sql: &str) -> Result<Vec<T>> {
    let database = stack.output(Output::GlueDatabase)?;
    let args = ["--database", database, "--format", "json", "--sql", sql];
    let printed = spark.script("glue/local/query.py", &args)?;
    let rows = printed.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>().context("failed to read the rows of the lake")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_when_both_sums_do() {
        let row = LedgerRow { raw: 10, kept: 5, repeats: 2, rejected: 2, late: 1, stored: 5, ..Default::default() };
        assert!(row.balances());
        assert!(!LedgerRow { raw: 11, ..row.clone() }.balances());
        assert!(!LedgerRow { stored: 4, ..row.clone() }.balances());
        assert!(!LedgerRow { undelivered: 1, ..row }.balances());
    }

    /// A ledger row that was decided by a run of five minutes.
    fn decided(table: &str, day: &str, started: &str) -> LedgerRow {
        let started: DateTime<Utc> = format!("{started}:00Z").parse().unwrap();
        LedgerRow {
            table: table.into(),
            day: day.parse().unwrap(),
            started_at: Some(started),
            decided_at: Some(started + chrono::TimeDelta::minutes(5)),
            ..Default::default()
        }
    }

    #[test]
    fn a_day_is_stale_if_an_earlier_one_was_decided_after_its_run_began() {
        let days = |rows: &[LedgerRow]| stale(rows, 3).iter().map(|key| key.day.to_string()).collect::<Vec<_>>();
        let first = decided("clicks", "2026-11-20", "2026-12-01T04:00");
        let at = |day, started| [first.clone(), decided("clicks", day, started)];
        assert_eq!(days(&at("2026-11-21", "2026-12-01T04:04")), ["2026-11-21"]);
        assert_eq!(days(&at("2026-11-24", "2026-12-01T04:04")), ["2026-11-24"]);
        // Decided in order, too many days after it, and before it.
        assert_eq!(days(&at("2026-11-21", "2026-12-01T04:05")), [""; 0]);
        assert_eq!(days(&at("2026-11-25", "2026-12-01T04:04")), [""; 0]);
        assert_eq!(days(&at("2026-11-19", "2026-12-01T03:54")), [""; 0]);
        let other = decided("impressions", "2026-11-21", "2026-12-01T04:04");
        assert_eq!(days(&[first.clone(), other]), [""; 0]);
        // An undecided day is not stale.
        let undecided = LedgerRow { started_at: None, ..decided("clicks", "2026-11-21", "2026-12-01T04:04") };
        assert_eq!(days(&[first, undecided]), [""; 0]);
    }

    #[test]
    fn a_day_is_selected_by_its_partition() {
        assert_eq!(condition(None), "");
        assert_eq!(condition("2026-03-07".parse().ok()), "WHERE year = '2026' AND month = '03' AND day = '07'");
    }
}
