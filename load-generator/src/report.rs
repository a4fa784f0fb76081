//! The report of a run, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use chrono::NaiveDate;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::account::{Account, Count, Summary, TableAccount};
use crate::answer::Code;
use crate::deliver::Stopped;
use crate::event::Table;
use crate::plan::{Plan, Schedule};
use crate::types::ByType;

/// What `--json` prints; the README describes it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Every well-formed event was acknowledged and every malformed one refused, to the end of the traffic.
    pub complete: bool,
    /// Why the run ended early, if it did.
    pub stopped: Option<Stopped>,
    /// Where events were sent.
    pub base_url: String,
    /// The seed of the random numbers: the same seed, day and configuration give the same events.
    pub seed: u64,
    /// The day of the events; null in a live run.
    pub day: Option<NaiveDate>,
    /// How long it took.
    pub seconds: f64,
    /// Events settled per second.
    pub events_per_second: f64,
    /// Clicks per impression of well-formed events sent for the first time, to four decimals.
    pub clickthrough_rate: Option<f64>,
    /// The events of each type.
    pub events: ByType<TableReport>,
    /// The requests of all types.
    pub requests: RequestsReport,
}

/// The events of a table.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// The counts by result.
    #[serde(flatten)]
    pub count: Count,
    /// Of each batch: from the intended time of sending until the last event was settled, retries included.
    pub latency_ms: Summary,
}

/// The requests and their bytes.
#[derive(Debug, Clone, Serialize)]
pub struct RequestsReport {
    /// All of them.
    pub count: u64,
    /// Those that sent events again.
    pub retries: u64,
    /// Why requests were retried or given up.
    pub causes: BTreeMap<Code, u64>,
    /// Requests per second.
    pub per_second: f64,
    /// The first error of a connection that could not be made.
    pub connection_error: Option<String>,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answers' bodies.
    pub bytes_received: u64,
    /// From sending a request to its answer.
    pub service_ms: Summary,
}

impl Report {
    /// The report of a run that took this long.
    pub fn new(plan: &Plan, base_url: String, mut account: Account, stopped: Option<Stopped>, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let per_second = |count: u64| (count as f64 / seconds.max(1e-9)).round();
        let first_time = |count: &Count| count.sent - count.repeats - count.malformed;
        let viewed = first_time(account.count(Table::Impressions));
        let clicked = first_time(account.count(Table::Clicks));
        let table =
            |TableAccount { count, latency }: TableAccount| TableReport { count, latency_ms: latency.summary() };
        account.tables.resize_with(plan.types.count(), TableAccount::default);
        let events = plan.types.named(account.tables.into_iter().map(table));
        Self {
            complete: stopped.is_none() && events.0.iter().all(|(_, table)| table.count.is_complete()),
            stopped,
            base_url,
            seed: plan.seed(),
            day: match plan.schedule() {
                Schedule::Day { day, .. } => Some(day),
                Schedule::Live { .. } => None,
            },
            seconds: (seconds * 1_000.0).round() / 1_000.0,
            events_per_second: per_second(events.0.iter().map(|(_, table)| table.count.sent).sum()),
            clickthrough_rate: (viewed > 0).then(|| (clicked as f64 / viewed as f64 * 10_000.0).round() / 10_000.0),
            events,
            requests: RequestsReport {
                count: account.requests,
                retries: account.retries,
                causes: account.causes,
                per_second: per_second(account.requests),
                connection_error: None,
                bytes_sent: account.bytes_sent,
                bytes_received: account.bytes_received,
                service_ms: account.service.summary(),
            },
        }
    }
}

fn milliseconds(f: &mut Formatter<'_>, label: &str, width: usize, times: &Summary) -> Result {
    if times.count == 0 {
        return Ok(());
    }
    let Summary { p50, p90, p99, p99_9, max, .. } = times;
    writeln!(f, "  {label:<width$}{p50:>9.1}{p90:>9.1}{p99:>9.1}{p99_9:>9.1}{max:>9.1}")
}

impl Report {
    /// The number of events of each type, by result.
    fn write_counts(&self, f: &mut Formatter<'_>, first: usize) -> Result {
        write!(f, "  {:<first$}", "")?;
        let width = |name: &str| name.len().max(12) + 2;
        for (name, _) in &self.events.0 {
            write!(f, "{name:>0$}", width(name))?;
        }
        writeln!(f)?;
        let row = |f: &mut Formatter<'_>, label: &str, value: fn(&Count) -> u64, always: bool| {
            if !always && self.events.0.iter().all(|(_, table)| value(&table.count) == 0) {
                return Ok(());
            }
            write!(f, "  {label:<first$}")?;
            for (name, table) in &self.events.0 {
                write!(f, "{:>1$}", HumanCount(value(&table.count)).to_string(), width(name))?;
            }
            writeln!(f)
        };
        row(f, "sent", |count| count.sent, true)?;
        row(f, "  repeats", |count| count.repeats, false)?;
        row(f, "  late", |count| count.late, false)?;
        row(f, "  by bots", |count| count.bots, false)?;
        row(f, "  malformed", |count| count.malformed, false)?;
        row(f, "acknowledged", |count| count.acknowledged, true)?;
        row(f, "refused", |count| count.refused.values().sum(), false)?;
        row(f, "  rightly", |count| count.malformed_refused, false)?;
        row(f, "unknown", |count| count.unknown, false)?;
        row(f, "tried once more", |count| count.retried, false)
    }

    fn write_times(&self, f: &mut Formatter<'_>, first: usize) -> Result {
        writeln!(f, "  {:<first$}{:>9}{:>9}{:>9}{:>9}{:>9}", "milliseconds", "50 %", "90 %", "99 %", "99.9 %", "most")?;
        for (name, table) in &self.events.0 {
            milliseconds(f, name, first, &table.latency_ms)?;
        }
        milliseconds(f, "a request", first, &self.requests.service_ms)
    }

    fn write_failures(&self, f: &mut Formatter<'_>) -> Result {
        for (name, table) in &self.events.0 {
            for (code, count) in &table.count.refused {
                writeln!(f, "  {} {name} refused: {code}", HumanCount(*count))?;
            }
        }
        for (code, count) in &self.requests.causes {
            writeln!(f, "  {} requests in vain: {code}", HumanCount(*count))?;
        }
        if let Some(error) = &self.requests.connection_error {
            writeln!(f, "  ConnectFailed: {error}")?;
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let when = self.day.map_or_else(|| "live".to_owned(), |day| format!("of {day}"));
        writeln!(f, "Events {when} to {}, seed {}", self.base_url, self.seed)?;
        let first = self.events.width(20);
        self.write_counts(f, first)?;
        if let Some(rate) = self.clickthrough_rate {
            writeln!(f, "  {:<first$}{:>12.2} %", "clickthrough rate", rate * 100.0)?;
        }
        self.write_times(f, first)?;
        self.write_failures(f)?;
        writeln!(
            f,
            "{} requests ({} of them retries) and {} in {:.1} s: {} events a second",
            HumanCount(self.requests.count),
            HumanCount(self.requests.retries),
            HumanBytes(self.requests.bytes_sent),
            self.seconds,
            HumanCount(self.events_per_second as u64)
        )?;
        let end = match self.stopped {
            Some(Stopped::Interrupted) => "Interrupted: what was under way was finished, the rest was not sent.",
            Some(Stopped::Unreachable) => "Given up: no connection could be made.",
            Some(Stopped::Refused) => "Given up: the server refused whole batches.",
            None if self.complete => "Complete: every event was acknowledged.",
            None => "Not complete: not every event was acknowledged.",
        };
        write!(f, "{end}")
    }
}
