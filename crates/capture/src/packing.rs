//! Packs events into as few records as the limits allow.

use std::ops::Range;

/// The most bytes of a record, before base64: 1,000 KiB.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html>
pub const MAX_RECORD_BYTES: usize = 1_000 * 1_024;

// Every line that `events` accepts fits in a record.
const _: () = assert!(events::MAX_LINE_BYTES <= MAX_RECORD_BYTES);

/// The most records of one `PutRecordBatch`.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>
pub const MAX_CALL_RECORDS: usize = 500;

/// The most bytes of all records of one `PutRecordBatch`: 4 MiB.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>
pub const MAX_CALL_BYTES: usize = 4 * 1_024 * 1_024;

/// A record: the lines of the batch that it contains, and their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The lines, counted from the first valid event of the batch.
    pub lines: Range<usize>,
    /// Their bytes in the batch's buffer.
    pub bytes: Range<usize>,
}

/// Packs consecutive lines into as few records of at most `max_bytes` as possible. `ends` are the ends of the lines in the
/// buffer, ascending.
///
/// Lines are never split: an event is always in one record. A line over the limit would become a record of its own, which
/// Firehose refuses.
#[must_use]
pub fn pack(ends: &[usize], max_bytes: usize) -> Vec<Packed> {
    let mut records: Vec<Packed> = Vec::with_capacity(1);
    let mut start = 0;
    for (line, &end) in ends.iter().enumerate() {
        match records.last_mut() {
            Some(record) if end - record.bytes.start <= max_bytes => {
                record.lines.end = line + 1;
                record.bytes.end = end;
            }
            _ => records.push(Packed { lines: line..line + 1, bytes: start..end }),
        }
        start = end;
    }
    records
}

/// How many of the records, from the first, fit into one call.
pub(crate) fn fit_into_call<'r>(records: impl IntoIterator<Item = &'r Packed>) -> usize {
    let mut bytes = 0;
    records
        .into_iter()
        .take(MAX_CALL_RECORDS)
        .take_while(|record| {
            bytes += record.bytes.len();
            bytes <= MAX_CALL_BYTES
        })
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(lengths: &[usize]) -> Vec<usize> {
        lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect()
    }

    fn records(count: usize, length: usize) -> Vec<Packed> {
        (0..count).map(|at| Packed { lines: at..at + 1, bytes: at * length..(at + 1) * length }).collect()
    }

    #[test]
    fn no_line_makes_no_record() {
        assert_eq!(pack(&[], MAX_RECORD_BYTES), []);
    }

    #[test]
    fn a_batch_of_500_events_is_one_record() {
        let packed = pack(&ends(&[191; 500]), MAX_RECORD_BYTES);
        assert_eq!(packed, [Packed { lines: 0..500, bytes: 0..95_500 }]);
    }

    #[test]
    fn a_record_takes_1000_kib_and_not_a_byte_more() {
        assert_eq!(pack(&ends(&[MAX_RECORD_BYTES - 100, 100]), MAX_RECORD_BYTES).len(), 1);
        assert_eq!(
            pack(&ends(&[MAX_RECORD_BYTES - 100, 101]), MAX_RECORD_BYTES),
            [
                Packed { lines: 0..1, bytes: 0..MAX_RECORD_BYTES - 100 },
                Packed { lines: 1..2, bytes: MAX_RECORD_BYTES - 100..MAX_RECORD_BYTES + 1 }
            ]
        );
    }

    #[test]
    fn a_call_takes_500_records_and_not_one_more() {
        assert_eq!(fit_into_call(&records(500, 10)), 500);
        assert_eq!(fit_into_call(&records(501, 10)), 500);
        assert_eq!(fit_into_call(&[]), 0);
    }

    #[test]
    fn a_call_takes_4_mib_and_not_a_byte_more() {
        let quarter = MAX_CALL_BYTES / 8;
        assert_eq!(fit_into_call(&records(8, quarter)), 8);
        let mut over = records(8, quarter);
        over[7].bytes.end += 1;
        assert_eq!(fit_into_call(&over), 7);
    }

    proptest! {
        #[test]
        fn lines_are_never_split_and_every_record_is_filled(
            lengths in prop::collection::vec(1_usize..MAX_RECORD_BYTES, 0..40),
        ) {
            let ends = ends(&lengths);
            let packed = pack(&ends, MAX_RECORD_BYTES);
            let mut next_line = 0;
            let mut next_byte = 0;
            for record in &packed {
                prop_assert_eq!(record.lines.start, next_line);
                prop_assert_eq!(record.bytes.start, next_byte);
                prop_assert!(record.bytes.len() <= MAX_RECORD_BYTES);
                prop_assert_eq!(record.bytes.end, ends[record.lines.end - 1]);
                (next_line, next_byte) = (record.lines.end, record.bytes.end);
            }
            prop_assert_eq!(next_line, lengths.len());
            for pair in packed.windows(2) {
                prop_assert!(pair[0].bytes.len() + lengths[pair[1].lines.start] > MAX_RECORD_BYTES);
            }
        }
    }

    #[test]
    fn the_limits_are_those_of_firehose_to_the_byte() {
        assert_eq!(pack(&ends(&[1_023_999, 1]), MAX_RECORD_BYTES).len(), 1);
        assert_eq!(pack(&ends(&[1_024_000, 1]), MAX_RECORD_BYTES).len(), 2);
        assert_eq!(fit_into_call(&records(4, 1_048_576)), 4);
        assert_eq!(fit_into_call(&records(4, 1_048_577)), 3);
    }
}
