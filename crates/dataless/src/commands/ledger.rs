//! `ledger` and `rejected`: what became of every raw line.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::NaiveDate;
use console::style;
use serde::Serialize;

use super::{Outcome, Warehouse};
use crate::cli::{Ledger, Rejected};
use crate::stage::books::{self, TableDay};
use crate::stage::lake::{self, LedgerRow};
use crate::ui::{self, note, step, thousands};
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
    let mut accounts = accounts(rows, &raw, warehouse.lookback_days()?);
    if let Some(day) = options.day {
        accounts.retain(|account| account.row.day == day);
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&accounts)?);
    } else {
        print(&accounts, options.day);
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

fn print(accounts: &[Account], day: Option<NaiveDate>) {
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
    for note in undelivered(accounts).into_iter().chain(unbalanced(accounts)) {
        ui::note(&note);
    }
}

/// What to do about books that are open for another reason than lines that were set aside.
fn unbalanced(accounts: &[Account]) -> Option<String> {
    let is_off = |account: &&Account| !account.row.adds_up() || account.stale || account.row.raw != account.raw_now;
    let days = accounts.iter().filter(is_off).map(|account| account.row.day);
    let (first, last) = (days.clone().min()?, days.max()?);
    Some(format!(
        "\nThe books do not balance. Lines may have come since the last run, or an earlier day has run again since: run\n  \
         cargo dataless batch --day {first} --to {last}\nand look again. What is off then is a fault."
    ))
}

/// What to do about lines that Firehose set aside, by day.
fn undelivered(accounts: &[Account]) -> Vec<String> {
    let mut lines: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    for Account { row, .. } in accounts {
        *lines.entry(row.day).or_default() += row.undelivered;
    }
    let advice = |(day, lines): (NaiveDate, u64)| {
        let lines = thousands(lines);
        format!(
            "\n{lines} acknowledged lines were set aside. Take them back with\n  cargo dataless replay --undelivered --day {day}"
        )
    };
    lines.into_iter().filter(|(_, lines)| *lines > 0).map(advice).collect()
}

pub fn rejected(workspace: &Workspace, options: &Rejected) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let read = || lake::rejected(&spark, &warehouse.stack, options.day);
    let (lines, _) = step("read the rejected lines", read, |lines| format!("{} lines", thousands(lines.len() as u64)))?;
    for line in &lines {
        if options.json {
            outln!("{}", serde_json::to_string(line)?);
        } else {
            outln!("{}  {}\n    {}", style(&line.reason).bold(), line.source, line.line);
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: &str, raw: u64) -> LedgerRow {
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

    #[test]
    fn a_day_whose_lines_were_set_aside_is_open_and_says_how_to_take_them_back() {
        let set_aside = |day, table: &str, undelivered| LedgerRow { table: table.into(), undelivered, ..row(day, 3) };
        let rows =
            [set_aside("2026-11-20", "clicks", 2), set_aside("2026-11-20", "impressions", 5), row("2026-11-21", 3)];
        let raw = rows.iter().map(|row| (row.place(), row.raw)).collect();
        let accounts = accounts(rows.into(), &raw, 3);
        assert_eq!(accounts.iter().map(|account| account.balanced).collect::<Vec<_>>(), [false, false, true]);
        let advice = undelivered(&accounts);
        assert_eq!(advice.len(), 1);
        assert!(advice[0].contains("7 acknowledged lines"), "{advice:?}");
        assert!(advice[0].ends_with("cargo dataless replay --undelivered --day 2026-11-20"), "{advice:?}");
    }
    #[test]
    fn another_batch_is_no_help_for_lines_that_were_set_aside() {
        let accounts_of = |rows: Vec<LedgerRow>, extra: u64| {
            let raw = rows.iter().map(|row| (row.place(), row.raw + extra)).collect();
            accounts(rows, &raw, 3)
        };
        let set_aside = |day| LedgerRow { undelivered: 2, ..row(day, 3) };
        assert_eq!(unbalanced(&accounts_of(vec![set_aside("2026-11-20"), row("2026-11-21", 3)], 0)), None);
        // Open for both reasons: lines came since.
        let advice = unbalanced(&accounts_of(vec![set_aside("2026-11-20")], 1)).unwrap();
        assert!(advice.contains("cargo dataless batch --day 2026-11-20 --to 2026-11-20"), "{advice}");
        // Only the days that a batch would balance are named.
        let lost = |day| LedgerRow { stored: 2, ..row(day, 3) };
        let rows = vec![set_aside("2026-11-19"), lost("2026-11-20"), lost("2026-11-22"), set_aside("2026-11-23")];
        let advice = unbalanced(&accounts_of(rows, 0)).unwrap();
        assert!(advice.contains("cargo dataless batch --day 2026-11-20 --to 2026-11-22"), "{advice}");
    }

    #[test]
    fn a_stale_day_is_open_and_runs_again() {
        let at = |minute: i64| chrono::DateTime::from_timestamp(60 * minute, 0);
        let decided =
            |day, started, decided| LedgerRow { started_at: at(started), decided_at: at(decided), ..row(day, 3) };
        let rows = vec![decided("2026-11-20", 10, 15), decided("2026-11-21", 0, 5), decided("2026-11-22", 15, 20)];
        let raw = rows.iter().map(|row| (row.place(), row.raw)).collect();
        let accounts = accounts(rows, &raw, 3);
        let open: Vec<_> = accounts.iter().map(|account| (account.stale, account.balanced)).collect();
        assert_eq!(open, [(false, true), (true, false), (false, true)]);
        let advice = unbalanced(&accounts).unwrap();
        assert!(advice.contains("cargo dataless batch --day 2026-11-21 --to 2026-11-21"), "{advice}");
    }
}
