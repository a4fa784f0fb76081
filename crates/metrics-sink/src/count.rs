//! Counting the events of a batch by arrival minute.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Record;
use crate::metrics::is_time_taken;

const SECONDS_PER_MINUTE: i64 = 60;

/// What a minute brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    /// Lines that are no JSON object, blank ones among them, and records that are not base64: they are handed on like the
    /// others, and the ETL sets them aside. Together with the events they are the raw lines that the ledger counts.
    pub(crate) malformed: u64,
}

/// Counts by minute, the minute being the seconds since 1970 of its start. A record whose time is missing, or such that
/// CloudWatch would refuse the whole call for it, counts in the minute of `now`.
pub(crate) fn count(records: &[Record<'_>], now: SystemTime) -> BTreeMap<i64, Counts> {
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let mut minutes: BTreeMap<i64, Counts> = BTreeMap::new();
    let mut data = Vec::new();
    for record in records {
        let arrived_at = record.arrived_at().map(|millis| millis.div_euclid(1_000));
        let arrived_at = arrived_at.filter(|&at| is_time_taken(at, now)).unwrap_or(now);
        let counts = minutes.entry(arrived_at.div_euclid(SECONDS_PER_MINUTE) * SECONDS_PER_MINUTE).or_default();
        data.clear();
        let decoded = record.base64().map(|text| base64_simd::STANDARD.decode_append(text.as_bytes(), &mut data));
        if !matches!(decoded, Some(Ok(_))) {
            counts.malformed += 1;
            continue;
        }
        count_lines(&data, counts);
    }
    minutes
}

/// Counts what lies between newlines; the last line needs none.
fn count_lines(data: &[u8], counts: &mut Counts) {
    let mut rest = data;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        match rest[..end].trim_ascii() {
            [b'{', .., b'}'] => counts.events += 1,
            _ => counts.malformed += 1,
        }
        rest = rest.get(end + 1..).unwrap_or_default();
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
        let (first, second) = (base64("{\"a\":1}\n{\"a\":2}\n"), base64("{\"a\":3}"));
        let third = base64("{\"a\":4}\n\n  \n{\"a\":5}\r\n");
        let records = [("1763640000000", &*first), ("1763640059999", &second), ("1763640060000", &third)];
        // Two lines of the third record are blank.
        let expected =
            [(MINUTE, Counts { events: 3, malformed: 0 }), (MINUTE + 60, Counts { events: 2, malformed: 2 })];
        assert_eq!(counted(&records), expected);
    }

    #[test]
    fn what_is_no_event_counts_as_malformed() {
        let (lines, empty) = (base64("hello\n{\"a\":1}\n{\"a\":\n{"), base64(""));
        let records = [&*lines, "\"%\"", "null", "5", &empty].map(|data| ("1763640000000", data));
        assert_eq!(counted(&records), [(MINUTE, Counts { events: 1, malformed: 6 })]);
    }

    #[test]
    fn a_time_that_cloudwatch_would_refuse_is_now() {
        let event = base64("{}");
        let records = ["null", "0", "\"x\"", "-5", "9999999999999", "1.5"].map(|at| (at, &*event));
        assert_eq!(counted(&records), [(MINUTE + 60, Counts { events: 6, malformed: 0 })]);
    }
}
