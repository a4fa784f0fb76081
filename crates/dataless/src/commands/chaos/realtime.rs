//! Compares real-time counts with what arrived, minute by minute.
//!
//! They are not exact: `docs/real-time.md` says when counts may be missing or double. So a difference is an error unless it
//! is at the time of a fault.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::local::realtime::Minutes;

/// A time in which real-time counts may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub why: String,
}

/// A minute in which the counts differ.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub minute: DateTime<Utc>,
    pub counted: u64,
    pub arrived: u64,
    /// The faults of that time. Empty if none explains it.
    pub explained_by: Vec<String>,
}

/// The real-time counts of an event type.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct RealTime {
    pub counted: u64,
    pub arrived: u64,
    pub differences: Vec<Difference>,
}

impl RealTime {
    pub fn is_explained(&self) -> bool {
        self.differences.iter().all(|difference| !difference.explained_by.is_empty())
    }
}

/// Compares minute by minute. A batch at the end of a minute may count for the next one, so differences of adjacent minutes
/// that cancel out are ignored.
pub fn compare(counted: &Minutes, arrived: &Minutes, windows: &[Window]) -> RealTime {
    let at = |minutes: &Minutes, minute: DateTime<Utc>| minutes.get(&minute).copied().unwrap_or_default();
    let minutes: BTreeSet<DateTime<Utc>> = counted.keys().chain(arrived.keys()).copied().collect();
    let mut runs: Vec<Vec<Difference>> = Vec::new();
    for minute in minutes {
        let (counted, arrived) = (at(counted, minute), at(arrived, minute));
        if counted == arrived {
            continue;
        }
        let difference = Difference { minute, counted, arrived, explained_by: explanations(minute, windows) };
        let is_next = |last: &Difference| minute - last.minute == TimeDelta::minutes(1);
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(is_next) => run.push(difference),
            _ => runs.push(vec![difference]),
        }
    }
    let sum = |run: &[Difference], of: fn(&Difference) -> u64| run.iter().map(of).sum::<u64>();
    runs.retain(|run| sum(run, |minute| minute.counted) != sum(run, |minute| minute.arrived));
    RealTime {
        counted: counted.values().sum(),
        arrived: arrived.values().sum(),
        differences: runs.into_iter().flatten().collect(),
    }
}

/// The windows that overlap a minute or are adjacent to it.
fn explanations(minute: DateTime<Utc>, windows: &[Window]) -> Vec<String> {
    let touches =
        |window: &&Window| window.from < minute + TimeDelta::minutes(2) && window.to >= minute - TimeDelta::minutes(1);
    let found: BTreeSet<&String> = windows.iter().filter(touches).map(|window| &window.why).collect();
    found.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-20T{text}Z").parse().unwrap()
    }

    fn minutes(counts: &[(&str, u64)]) -> Minutes {
        counts.iter().map(|(minute, count)| (at(&format!("{minute}:00")), *count)).collect()
    }

    fn window(from: &str, to: &str) -> Window {
        Window { from: at(from), to: at(to), why: "throttle".into() }
    }

    #[test]
    fn equal_counts_have_no_differences() {
        let both = minutes(&[("10:00", 5), ("10:01", 7)]);
        assert_eq!(compare(&both, &both, &[]), RealTime { counted: 12, arrived: 12, differences: Vec::new() });
    }

    #[test]
    fn a_batch_at_the_end_of_a_minute_may_count_for_the_next() {
        let result = compare(&minutes(&[("10:00", 4), ("10:01", 8)]), &minutes(&[("10:00", 5), ("10:01", 7)]), &[]);
        assert_eq!(result.differences, []);
        // Differences of other minutes don't cancel out.
        let result = compare(&minutes(&[("10:00", 4), ("10:02", 8)]), &minutes(&[("10:00", 5), ("10:02", 7)]), &[]);
        assert_eq!(result.differences.len(), 2);
        assert!(!result.is_explained());
    }

    #[test]
    fn a_difference_is_explained_by_a_fault_at_its_time() {
        let (counted, arrived) = (minutes(&[("10:05", 4)]), minutes(&[("10:05", 5)]));
        let explained = |windows: &[Window]| compare(&counted, &arrived, windows).is_explained();
        assert!(explained(&[window("10:05:10", "10:05:20")]));
        assert!(explained(&[window("10:06:59", "10:07:20")]) && explained(&[window("09:00:00", "10:04:00")]));
        assert!(!explained(&[window("10:07:00", "10:08:00")]) && !explained(&[window("09:00:00", "10:03:59")]));
        assert!(!explained(&[]));
        let difference = &compare(&counted, &arrived, &[window("10:05:10", "10:05:20")]).differences[0];
        assert_eq!(
            (difference.counted, difference.arrived, &difference.explained_by[..]),
            (4, 5, &["throttle".to_owned()][..])
        );
    }
}
