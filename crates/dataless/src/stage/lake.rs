//! Rows of the lake's tables, asked for in SQL.

use anyhow::{Context, Result};
use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::stage::deploy::Stack;
use crate::stage::spark::Spark;

/// The books of a table and arrival day, in lines. `docs/lake.md` defines the words.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct LedgerRow {
    pub table: String,
    pub day: NaiveDate,
    pub raw: u64,
    pub kept: u64,
    pub repeats: u64,
    pub rejected: u64,
    pub late: u64,
    pub stored: u64,
    pub pending: u64,
    /// Acknowledged lines that Firehose set aside: they are not in raw.
    pub undelivered: u64,
}

impl LedgerRow {
    /// Whether every line is in raw and has one fate there, and every kept line is a row of the lake.
    pub const fn balances(&self) -> bool {
        self.adds_up() && self.undelivered == 0
    }

    /// The same for the lines that are in raw, whatever Firehose set aside.
    pub const fn adds_up(&self) -> bool {
        self.raw == self.kept + self.repeats + self.rejected + self.late && self.kept == self.stored + self.pending
    }
}

/// A raw line that is no event.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RejectedLine {
    pub table: String,
    /// Why it is none. A line that was mended by hand may leave it out.
    #[serde(default)]
    pub reason: String,
    /// The raw object that holds it, below the data prefix.
    pub source: String,
    pub line: String,
}

/// The ledger, by day and table; of one day, if given.
pub fn ledger(spark: &Spark<'_>, stack: &Stack, day: Option<NaiveDate>) -> Result<Vec<LedgerRow>> {
    let columns = "table_name AS table, concat_ws('-', year, month, day) AS day, raw, kept, repeats, rejected, late, \
                   stored, pending, coalesce(undelivered, 0) AS undelivered";
    ask(spark, stack, &format!("SELECT {columns} FROM ledger {} ORDER BY 2, 1", condition(day)))
}

/// The rejected lines; of one arrival day, if given.
pub fn rejected(spark: &Spark<'_>, stack: &Stack, day: Option<NaiveDate>) -> Result<Vec<RejectedLine>> {
    let columns = "table_name AS table, reason, source, line";
    ask(spark, stack, &format!("SELECT {columns} FROM rejected {} ORDER BY source, line", condition(day)))
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

fn ask<T: DeserializeOwned>(spark: &Spark<'_>, stack: &Stack, sql: &str) -> Result<Vec<T>> {
    let database = stack.output("GlueDatabase")?;
    let args = ["--database", database, "--format", "json", "--sql", sql];
    let printed = spark.script("glue/local/query.py", &args)?;
    let rows = printed.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>().context("the rows of the lake are not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_when_both_sums_do() {
        let row = LedgerRow {
            table: "clicks".into(),
            day: "2026-11-20".parse().unwrap(),
            raw: 10,
            kept: 5,
            repeats: 2,
            rejected: 2,
            late: 1,
            stored: 4,
            pending: 1,
            undelivered: 0,
        };
        assert!(row.balances());
        assert!(!LedgerRow { raw: 11, ..row.clone() }.balances());
        assert!(!LedgerRow { stored: 3, ..row.clone() }.balances());
        assert!(!LedgerRow { undelivered: 1, ..row }.balances());
    }

    #[test]
    fn a_day_is_asked_for_by_its_partition() {
        assert_eq!(condition(None), "");
        assert_eq!(condition("2026-03-07".parse().ok()), "WHERE year = '2026' AND month = '03' AND day = '07'");
    }
}
