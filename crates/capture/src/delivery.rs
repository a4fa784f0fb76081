//! Stores records, with retries, and reports which are stored.

use std::future::Future;
use std::time::Duration;

use lambda_support::service::ServiceError;
use tokio::time::{Instant, sleep, timeout_at};

use crate::packing::{Packed, fit_into_call};

/// The result of one record of a call: stored, or the service's error code.
pub type PutResult = Result<(), String>;

/// A delivery stream that takes several records per call.
pub trait DeliveryStream: Send + Sync {
    /// Puts the records in one call and returns the result of each, in their order.
    fn put(&self, records: Vec<Vec<u8>>) -> impl Future<Output = Result<Vec<PutResult>, ServiceError>> + Send;
}

/// The longest wait before the first retry. It doubles with each retry.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest wait before any retry. Firehose's quotas are per second.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// The most attempts for a record. With the waits, they span about two seconds of throttling. After that, the client should
/// wait, and not a function that is billed for waiting.
const MAX_ATTEMPTS: u32 = 8;

/// Puts the records into the stream and returns which of them it stored.
///
/// Only failed records are sent again, after a random wait between zero and a bound that doubles ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>), until [`MAX_ATTEMPTS`] or the deadline.
/// A call that is cut off at the deadline counts as not stored.
pub(crate) async fn deliver(
    stream: &impl DeliveryStream,
    ndjson: &[u8],
    records: &[Packed],
    deadline: Instant,
) -> Vec<bool> {
    let mut stored = vec![false; records.len()];
    let mut pending: Vec<usize> = (0..records.len()).collect();
    let mut max_wait = FIRST_BACKOFF;
    for attempt in 1..=MAX_ATTEMPTS {
        if !put_pending(stream, ndjson, records, &mut pending, &mut stored, deadline).await || pending.is_empty() {
            break;
        }
        let wait = max_wait.mul_f64(fastrand::f64());
        if attempt == MAX_ATTEMPTS || Instant::now() + wait >= deadline {
            break;
        }
        tracing::debug!(attempt, records = pending.len(), "retrying the records that Firehose did not accept");
        sleep(wait).await;
        max_wait = (max_wait * 2).min(MAX_BACKOFF);
    }
    if !pending.is_empty() {
        tracing::warn!(records = pending.len(), "records were not stored");
    }
    stored
}

