//! Events, and how they are written.

use chrono::DateTime;
use event_types::Sampler;
use serde::Serialize;
use uuid::Uuid;

use crate::ads::written;
use crate::types::Types;

/// The types of events, each with its beacon and its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// An ad was shown.
    Impressions,
    /// An ad that was shown was clicked.
    Clicks,
    /// A type that only its schema knows, by its number among the others of the run.
    Other(u16),
}

impl Table {
    /// The number of the type.
    #[inline]
    pub fn index(self) -> usize {
        match self {
            Self::Impressions => 0,
            Self::Clicks => 1,
            Self::Other(number) => 2 + usize::from(number),
        }
    }

    /// The type with a number.
    pub fn of(index: usize) -> Self {
        match index {
            0 => Self::Impressions,
            1 => Self::Clicks,
            index => Self::Other(u16::try_from(index - 2).unwrap_or(u16::MAX)),
        }
    }
}

/// The fault of an event that is malformed on purpose. The server must refuse this event only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    /// The event has no `ad_id`. Only impressions and clicks have one.
    NoAd,
    /// The event's own id is cut short.
    ShortId,
    /// The event's time is a word.
    NoTime,
}

impl Defect {
    /// The defects that events of a type can have.
    pub fn of(table: Table) -> &'static [Self] {
        const ALL: [Defect; 3] = [Defect::NoAd, Defect::ShortId, Defect::NoTime];
        match table {
            Table::Impressions | Table::Clicks => &ALL,
            Table::Other(_) => &ALL[1..],
        }
    }
}

/// Whether an event is fresh, repeated or malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A well-formed event, sent for the first time.
    Fresh,
    /// A well-formed event that was sent before, as by a client that did not get the answer.
    Repeat,
    /// An event that must be refused.
    Malformed(Defect),
}

/// An event to be sent. It has 56 bytes, so that many can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub table: Table,
    /// Fresh, repeated or malformed.
    pub kind: Kind,
    /// Occurred long before it's sent.
    pub late: bool,
    /// Made by a bot.
    pub bot: bool,
    /// The ad's number among the ads.
    pub ad: u32,
    /// The event's own id.
    pub id: Uuid,
    /// The impression that was clicked; of any other event, its own id.
    pub impression: Uuid,
    /// When it occurred: milliseconds of Unix time.
    pub occurred_at: i64,
}

/// The time of events without a valid one.
const NO_TIME: &str = "yesterday";

/// Writes events as JSON objects without white space, in the form of the raw zone.
#[derive(Debug)]
pub struct Writer {
    day: i64,
    date: [u8; 10],
}

impl Default for Writer {
    fn default() -> Self {
        Self { day: i64::MIN, date: [b'0'; 10] }
    }
}

