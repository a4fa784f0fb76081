//! `ledger` and `rejected`: what became of every raw line.

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

/// A ledger row held against the raw lines that lie in S3 now.
#[derive(Debug, Serialize)]
struct Account {
    #[serde(flatten)]
    row: LedgerRow,
    /// Raw lines counted now, without the job that wrote the ledger.
    raw_now: u64,
    /// A day that this one looks into was decided later: it must run again.
    stale: bool,
    balanced: bool,
}

pub fn ledger(workspace: &Workspace, options: &Ledger) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let (rows, _) = step("read the ledger", || lake::ledger(&spark, &warehouse.stack), |_| String::new())?;
    let raw = books::count_raw_by_day(&spark.data()?, &warehouse.event_tables()?)?;
    let lookback_days = warehouse.lookback_days()?;
    let mut accounts = accounts(rows, &raw, lookback_days);
    if let Some(day) = options.day {
        accounts.retain(|account| account.row.day == day);
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&accounts)?);
    } else {
        print(&accounts, options.day, lookback_days);
    }
    Ok(accounts.iter().all(|account| account.balanced).into())
}

/// Every table and day that either side knows.
fn accounts(rows: Vec<LedgerRow>, raw: &BTreeMap<TableDay, u64>, lookback_days: u64) -> Vec<Account> {
    let stale = lake::stale(&rows, lookback_days);
    let mut by_day: BTreeMap<TableDay, LedgerRow> = rows.into_iter().map(|row| (row.place(), row)).collect();
    for place in raw.keys() {
        by_day.entry(place.clone()).or_insert_with(|| LedgerRow {
            table: place.table.clone(),
            day: place.day,
            ..Default::default()
        });
    }
    let account = |(place, row): (TableDay, LedgerRow)| {
        let raw_now = raw.get(&place).copied().unwrap_or_default();
        let stale = stale.contains(&place);
        Account { balanced: row.balances() && !stale && row.raw == raw_now, raw_now, stale, row }
    };
    by_day.into_iter().map(account).collect()
}

fn print(accounts: &[Account], day: Option<NaiveDate>, lookback_days: u64) {
    if accounts.is_empty() {
        note(&day.map_or_else(|| "there are no raw lines yet".to_owned(), |day| format!("no line arrived on {day}")));
        return;
    }
    let width = accounts.iter().map(|account| account.row.table.len()).max().unwrap_or_default().max(11);
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
    for Account { row, raw_now, stale, balanced } in accounts {
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
    for text in advice::advice(accounts, lookback_days, Utc::now().date_naive()) {
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
        let left_out = if options.open { ", which --open leaves out" } else { "" };
        note(&format!("{} replayed{left_out}", counted(replayed, "line")));
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of clicks whose books are closed.
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
    fn lines_that_the_ledger_does_not_know_are_an_account_of_their_own() {
        let place = |day: &str| TableDay { day: day.parse().unwrap(), table: "clicks".into() };
        let raw = BTreeMap::from([(place("2026-11-20"), 3), (place("2026-11-21"), 4), (place("2026-11-22"), 5)]);
        let accounts = accounts(vec![row("2026-11-20", 3), row("2026-11-21", 3)], &raw, 3);
        let told: Vec<_> =
            accounts.iter().map(|account| (account.row.raw, account.raw_now, account.balanced)).collect();
        assert_eq!(told, [(3, 3, true), (3, 4, false), (0, 5, false)]);
    }
}