/// Makes one attempt at the pending records, in as few calls as the limits allow, and leaves the failed ones in `pending`.
/// Returns whether a retry may help.
async fn put_pending(
    stream: &impl DeliveryStream,
    ndjson: &[u8],
    records: &[Packed],
    pending: &mut Vec<usize>,
    stored: &mut [bool],
    deadline: Instant,
) -> bool {
    let mut failed = Vec::new();
    let mut rest = pending.as_slice();
    let mut may_retry = true;
    while !rest.is_empty() {
        let (call, later) = rest.split_at(fit_into_call(rest.iter().map(|&at| &records[at])).max(1));
        rest = later;
        let data = call.iter().map(|&at| ndjson[records[at].bytes.clone()].to_vec()).collect();
        match timeout_at(deadline, stream.put(data)).await {
            Ok(Ok(results)) => {
                // If there are fewer results than records, the last records have none.
                let mut results = results.into_iter();
                for &at in call {
                    match results.next() {
                        Some(Ok(())) => stored[at] = true,
                        Some(Err(code)) => {
                            tracing::debug!(code, "Firehose did not accept a record");
                            failed.push(at);
                        }
                        None => failed.push(at),
                    }
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(code = error.code, message = error.message, "a call to Firehose failed");
                may_retry &= error.retryable;
                failed.extend_from_slice(call);
            }
            Err(_) => {
                tracing::warn!("Firehose did not answer in time");
                failed.extend_from_slice(call);
            }
        }
    }
    *pending = failed;
    may_retry
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The answer to a call. `None` means that the call never returns.
    type Answer = Option<Result<Vec<PutResult>, ServiceError>>;

    /// A stream that returns scripted answers and records its calls.
    struct Scripted {
        answers: Mutex<Vec<Answer>>,
        calls: Mutex<Vec<Vec<Vec<u8>>>>,
    }

    impl Scripted {
        fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
            let mut answers: Vec<Answer> = answers.into_iter().collect();
            answers.reverse();
            Self { answers: Mutex::new(answers), calls: Mutex::default() }
        }
    }

    impl DeliveryStream for Scripted {
        async fn put(&self, records: Vec<Vec<u8>>) -> Result<Vec<PutResult>, ServiceError> {
            self.calls.lock().unwrap().push(records);
            let answer = self.answers.lock().unwrap().pop().expect("unexpected call");
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    fn failed(code: &str) -> PutResult {
        Err(code.to_owned())
    }

    fn error(retryable: bool) -> ServiceError {
        ServiceError { code: "Code".into(), message: "message".into(), retryable }
    }

    /// Delivers three records with the data `a`, `b` and `c`.
    async fn deliver_abc(stream: &Scripted, limit: Duration) -> (Vec<bool>, Vec<String>) {
        let records: Vec<Packed> = (0..3).map(|at| Packed { lines: at..at + 1, bytes: at..at + 1 }).collect();
        let stored = deliver(stream, b"abc", &records, Instant::now() + limit).await;
        let calls = stream.calls.lock().unwrap();
        let calls = calls.iter().map(|call| String::from_utf8(call.concat()).unwrap()).collect();
        (stored, calls)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn only_failed_records_are_sent_again() {
        let stream = Scripted::new([
            Some(Ok(vec![failed("ServiceUnavailableException"), Ok(()), failed("InternalFailure")])),
            Some(Ok(vec![Ok(()), failed("InternalFailure")])),
            Some(Ok(vec![Ok(())])),
        ]);
        let (stored, calls) = deliver_abc(&stream, LONG).await;
        assert_eq!(stored, [true, true, true]);
        assert_eq!(calls, ["abc", "ac", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_fails_every_attempt_is_reported_individually() {
        let first = Some(Ok(vec![Ok(()), failed("x"), Ok(())]));
        let again = std::iter::repeat_with(|| Some(Ok(vec![failed("x")]))).take(7);
        let stream = Scripted::new(std::iter::once(first).chain(again));
        let (stored, calls) = deliver_abc(&stream, LONG).await;
        assert_eq!(stored, [true, false, true]);
        assert_eq!(calls.len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_retried_and_permanent_ones_are_not() {
        let stream = Scripted::new([Some(Err(error(true))), Some(Ok(vec![Ok(()), Ok(()), Ok(())]))]);
        assert_eq!(deliver_abc(&stream, LONG).await, (vec![true; 3], vec!["abc".into(), "abc".into()]));

        let stream = Scripted::new([Some(Err(error(false)))]);
        assert_eq!(deliver_abc(&stream, LONG).await, (vec![false; 3], vec!["abc".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_answer_acknowledges_only_the_records_it_lists() {
        let stream = Scripted::new([Some(Ok(vec![Ok(())])), Some(Ok(vec![Ok(()), Ok(())]))]);
        assert_eq!(deliver_abc(&stream, LONG).await, (vec![true; 3], vec!["abc".into(), "bc".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_hangs_is_given_up_at_the_deadline() {
        let started = Instant::now();
        let stream = Scripted::new([None]);
        let (stored, calls) = deliver_abc(&stream, Duration::from_secs(3)).await;
        assert_eq!((stored, calls), (vec![false; 3], vec!["abc".into()]));
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn no_backoff_extends_past_the_deadline() {
        let started = Instant::now();
        let throttled = std::iter::repeat_with(|| Some(Err(error(true)))).take(8);
        let stream = Scripted::new(throttled);
        let (stored, _) = deliver_abc(&stream, Duration::from_millis(120)).await;
        assert_eq!(stored, [false; 3]);
        // Tokio's timers are exact to a millisecond.
        assert!(started.elapsed() <= Duration::from_millis(121));
    }

    /// A throttled stream: it records when it was called and accepts nothing.
    #[derive(Default)]
    struct Throttled(Mutex<Vec<Instant>>);

    impl DeliveryStream for Throttled {
        async fn put(&self, _: Vec<Vec<u8>>) -> Result<Vec<PutResult>, ServiceError> {
            self.0.lock().unwrap().push(Instant::now());
            Err(error(true))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn backoff_is_random_up_to_a_bound_that_doubles_to_one_second() {
        let mut longest = [Duration::ZERO; 7];
        for seed in 0..200 {
            fastrand::seed(seed);
            let stream = Throttled::default();
            deliver(&stream, b"a", &[Packed { lines: 0..1, bytes: 0..1 }], Instant::now() + LONG).await;
            let calls = stream.0.lock().unwrap();
            assert_eq!(calls.len(), 8);
            for (longest, pair) in longest.iter_mut().zip(calls.windows(2)) {
                *longest = (pair[1] - pair[0]).max(*longest);
            }
        }
        for (longest, bound) in longest.iter().zip([50, 100, 200, 400, 800, 1_000, 1_000]) {
            let bound = Duration::from_millis(bound);
            // Tokio's timers are exact to a millisecond.
            assert!((bound * 9 / 10..=bound + Duration::from_millis(1)).contains(longest), "{longest:?} of {bound:?}");
        }
    }
}
