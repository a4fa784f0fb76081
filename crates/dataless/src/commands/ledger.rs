//! `ledger` and `rejected`: the fate of every raw line.

mod advice;

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{NaiveDate, Utc};
use console::style;
use serde::Serialize;

use crate::cli::{Ledger, Rejected};
use crate::local::books::{self, TableDay};
use crate::local::lake::{self, LedgerRow};
use crate::local::replayed::Replayed;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::ui::{counted, note, step, thousands};
use crate::workspace::Workspace;

/// A ledger row compared with the raw lines that are in S3 now.
#[derive(Debug, Serialize)]
struct CheckedRow {
    #[serde(flatten)]
    row: LedgerRow,
    /// Raw lines that are there now, counted independently of the ledger's job.
    raw_now: u64,
    /// An earlier day within its look-back was decided later, so it must run again.
    stale: bool,
    balanced: bool,
}

pub fn ledger(workspace: &Workspace, options: &Ledger) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let (rows, _) = step("read the ledger", || lake::ledger(&spark, &warehouse.stack), |_| String::new())?;
    let raw = books::count_raw_by_day(&spark.data()?, &warehouse.event_tables()?)?;
    let lookback_days = warehouse.lookback_days()?;
    let mut checked_rows = check_rows(rows, &raw, lookback_days);
    if let Some(day) = options.day {
        checked_rows.retain(|checked| checked.row.day == day);
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&checked_rows)?);
    } else {
        print(&checked_rows, options.day, lookback_days);
    }
    Ok(checked_rows.iter().all(|checked| checked.balanced).into())
}

/// Compares all tables and days of both sides.
fn check_rows(rows: Vec<LedgerRow>, raw: &BTreeMap<TableDay, u64>, lookback_days: u64) -> Vec<CheckedRow> {
    let stale = lake::stale(&rows, lookback_days);
    let mut by_day: BTreeMap<TableDay, LedgerRow> = rows.into_iter().map(|row| (row.table_day(), row)).collect();
    for key in raw.keys() {
        by_day.entry(key.clone()).or_insert_with(|| LedgerRow {
            table: key.table.clone(),
            day: key.day,
            ..Default::default()
        });
    }
    let check = |(key, row): (TableDay, LedgerRow)| {
        let raw_now = raw.get(&key).copied().unwrap_or_default();
        let stale = stale.contains(&key);
        CheckedRow { balanced: row.balances() && !stale && row.raw == raw_now, raw_now, stale, row }
    };
    by_day.into_iter().map(check).collect()
}

fn print(checked_rows: &[CheckedRow], day: Option<NaiveDate>, lookback_days: u64) {
    if checked_rows.is_empty() {
        note(&day.map_or_else(|| "there are no raw lines yet".to_owned(), |day| format!("no line arrived on {day}")));
        return;
    }
    let width = checked_rows.iter().map(|checked| checked.row.table.len()).max().unwrap_or_default().max(11);
    outln!(
        "  {:<10}  {:<width$}{:>12}{:>12}{:>10}{:>10}{:>8}{:>12}{:>13}{:>12}",
        "arrived",
        "table",
        "raw",
        "kept",
        "repeats",
        "rejected",
        "late",
        "in lake",
        "undelivered",
        "raw now"
    );
    for CheckedRow { row, raw_now, stale, balanced } in checked_rows {
        let mark = if *balanced { style("✓").green() } else { style("✗").red() };
        outln!(
            "{mark} {:<10}  {:<width$}{:>12}{:>12}{:>10}{:>10}{:>8}{:>12}{:>13}{:>12}{}",
            row.day.to_string(),
            row.table,
            thousands(row.raw),
            thousands(row.kept),
            thousands(row.repeats),
            thousands(row.rejected),
            thousands(row.late),
            thousands(row.stored),
            thousands(row.undelivered),
            thousands(*raw_now),
            if *stale { "  stale" } else { "" }
        );
    }
    for text in advice::advice(checked_rows, lookback_days, Utc::now().date_naive()) {
        note(&format!("\n{text}"));
    }
}

pub fn rejected(workspace: &Workspace, options: &Rejected) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let read = || lake::rejected(&spark, &warehouse.stack, options.day);
    let (mut lines, _) = step("read the rejected lines", read, |lines| counted(lines.len() as u64, "line"))?;
    Replayed::read(&warehouse.instance)?.mark(&mut lines);
    let replayed = lines.iter().filter(|line| line.replayed).count() as u64;
    if options.open {
        lines.retain(|line| !line.replayed);
    }
    for line in &lines {
        if options.json {
            outln!("{}", serde_json::to_string(line)?);
        } else {
            let state = if line.replayed { "  (replayed)" } else { "" };
            outln!("{}  {}{state}\n    {}", style(&line.reason).bold(), line.source, line.line);
        }
    }
    if replayed > 0 {
        let left_out = if options.open { " (hidden by --open)" } else { "" };
        note(&format!("{} replayed{left_out}", counted(replayed, "line")));
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A balanced ledger row of clicks.
    pub fn row(day: &str, raw: u64) -> LedgerRow {
        LedgerRow {
            table: "clicks".into(),
            day: day.parse().unwrap(),
            raw,
            kept: raw,
            stored: raw,
            ..Default::default()
        }
    }

    #[test]
    fn lines_without_a_ledger_row_do_not_balance() {
        let key = |day: &str| TableDay { day: day.parse().unwrap(), table: "clicks".into() };
        let raw = BTreeMap::from([(key("2026-11-20"), 3), (key("2026-11-21"), 4), (key("2026-11-22"), 5)]);
        let checked_rows = check_rows(vec![row("2026-11-20", 3), row("2026-11-21", 3)], &raw, 3);
        let found: Vec<_> =
            checked_rows.iter().map(|checked| (checked.row.raw, checked.raw_now, checked.balanced)).collect();
        assert_eq!(found, [(3, 3, true), (3, 4, false), (0, 5, false)]);
    }
}
