//! Counting the events of a batch by arrival minute.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use events::EventType;
use events::raw_line::{is_event, is_object};

use crate::event::Record;
use crate::metrics::is_time_accepted;

const SECONDS_PER_MINUTE: i64 = 60;

/// The counts of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    /// Lines in which the ETL will not find an event of the type, and records that are not base64. They are passed on like
    /// the others, and the ETL rejects them. Together with the events, they are the raw lines that the ledger counts.
    pub(crate) malformed: u64,
}

/// Counts by minute; the key is the start of the minute in seconds since 1970. A record counts in the minute of `now` if it
/// has no time, or one for which CloudWatch would refuse the whole call. Of an unknown type, such as one without a schema,
/// every JSON object is an event.
///
/// Lines end at newlines, not at the end of a record: Firehose concatenates records, so a record without a newline at its end
/// continues in the next. Such a line counts in the minute of the record in which it begins.
pub(crate) fn count(event_type: Option<&EventType>, records: &[Record<'_>], now: SystemTime) -> BTreeMap<i64, Counts> {
    let holds_event = |line: &[u8]| event_type.map_or_else(|| is_object(line), |known| is_event(known, line));
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let mut minutes: BTreeMap<i64, Counts> = BTreeMap::new();
    // The line that has not ended yet, and its minute.
    let (mut open, mut open_minute) = (Vec::new(), 0);
    for record in records {
        let arrived_at = record.arrived_at().map(|millis| millis.div_euclid(1_000));
        let arrived_at = arrived_at.filter(|&at| is_time_accepted(at, now)).unwrap_or(now);
        let minute = arrived_at.div_euclid(SECONDS_PER_MINUTE) * SECONDS_PER_MINUTE;
        let searched = open.len();
        let decoded = record.base64().map(|text| base64_simd::STANDARD.decode_append(text.as_bytes(), &mut open));
        if !matches!(decoded, Some(Ok(_))) {
            open.truncate(searched);
            minutes.entry(minute).or_default().malformed += 1;
            continue;
        }
        if searched == 0 {
            open_minute = minute;
        }
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &open[searched..]) {
            let end = searched + newline;
            minutes.entry(open_minute).or_default().add(holds_event(&open[start..end]));
            (start, open_minute) = (end + 1, minute);
        }
        open.drain(..start);
    }
    if !open.is_empty() {
        minutes.entry(open_minute).or_default().add(holds_event(&open));
    }
    minutes
}

impl Counts {
    fn add(&mut self, is_event: bool) {
        if is_event {
            self.events += 1;
        } else {
            self.malformed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    const MINUTE: i64 = 1_763_640_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(MINUTE).unwrap() + 90)
    }

    /// The counts of records. Each record is (`approximateArrivalTimestamp`, `data`), both in JSON.
    fn counted(records: &[(&str, &str)]) -> Vec<(i64, Counts)> {
        counted_as(None, records)
    }

