//! Counting the events of a batch by arrival minute.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::IgnoredAny;

use crate::event::Record;
use crate::metrics::is_time_taken;

const SECONDS_PER_MINUTE: i64 = 60;

/// What a minute brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    /// Lines that are not a JSON object, blank ones among them, and records that are not base64: they are handed on like the
    /// others, and the ETL sets them aside. Together with the events they are the raw lines that the ledger counts.
    pub(crate) malformed: u64,
}

/// Counts by minute, the minute being the seconds since 1970 of its start. A record whose time is missing, or such that
/// CloudWatch would refuse the whole call for it, counts in the minute of `now`.
///
/// Lines end at newlines, not with records: Firehose joins records as they are, so that one without a newline at its end goes
/// on in the next. Such a line counts in the minute of the record that it begins in.
pub(crate) fn count(records: &[Record<'_>], now: SystemTime) -> BTreeMap<i64, Counts> {
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let mut minutes: BTreeMap<i64, Counts> = BTreeMap::new();
    // The line that no newline has ended yet, and its minute.
    let (mut open, mut open_minute) = (Vec::new(), 0);
    for record in records {
        let arrived_at = record.arrived_at().map(|millis| millis.div_euclid(1_000));
        let arrived_at = arrived_at.filter(|&at| is_time_taken(at, now)).unwrap_or(now);
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
            minutes.entry(open_minute).or_default().add(&open[start..end]);
            (start, open_minute) = (end + 1, minute);
        }
        open.drain(..start);
    }
    if !open.is_empty() {
        minutes.entry(open_minute).or_default().add(&open);
    }
    minutes
}

impl Counts {
    fn add(&mut self, line: &[u8]) {
        if is_object(line) {
            self.events += 1;
        } else {
            self.malformed += 1;
        }
    }
}

/// Whether the ETL will find a JSON object in a line, by the definition of `docs/lake.md`.
fn is_object(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let text = text.trim_start_matches('\u{feff}');
    text.trim_ascii_start().starts_with('{')
        // It goes into any depth and past numbers of any length.
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
        && has_whole_surrogates(text.as_bytes())
}

/// Whether each half of a surrogate pair has its other half. serde_json doesn't look at what it ignores.
fn has_whole_surrogates(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        rest = &rest[at..];
        rest = match escaped_unit(rest) {
            Some(0xd800..=0xdbff) if matches!(escaped_unit(&rest[6..]), Some(0xdc00..=0xdfff)) => &rest[12..],
            Some(0xd800..=0xdfff) => return false,
            // Another escape is two bytes, and what follows in `\uXXXX` has no backslash.
            _ => &rest[2..],
        };
    }
    true
}

/// The UTF-16 code unit of `\uXXXX`, if the text begins with one.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let hex = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
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

    /// The counts of records of (`approximateArrivalTimestamp` and `data`, both as written in JSON).
    fn counted(records: &[(&str, &str)]) -> Vec<(i64, Counts)> {
        let text = records
            .iter()
            .map(|(at, data)| format!(r#"{{"recordId":"1","approximateArrivalTimestamp":{at},"data":{data}}}"#));
        let text = format!("[{}]", text.collect::<Vec<_>>().join(","));
        count(&serde_json::from_str::<Vec<Record<'_>>>(&text).unwrap(), now()).into_iter().collect()
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
    fn what_is_no_event_counts_as_malformed() {
        let (lines, empty) = (base64("hello\n{\"a\":1}\n{oops}\n{\n"), base64(""));
        let records = [&*lines, "\"%\"", "null", "5", &empty].map(|data| ("1763640000000", data));
        assert_eq!(counted(&records), [(MINUTE, Counts { events: 1, malformed: 6 })]);
    }

    #[test]
    fn a_time_that_cloudwatch_would_refuse_is_now() {
        let event = base64("{}\n");
        let records = ["null", "0", "\"x\"", "-5", "9999999999999", "1.5"].map(|at| (at, &*event));
        assert_eq!(counted(&records), [(MINUTE + 60, Counts { events: 6, malformed: 0 })]);
    }
}
