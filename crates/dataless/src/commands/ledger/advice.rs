//! How to fix books that don't balance. Each advice names only the days that it helps.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};

use super::CheckedRow;
use crate::ui::counted;

/// What to do about the days that don't balance.
pub fn advice(checked_rows: &[CheckedRow], lookback_days: u64, today: NaiveDate) -> Vec<String> {
    let mut undelivered = BTreeMap::<NaiveDate, u64>::new();
    let mut lost = BTreeMap::<NaiveDate, u64>::new();
    let (mut batch, mut faults) = (BTreeSet::new(), Vec::new());
    for checked in checked_rows {
        let CheckedRow { row, raw_now, stale, .. } = checked;
        if row.undelivered > 0 {
            *undelivered.entry(row.day).or_default() += row.undelivered;
        }
        if *raw_now < row.raw {
            *lost.entry(row.day).or_default() += row.raw - raw_now;
        } else if *stale || *raw_now > row.raw || row.kept != row.stored {
            batch.insert(row.day);
        } else if !row.adds_up() {
            faults.push(format!("{} of {}", row.table, row.day));
        }
    }
    // A batch would remove the rows from the lake whose lines are no longer in raw.
    batch.retain(|day| !lost.contains_key(day));
    let mut advice: Vec<String> = undelivered.into_iter().map(|(day, lines)| restore(day, lines)).collect();
    advice.extend(lost.into_iter().map(|(day, lines)| leave(day, lines)));
    if batch.remove(&today) {
        advice.push(format!(
            "Today is not over: tonight's batch loads its lines into the lake. To load them now, run\n  \
             cargo dataless batch --day {today}"
        ));
    }
    advice.extend(run(&batch, lookback_days));
    if !faults.is_empty() {
        advice.push(format!(
            "The fates of {} don't add up to the raw lines. No run can fix that: report it with the rows above.",
            faults.join(", ")
        ));
    }
    advice
}

fn restore(day: NaiveDate, lines: u64) -> String {
    let lines = counted(lines, "acknowledged line");
    format!(
        "Firehose set aside {lines} of {day}. To restore what it has set aside, run\n  \
             cargo dataless replay --undelivered --day {day}"
    )
}

fn leave(day: NaiveDate, lines: u64) -> String {
    format!(
        "The ledger counted {} of {day} that raw no longer has. If an erasure was interrupted, run it again. If they have \
         expired, leave the day as it is: its events are in the lake, and a batch of the day would remove them.",
        counted(lines, "line")
    )
}