    fn counted_as(event_type: Option<&EventType>, records: &[(&str, &str)]) -> Vec<(i64, Counts)> {
        let text = records
            .iter()
            .map(|(at, data)| format!(r#"{{"recordId":"1","approximateArrivalTimestamp":{at},"data":{data}}}"#));
        let text = format!("[{}]", text.collect::<Vec<_>>().join(","));
        count(event_type, &serde_json::from_str::<Vec<Record<'_>>>(&text).unwrap(), now()).into_iter().collect()
    }

    fn base64(data: &str) -> String {
        format!("\"{}\"", BASE64_STANDARD.encode(data))
    }

    #[test]
    fn each_line_counts_in_the_minute_of_its_record() {
        let (first, second) = (base64("{\"a\":1}\n{\"a\":2}\n"), base64("{\"a\":3}\n"));
        let third = base64("{\"a\":4}\n\n  \n{\"a\":5}\r\n");
        let records = [("1763640000000", &*first), ("1763640059999", &second), ("1763640060000", &third)];
        // Two lines of the third record are blank.
        let expected =
            [(MINUTE, Counts { events: 3, malformed: 0 }), (MINUTE + 60, Counts { events: 2, malformed: 2 })];
        assert_eq!(counted(&records), expected);
    }

    #[test]
    fn records_are_joined_as_in_the_raw_zone() {
        // `{"a":1}{"b":2}` is one line, and not JSON; `{"c":3}` is cut in three; the last line has no newline.
        let parts = ["{\"a\":1}", "{\"b\":2}\n{\"c\"", ":", "3}\n", "", "{}\n{}"].map(base64);
        let at = |minute: usize| (1_763_640_000_000 + 60_000 * minute).to_string();
        let times: Vec<String> = (0..parts.len()).map(at).collect();
        let records: Vec<(&str, &str)> =
            times.iter().zip(&parts).map(|(at, part)| (at.as_str(), part.as_str())).collect();
        let malformed = Counts { events: 0, malformed: 1 };
        let expected = [
            (MINUTE, malformed),
            (MINUTE + 60, Counts { events: 1, malformed: 0 }),
            (MINUTE + 300, Counts { events: 2, malformed: 0 }),
        ];
        assert_eq!(counted(&records), expected);
    }

    #[test]
    fn a_record_that_cannot_be_read_leaves_the_line_around_it_alone() {
        let (start, end) = (base64("{\"a\":"), base64("1}\n"));
        let records = [&*start, "\"e30K%\"", &end].map(|data| ("1763640000000", data));
        assert_eq!(counted(&records), [(MINUTE, Counts { events: 1, malformed: 1 })]);
    }

    #[test]
    fn an_event_is_a_json_object_and_nothing_else() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let long = format!("{{\"n\":{}}}", "7".repeat(1_001));
        let pair = r#"{"a":"\ud83e\udd80 \\ud800 \\\\"}"#;
        for line in
            ["{}", " {\"a\":1}\t\r", "\u{feff}{}", "\u{feff}\u{feff}{}", "{\"a\":1,\"a\":2}", pair, &deep, &long]
        {
            assert!(is_object(line.as_bytes()), "{:.40}", line);
        }
        let halves = [r#"{"a":"\ud83e"}"#, r#"{"\udd80":1}"#, r#"{"a":"\udd80\ud83e"}"#, r#"{"a":"\\\ud83e\n"}"#];
        let others = [
            "",
            "  ",
            "\u{feff}",
            " \u{feff}{}",
            "\u{a0}{}",
            "{}\u{2028}",
            "{}\0",
            "{}\u{c}",
            "\u{c}{}",
            "[]",
            "1",
            "\"{}\"",
            "{oops}",
            "{\"a\":}",
            "{}{}",
            "{} x",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{,}",
        ];
        for line in others.into_iter().chain(halves) {
            assert!(!is_object(line.as_bytes()), "{line}");
        }
        assert!(!is_object(b"{\"a\":\"\xff\"}"));
    }

    #[test]
    fn for_a_known_type_only_its_own_events_count() {
        let id = "0192d3c4-9a5b-7c6d-8e7f-001122334455";
        let event = format!(r#"{{"impression_id":"{id}","ad_id":"{id}","occurred_at":"2026-11-20 10:00:00.000"}}"#);
        let late = event.replace("2026", "1999");
        let without_time = event.replace("occurred_at", "at");
        let bad_time = event.replace("10:00", "25:00");
        let lines = base64(&format!("{event}\n{late}\n{without_time}\n{bad_time}\n{{}}\n\n"));
        let records = [("1763640000000", &*lines)];
        let impressions = counted_as(Some(&events::IMPRESSIONS), &records);
        assert_eq!(impressions, [(MINUTE, Counts { events: 2, malformed: 4 })]);
        assert_eq!(counted_as(Some(&events::CLICKS), &records), [(MINUTE, Counts { events: 0, malformed: 6 })]);
        assert_eq!(counted_as(None, &records), [(MINUTE, Counts { events: 5, malformed: 1 })]);
    }

    #[test]
    fn what_is_not_an_event_counts_as_malformed() {
        let (lines, empty) = (base64("hello\n{\"a\":1}\n{oops}\n{\n"), base64(""));
        let records = [&*lines, "\"%\"", "null", "5", &empty].map(|data| ("1763640000000", data));
        assert_eq!(counted(&records), [(MINUTE, Counts { events: 1, malformed: 6 })]);
    }

    #[test]
    fn a_time_that_cloudwatch_would_refuse_becomes_now() {
        let event = base64("{}\n");
        let records = ["null", "0", "\"x\"", "-5", "9999999999999", "1.5"].map(|at| (at, &*event));
        assert_eq!(counted(&records), [(MINUTE + 60, Counts { events: 6, malformed: 0 })]);
    }
}
