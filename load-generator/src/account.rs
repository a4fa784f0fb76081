//! Counts of sent events and of their results.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::answer::Code;
use crate::event::{Event, Kind, Table};

/// The final result of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The server has it.
    Acknowledged,
    /// The server does not have it, for this reason.
    Refused(Code),
    /// The server may have it: the result of an attempt is not known.
    Unknown(Code),
}

/// The events of a table. `sent` = `acknowledged` + all `refused` + `unknown`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Events that were sent, each counted once, however many attempts it took.
    pub sent: u64,
    /// Those that the server has.
    pub acknowledged: u64,
    /// Those that the server does not have, by reason.
    pub refused: BTreeMap<Code, u64>,
    /// Those that the server may have.
    pub unknown: u64,
    /// Of those sent: events that had been sent before.
    pub repeats: u64,
    /// Of those sent: events that occurred long before.
    pub late: u64,
    /// Of those sent: events made by bots.
    pub bots: u64,
    /// Of those sent: events that were malformed on purpose, which the server must refuse.
    pub malformed: u64,
    /// Of the malformed events: those that the server refused.
    pub malformed_refused: u64,
    /// How often an event was retried.
    pub retried: u64,
}

impl Count {
    /// Counts an event that is being sent.
    pub fn sent(&mut self, event: &Event) {
        self.sent += 1;
        self.late += u64::from(event.late);
        self.bots += u64::from(event.bot);
        match event.kind {
            Kind::Fresh => {}
            Kind::Repeat => self.repeats += 1,
            Kind::Malformed(_) => self.malformed += 1,
        }
    }

    /// Counts the result of an event that was [sent](Self::sent).
    pub fn settled(&mut self, event: &Event, fate: &Fate) {
        match fate {
            Fate::Acknowledged => self.acknowledged += 1,
            Fate::Unknown(_) => self.unknown += 1,
            Fate::Refused(code) => {
                if matches!(event.kind, Kind::Malformed(_)) {
                    self.malformed_refused += 1;
                }
                match self.refused.get_mut(code) {
                    Some(count) => *count += 1,
                    None => {
                        self.refused.insert(code.clone(), 1);
                    }
                }
            }
        }
    }

    /// Whether every well-formed event was acknowledged, and every malformed one refused.
    pub fn is_complete(&self) -> bool {
        self.malformed == self.malformed_refused && self.acknowledged + self.malformed == self.sent
    }

    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.repeats += other.repeats;
        self.late += other.late;
        self.bots += other.bots;
        self.malformed += other.malformed;
        self.malformed_refused += other.malformed_refused;
        self.retried += other.retried;
        add_all(&mut self.refused, &other.refused);
    }
}

fn add_all(to: &mut BTreeMap<Code, u64>, from: &BTreeMap<Code, u64>) {
    for (code, count) in from {
        *to.entry(code.clone()).or_default() += count;
    }
}

/// The account of a table.
#[derive(Debug, Clone, Default)]
pub struct TableAccount {
    /// Its events.
    pub count: Count,
    /// Of its batches: from the intended time of sending until the last event was settled.
    pub latency: Times,
}

/// The account of a connection, or of all.
#[derive(Debug, Clone)]
pub struct Account {
    /// Of each table, by its number.
    pub tables: Vec<TableAccount>,
    /// Requests, repeated ones included.
    pub requests: u64,
    /// Requests that repeated events.
    pub retries: u64,
    /// Why requests were retried or given up.
    pub causes: BTreeMap<Code, u64>,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answers' bodies.
    pub bytes_received: u64,
    /// Of each request: from when it was sent until it was answered.
    pub service: Times,
}

impl Account {
    /// An empty account.
    pub fn new() -> Self {
        Self {
            tables: Vec::new(),
            requests: 0,
            retries: 0,
            causes: BTreeMap::new(),
            bytes_sent: 0,
            bytes_received: 0,
            service: Times::new(),
        }
    }

    /// The account of a table.
    pub fn table(&mut self, table: Table) -> &mut TableAccount {
        let count = self.tables.len().max(table.index() + 1);
        self.tables.resize_with(count, TableAccount::default);
        &mut self.tables[table.index()]
    }

