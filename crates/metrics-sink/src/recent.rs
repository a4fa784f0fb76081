//! Recognises repeated batches.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use crate::event::Record;

/// How many batches are remembered. Firehose repeats a batch a few times within minutes, or never.
const REMEMBERED: usize = 256;

/// The batches whose counts this execution environment has published.
///
/// Firehose gives each record an id, and a repeated batch has the same ids. Only a hash of them is stored. The probability
/// that two of 256 batches have the same hash is below 1 in 10^14; the count of a minute would then be too low.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<u64>>);

impl Recent {
    pub(crate) fn contains(&self, batch: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&batch)
    }

    pub(crate) fn remember(&self, batch: u64) {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() == REMEMBERED {
            batches.pop_front();
        }
        batches.push_back(batch);
    }
}

/// Identifies a batch by its stream and the ids of its records.
pub(crate) fn fingerprint(delivery_stream_arn: &str, records: &[Record<'_>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    delivery_stream_arn.hash(&mut hasher);
    records.len().hash(&mut hasher);
    for record in records {
        record.record_id.get().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_batch_is_forgotten_first() {
        let recent = Recent::default();
        for batch in 0..=REMEMBERED as u64 {
            recent.remember(batch);
        }
        assert!(!recent.contains(0) && recent.contains(1) && recent.contains(REMEMBERED as u64));
    }

    #[test]
    fn a_batch_is_identified_by_its_stream_and_records() {
        let of = |stream: &str, ids: &str| {
            let text = format!(
                "[{}]",
                ids.split(',').map(|id| format!(r#"{{"recordId":"{id}"}}"#)).collect::<Vec<_>>().join(",")
            );
            fingerprint(stream, &serde_json::from_str::<Vec<Record<'_>>>(&text).unwrap())
        };
        assert_eq!(of("a", "1,2"), of("a", "1,2"));
        for other in [of("b", "1,2"), of("a", "2,1"), of("a", "1"), of("a", "12"), of("a", "1,2,3")] {
            assert_ne!(of("a", "1,2"), other);
        }
    }
}