/// The batches for the days. Nearby days need only one, because a batch also runs the days whose look-back includes its
/// own.
fn run(days: &BTreeSet<NaiveDate>, lookback_days: u64) -> Option<String> {
    let mut ranges: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for &day in days {
        match ranges.last_mut() {
            Some((_, last)) if day <= *last + Days::new(lookback_days + 1) => *last = day,
            _ => ranges.push((day, day)),
        }
    }
    let command = |(first, last): &(NaiveDate, NaiveDate)| {
        let to = if first == last { String::new() } else { format!(" --to {last}") };
        format!("  cargo dataless batch --day {first}{to}")
    };
    let commands: Vec<String> = ranges.iter().map(command).collect();
    (!commands.is_empty()).then(|| {
        format!(
            "The books do not balance: lines have arrived since the last run, or an earlier day has run again. Run\n{}\nand \
             check again. What does not balance then is a bug.",
            commands.join("\n")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::check_rows;
    use super::super::tests::row;
    use super::*;
    use crate::local::lake::LedgerRow;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// The advice on ledger rows, each with the current number of raw lines.
    fn of(rows: Vec<(LedgerRow, u64)>) -> Vec<String> {
        let raw = rows.iter().map(|(row, raw)| (row.table_day(), *raw)).collect();
        advice(&check_rows(rows.into_iter().map(|(row, _)| row).collect(), &raw, 3), 3, day("2026-11-30"))
    }

    #[test]
    fn balanced_books_need_no_advice() {
        assert_eq!(of(vec![(row("2026-11-20", 3), 3), (row("2026-11-21", 0), 0)]), [""; 0]);
    }

    #[test]
    fn lines_that_were_set_aside_are_restored_and_need_no_batch() {
        let aside = |table: &str, undelivered| LedgerRow { table: table.into(), undelivered, ..row("2026-11-20", 3) };
        assert_eq!(
            of(vec![(aside("clicks", 2), 3), (aside("impressions", 5), 3), (row("2026-11-21", 3), 3)]),
            ["Firehose set aside 7 acknowledged lines of 2026-11-20. To restore what it has set aside, run\n  \
              cargo dataless replay --undelivered --day 2026-11-20"]
        );
        assert!(of(vec![(aside("clicks", 1), 3)])[0].contains("set aside 1 acknowledged line of 2026-11-20."));
        // Two reasons: more lines have also arrived since.
        let both = of(vec![(aside("clicks", 1), 4)]);
        assert!(both.len() == 2 && both[1].contains("batch --day 2026-11-20\n"), "{both:?}");
    }

    #[test]
    fn only_days_that_a_batch_fixes_are_named() {
        let lost_row = |day| LedgerRow { stored: 2, ..row(day, 3) };
        let aside = |day| LedgerRow { undelivered: 2, ..row(day, 3) };
        // More lines, none yet, and a lost row. The batch of the first day covers the days between.
        let open = of(vec![
            (aside("2026-11-09"), 3),
            (row("2026-11-10", 3), 4),
            (row("2026-11-11", 3), 3),
            (lost_row("2026-11-14"), 3),
            (row("2026-11-19", 0), 5),
            (row("2026-11-20", 3), 3),
        ]);
        assert_eq!(open.len(), 2);
        assert!(
            open[1].contains(
                "Run\n  cargo dataless batch --day 2026-11-10 --to 2026-11-14\n  cargo dataless batch --day 2026-11-19\nand"
            ),
            "{open:?}"
        );
    }

    #[test]
    fn a_stale_day_runs_again() {
        let at = |minute: i64| chrono::DateTime::from_timestamp(60 * minute, 0);
        let decided =
            |day, started, decided| LedgerRow { started_at: at(started), decided_at: at(decided), ..row(day, 3) };
        let rows = [decided("2026-11-20", 10, 15), decided("2026-11-21", 0, 5), decided("2026-11-22", 15, 20)];
        let open = of(rows.map(|row| (row, 3)).into());
        assert!(open.len() == 1 && open[0].contains("batch --day 2026-11-21\n"), "{open:?}");
    }

    #[test]
    fn a_day_whose_raw_lines_are_gone_is_not_run() {
        let open =
            of(vec![(row("2026-11-20", 3), 0), (LedgerRow { table: "orders".into(), ..row("2026-11-20", 3) }, 4)]);
        assert_eq!(open.len(), 1);
        assert!(open[0].starts_with("The ledger counted 3 lines of 2026-11-20 that raw no longer has."), "{open:?}");
        assert!(!open[0].contains("cargo dataless batch"), "{open:?}");
    }

    #[test]
    fn today_needs_no_batch_before_the_night() {
        let open = of(vec![(row("2026-11-30", 0), 5)]);
        assert!(open.len() == 1 && open[0].starts_with("Today is not over"), "{open:?}");
        assert!(open[0].ends_with("cargo dataless batch --day 2026-11-30"), "{open:?}");
    }

    #[test]
    fn fates_that_do_not_add_up_are_a_bug_that_no_run_fixes() {
        let open = of(vec![(LedgerRow { late: 1, ..row("2026-11-20", 3) }, 3)]);
        assert!(
            open.len() == 1 && open[0].contains("clicks of 2026-11-20") && open[0].contains("report it"),
            "{open:?}"
        );
    }
}