    /// The count of a table.
    pub fn count(&mut self, table: Table) -> &mut Count {
        &mut self.table(table).count
    }

    /// Adds another account to this one.
    pub fn add(&mut self, other: &Self) {
        for (number, table) in other.tables.iter().enumerate() {
            let own = self.table(Table::of(number));
            own.count.add(&table.count);
            own.latency.add(&table.latency);
        }
        self.requests += other.requests;
        self.retries += other.retries;
        add_all(&mut self.causes, &other.causes);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.service.add(&other.service);
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

/// Times in a high dynamic range histogram: from a microsecond to an hour, to three digits.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    const LIMIT: u64 = 3_600_000_000;

    /// No times.
    #[allow(clippy::expect_used)]
    pub fn new() -> Self {
        Self(Histogram::new_with_max(Self::LIMIT, 3).expect("the limit is above 2 and 3 digits are within 0 to 5"))
    }

    /// Counts a time.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn add(&mut self, other: &Self) {
        // It fails only if the other has a wider range.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }

    /// A summary, in milliseconds.
    pub fn summary(&self) -> Summary {
        let ms = |microseconds: u64| microseconds as f64 / 1_000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Summary {
            count: self.0.len(),
            mean: (self.0.mean()).round() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: ms(self.0.max()),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// A summary of times, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The time that half of them don't exceed.
    pub p50: f64,
    /// The time that 90 % of them don't exceed.
    pub p90: f64,
    /// The time that 99 % of them don't exceed.
    pub p99: f64,
    /// The time that 99.9 % of them don't exceed.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::Defect;

    fn event(kind: Kind) -> Event {
        let id = Uuid::nil();
        Event { table: Table::Clicks, kind, late: true, bot: false, ad: 0, id, impression: id, occurred_at: 0 }
    }

    #[test]
    fn an_account_is_complete_when_valid_events_are_stored_and_malformed_ones_refused() {
        let malformed = event(Kind::Malformed(Defect::NoAd));
        let refused = Fate::Refused("InvalidEvent".into());
        let account = |events: &[(Event, &Fate)]| {
            let mut count = Count::default();
            for (event, fate) in events {
                count.sent(event);
                count.settled(event, fate);
            }
            count
        };
        let fresh = event(Kind::Fresh);
        assert!(account(&[(fresh, &Fate::Acknowledged), (malformed, &refused)]).is_complete());
        assert!(!account(&[(fresh, &refused), (malformed, &refused)]).is_complete());
        assert!(!account(&[(fresh, &refused), (malformed, &Fate::Acknowledged)]).is_complete());
        assert!(!account(&[(fresh, &Fate::Unknown("Timeout".into()))]).is_complete());
    }

    #[test]
    fn accounts_add_up() {
        let mut one = Account::new();
        one.count(Table::Clicks).sent(&event(Kind::Repeat));
        one.count(Table::Clicks).settled(&event(Kind::Repeat), &Fate::Refused("A".into()));
        one.service.record(Duration::from_millis(10));
        let mut two = one.clone();
        two.count(Table::Clicks).settled(&event(Kind::Repeat), &Fate::Refused("B".into()));
        one.add(&two);
        let count = &one.tables[1].count;
        assert_eq!((count.sent, count.repeats, count.late), (2, 2, 2));
        assert_eq!(count.refused, BTreeMap::from([("A".into(), 2), ("B".into(), 1)]));
        assert_eq!(one.service.summary().count, 2);
    }

    #[test]
    fn times_beyond_the_limit_are_counted_at_it() {
        let mut times = Times::new();
        times.record(Duration::from_micros(1_500));
        times.record(Duration::from_secs(1_000_000));
        let summary = times.summary();
        assert_eq!((summary.count, summary.p50), (2, 1.5));
        assert!(summary.max > 3_599_000.0);
    }

    #[test]
    fn an_event_counts_by_what_it_is_and_by_its_fate() {
        let [fresh, repeat, malformed] = [Kind::Fresh, Kind::Repeat, Kind::Malformed(Defect::ShortId)].map(event);
        let bot = Event { late: false, bot: true, ..fresh };
        let (odd, timeout) = (Fate::Refused("Odd".into()), Fate::Unknown("Timeout".into()));
        let mut count = Count::default();
        for (event, fate, times) in [
            (fresh, &Fate::Acknowledged, 5),
            (fresh, &timeout, 3),
            (bot, &odd, 4),
            (bot, &Fate::Refused("Other".into()), 1),
            (repeat, &odd, 2),
            (malformed, &odd, 6),
            (malformed, &Fate::Acknowledged, 1),
        ] {
            for _ in 0..times {
                count.sent(&event);
                count.settled(&event, fate);
            }
        }
        let expected = Count {
            sent: 22,
            acknowledged: 6,
            refused: BTreeMap::from([("Odd".into(), 12), ("Other".into(), 1)]),
            unknown: 3,
            repeats: 2,
            late: 17,
            bots: 5,
            malformed: 7,
            malformed_refused: 6,
            retried: 0,
        };
        assert_eq!(count, expected);
    }

    #[test]
    fn every_number_of_an_account_is_added() {
        let account = |tables: &[Table], by: u64, codes: &[&'static str]| {
            let mut account = Account::new();
            let each = |count: u64| codes.iter().map(|&code| (code.into(), count * by)).collect::<BTreeMap<_, _>>();
            for table in tables {
                *account.count(*table) = Count {
                    sent: 11 * by,
                    acknowledged: 12 * by,
                    refused: each(13),
                    unknown: 14 * by,
                    repeats: 15 * by,
                    late: 16 * by,
                    bots: 17 * by,
                    malformed: 18 * by,
                    malformed_refused: 19 * by,
                    retried: 20 * by,
                };
                account.table(*table).latency.record(Duration::from_micros(100 * by));
            }
            (account.requests, account.retries, account.causes) = (21 * by, 22 * by, each(23));
            (account.bytes_sent, account.bytes_received) = (24 * by, 25 * by);
            account.service.record(Duration::from_micros(150 * by));
            account
        };
        let mut sum = account(&[Table::Impressions], 1, &["A", "B"]);
        sum.add(&account(&[Table::Impressions, Table::Clicks], 10, &["B", "C"]));
        assert_eq!((sum.requests, sum.retries, sum.bytes_sent, sum.bytes_received), (231, 242, 264, 275));
        assert_eq!(sum.causes, BTreeMap::from([("A".into(), 23), ("B".into(), 253), ("C".into(), 230)]));
        assert_eq!((sum.service.summary().count, sum.service.summary().max), (2, 1.5));
        let expected = Count {
            sent: 121,
            acknowledged: 132,
            refused: BTreeMap::from([("A".into(), 13), ("B".into(), 143), ("C".into(), 130)]),
            unknown: 154,
            repeats: 165,
            late: 176,
            bots: 187,
            malformed: 198,
            malformed_refused: 209,
            retried: 220,
        };
        assert_eq!(sum.tables[0].count, expected);
        assert_eq!((sum.tables[0].latency.summary().count, sum.tables[0].latency.summary().max), (2, 1.0));
        // Only the other account has clicks.
        assert_eq!((sum.tables.len(), sum.tables[1].count.sent), (2, 110));
        assert_eq!(sum.tables[1].latency.summary().count, 1);
    }

    #[test]
    fn a_table_is_added_on_first_access() {
        let mut account = Account::new();
        account.count(Table::Other(1)).sent = 4;
        assert_eq!(account.tables.len(), 4);
        account.count(Table::Impressions).sent = 1;
        assert_eq!(account.tables.iter().map(|table| table.count.sent).collect::<Vec<_>>(), [1, 0, 0, 4]);
    }

    #[test]
    fn a_summary_is_in_milliseconds() {
        let mut times = Times::new();
        for microseconds in 1..=1_000 {
            times.record(Duration::from_micros(microseconds));
        }
        let expected = Summary { count: 1_000, mean: 0.501, p50: 0.5, p90: 0.9, p99: 0.99, p99_9: 0.999, max: 1.0 };
        assert_eq!(times.summary(), expected);
    }
}
