//! Counting the events of a batch by arrival minute.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::event::FirehoseRecord;

const MILLIS_PER_MINUTE: i64 = 60_000;

/// What a minute brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    /// Lines that are no JSON object, and records that are not base64: they are handed on like the others, and the ETL
    /// sets them aside.
    pub(crate) malformed: u64,
}

/// Counts by minute, the minute being the seconds since 1970 of its start.
pub(crate) fn count(records: &[FirehoseRecord<'_>]) -> BTreeMap<i64, Counts> {
    let mut minutes: BTreeMap<i64, Counts> = BTreeMap::new();
    let mut data = Vec::new();
    for record in records {
        let counts =
            minutes.entry(record.approximate_arrival_timestamp.div_euclid(MILLIS_PER_MINUTE) * 60).or_default();
        data.clear();
        if BASE64_STANDARD.decode_vec(record.data.as_bytes(), &mut data).is_err() {
            counts.malformed += 1;
            continue;
        }
        for line in data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            if line.starts_with(b"{") && line.ends_with(b"}") {
                counts.events += 1;
            } else {
                counts.malformed += 1;
            }
        }
    }
    minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: i64, data: &str) -> FirehoseRecord<'static> {
        FirehoseRecord {
            record_id: "1".into(),
            approximate_arrival_timestamp: at,
            data: BASE64_STANDARD.encode(data).into(),
        }
    }

    #[test]
    fn each_line_counts_in_the_minute_of_its_record() {
        let records = [
            record(1_763_640_000_000, "{\"a\":1}\n{\"a\":2}\n"),
            record(1_763_640_059_999, "{\"a\":3}"),
            record(1_763_640_060_000, "{\"a\":4}\n\n  \n{\"a\":5}\r\n"),
        ];
        let expected =
            [(1_763_640_000, Counts { events: 3, malformed: 0 }), (1_763_640_060, Counts { events: 2, malformed: 0 })];
        assert_eq!(count(&records).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_event_counts_as_malformed() {
        let mut not_base64 = record(0, "");
        not_base64.data = "%".into();
        let records = [record(0, "hello\n{\"a\":1}\n{\"a\":"), not_base64, record(0, "")];
        assert_eq!(count(&records)[&0], Counts { events: 1, malformed: 3 });
    }
}