impl Writer {
    /// Appends an event.
    pub fn event(&mut self, event: &Event, types: &Types, out: &mut Vec<u8>) {
        let defect = match event.kind {
            Kind::Malformed(defect) => Some(defect),
            _ => None,
        };
        let id = written(event.id);
        let id = if defect == Some(Defect::ShortId) { &id[..8] } else { &id[..] };
        match event.table {
            Table::Impressions => out.extend_from_slice(br#"{"impression_id":""#),
            Table::Clicks => out.extend_from_slice(br#"{"click_id":""#),
            Table::Other(number) => return self.sample(event, types.sampler(number), id, defect, out),
        }
        out.extend_from_slice(id);
        if event.table == Table::Clicks {
            out.extend_from_slice(br#"","impression_id":""#);
            out.extend_from_slice(&written(event.impression));
        }
        if defect != Some(Defect::NoAd) {
            out.extend_from_slice(br#"","ad_id":""#);
            out.extend_from_slice(types.ads.id(event.ad));
        }
        out.extend_from_slice(br#"","occurred_at":""#);
        if defect == Some(Defect::NoTime) {
            out.extend_from_slice(NO_TIME.as_bytes());
        } else {
            self.time(event.occurred_at, out);
        }
        out.extend_from_slice(br#""}"#);
    }

    /// Appends an event whose fields depend on its id, so that it is always the same.
    fn sample(&mut self, event: &Event, sampler: &Sampler, id: &[u8], defect: Option<Defect>, out: &mut Vec<u8>) {
        let mut time = Vec::new();
        self.time(event.occurred_at, &mut time);
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let time = if defect == Some(Defect::NoTime) { NO_TIME } else { text(&time) };
        let (seed, _) = event.id.as_u64_pair();
        sampler.write(seed, text(id), time, event.occurred_at, out);
    }

    /// Appends a time as `YYYY-MM-DD HH:MM:SS.mmm`.
    pub fn time(&mut self, milliseconds: i64, out: &mut Vec<u8>) {
        const DAY: i64 = 86_400_000;
        let day = milliseconds.div_euclid(DAY);
        if day != self.day {
            self.day = day;
            // Times beyond the calendar keep the previous date. No valid configuration has such times.
            if let Some(midnight) = DateTime::from_timestamp_millis(day * DAY) {
                let date = midnight.date_naive().to_string();
                if let Ok(date) = date.as_bytes().try_into() {
                    self.date = date;
                }
            }
        }
        let rest = milliseconds.rem_euclid(DAY) as u32;
        let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
        let digit = |n: u32| b'0' + (n % 10) as u8;
        let mut time = *b" 00:00:00.000";
        for (place, n) in [(1, hour), (4, minute), (7, second)] {
            time[place] = digit(n / 10);
            time[place + 1] = digit(n);
        }
        for (place, n) in [(10, rest / 100), (11, rest / 10), (12, rest)] {
            time[place] = digit(n);
        }
        out.extend_from_slice(&self.date);
        out.extend_from_slice(&time);
    }

    /// Appends a batch as a beacon takes it: `{"impressions":[…]}`.
    pub fn batch(&mut self, table: Table, events: &[Event], types: &Types, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{""#);
        out.extend_from_slice(types.name(table).as_bytes());
        out.extend_from_slice(br#"":["#);
        for (place, event) in events.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.event(event, types, out);
        }
        out.extend_from_slice(b"]}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ads::Ads;

    fn types() -> Types {
        Types::new(Ads::new(2, 0.0), Vec::new())
    }

    fn event(table: Table, kind: Kind) -> Event {
        Event {
            table,
            kind,
            late: false,
            bot: false,
            ad: 1,
            id: Uuid::from_u128(0x11),
            impression: Uuid::from_u128(0x22),
            occurred_at: 1_763_683_199_007,
        }
    }

    fn text(event: &Event) -> String {
        let mut out = Vec::new();
        Writer::default().event(event, &types(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_impression_line_is_144_bytes_long() {
        let line = text(&event(Table::Impressions, Kind::Fresh)) + "\n";
        assert_eq!(line.len(), 144);
        assert!(line.ends_with("\"occurred_at\":\"2025-11-20 23:59:59.007\"}\n"), "{line}");
        assert!(line.starts_with("{\"impression_id\":\"00000000-0000-0000-0000-000000000011\",\"ad_id\":\""), "{line}");
    }

    #[test]
    fn a_click_names_its_impression() {
        let click: Value = serde_json::from_str(&text(&event(Table::Clicks, Kind::Fresh))).unwrap();
        assert_eq!(click["click_id"], "00000000-0000-0000-0000-000000000011");
        assert_eq!(click["impression_id"], "00000000-0000-0000-0000-000000000022");
        assert_eq!(click.as_object().unwrap().len(), 4);
    }

    #[test]
    fn every_defect_is_still_json_and_has_its_one_fault() {
        let read = |defect| -> Value {
            serde_json::from_str(&text(&event(Table::Impressions, Kind::Malformed(defect)))).unwrap()
        };
        assert_eq!(read(Defect::NoAd).get("ad_id"), None);
        assert_eq!(read(Defect::ShortId)["impression_id"], "00000000");
        assert_eq!(read(Defect::NoTime)["occurred_at"], "yesterday");
    }

    #[test]
    fn times_before_1970_and_the_turn_of_a_day_are_written() {
        let mut writer = Writer::default();
        for (time, expected) in [
            (-1, "1969-12-31 23:59:59.999"),
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (951_868_799_999, "2000-02-29 23:59:59.999"),
        ] {
            let mut out = Vec::new();
            writer.time(time, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_batch_has_the_form_that_a_beacon_accepts() {
        let mut out = Vec::new();
        let events = [event(Table::Impressions, Kind::Fresh); 3];
        Writer::default().batch(Table::Impressions, &events, &types(), &mut out);
        let batch: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(batch["impressions"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event>() <= 56, "{}", size_of::<Event>());
    }
}
