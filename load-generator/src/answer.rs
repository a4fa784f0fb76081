//! What an answer means for each event: stored, refused, or to be retried.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

/// The error code of a valid event that could not be stored. Every other code is final.
pub const NOT_STORED: &str = "NotStored";

/// Why an event was not acknowledged: the beacon's error code, `Http…`, or one of the codes below.
pub type Code = Cow<'static, str>;

/// No connection could be made: nothing was sent.
pub const CONNECT_FAILED: Code = Cow::Borrowed("ConnectFailed");
/// The connection broke before the answer was read: what the server did is not known.
pub const NO_ANSWER: Code = Cow::Borrowed("NoAnswer");
/// The answer took too long: what the server did is not known.
pub const TIMEOUT: Code = Cow::Borrowed("Timeout");
/// The server answered 200, but without a result for each event.
pub const UNREADABLE: Code = Cow::Borrowed("UnreadableAnswer");

/// The result of one attempt for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server has it.
    Acknowledged,
    /// The server will never take it.
    Refused(Code),
    /// The event is to be sent again.
    Retry(AttemptError),
}

/// A failed attempt that is to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// What happened.
    pub code: Code,
    /// The server may have stored the event anyway.
    pub maybe_stored: bool,
    /// The server asked to wait this long.
    pub retry_after: Option<Duration>,
}

impl AttemptError {
    /// An attempt that stored nothing.
    pub fn not_stored(code: Code) -> Self {
        Self { code, maybe_stored: false, retry_after: None }
    }

    /// An attempt whose result is not known.
    pub fn unknown(code: Code) -> Self {
        Self { code, maybe_stored: true, retry_after: None }
    }
}

/// The result of one attempt for a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdicts {
    /// The same for every event.
    All(Verdict),
    /// For each event, in the order of the batch.
    Each(Vec<Verdict>),
}

/// The body of a 200.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    failed: bool,
    #[serde(borrow, default)]
    error_code: Option<Cow<'a, str>>,
}

/// Judges an answer to a batch of `count` events.
///
/// | answer | verdict |
/// |---|---|
/// | 200, `failed: false` | acknowledged |
/// | 200, `failed: true`, `NotStored` | retry |
/// | 200, `failed: true`, any other code | refused |
/// | 200, not a record for each event | retry, result unknown |
/// | 429, 503 | retry, after `Retry-After` |
/// | 408, other 5xx | retry, result unknown |
/// | any other status | refused |
pub fn judge(status: StatusCode, retry_after: Option<Duration>, body: &[u8], count: usize) -> Verdicts {
    let code = || Cow::Owned(format!("Http{}", status.as_u16()));
    match status {
        StatusCode::OK => judge_records(body, count),
        // API Gateway's and Lambda's throttles, and the beacon's "nothing could be stored".
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Verdicts::All(Verdict::Retry(AttemptError { retry_after, ..AttemptError::not_stored(code()) }))
        }
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Verdicts::All(Verdict::Retry(AttemptError { retry_after, ..AttemptError::unknown(code()) }))
        }
        _ => Verdicts::All(Verdict::Refused(code())),
    }
}

fn judge_records(body: &[u8], count: usize) -> Verdicts {
    let records = match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if answer.records.len() == count => answer.records,
        _ => return Verdicts::All(Verdict::Retry(AttemptError::unknown(UNREADABLE))),
    };
    if records.iter().all(|record| !record.failed) {
        return Verdicts::All(Verdict::Acknowledged);
    }
    let verdict = |record: Record| match (record.failed, record.error_code) {
        (false, _) => Verdict::Acknowledged,
        (true, Some(code)) if code == NOT_STORED => Verdict::Retry(AttemptError::not_stored(Cow::Borrowed(NOT_STORED))),
        (true, Some(code)) => Verdict::Refused(Cow::Owned(code.into_owned())),
        (true, None) => Verdict::Refused(Cow::Borrowed("NoCode")),
    };
    Verdicts::Each(records.into_iter().map(verdict).collect())
}

/// The value of a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date that is compared with `now`, in
/// seconds of Unix time.
pub fn retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    Some(Duration::from_secs(u64::try_from(date.timestamp() - now).unwrap_or(0)))
}

/// The wait before a first retry.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// The longest wait between two attempts, unless the server asks for more.
const BACKOFF_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait that a server can ask for.
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(120);

/// How long to wait after attempt number `tries`: twice as long each time, reduced by up to a half by `jitter` (in [0, 1)), so
/// that requests that failed together are not retried together; and at least as long as the server asked.
pub fn backoff(tries: u32, jitter: f64, asked: Option<Duration>) -> Duration {
    let doubled = BACKOFF_BASE.saturating_mul(1 << (tries.saturating_sub(1)).min(16)).min(BACKOFF_LIMIT);
    let own = doubled.mul_f64(1.0 - jitter / 2.0);
    // The requested wait is spread as well, but never shortened.
    let asked = asked.map_or(Duration::ZERO, |asked| asked.min(RETRY_AFTER_LIMIT) + BACKOFF_BASE.mul_f64(jitter));
    own.max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Verdict {
        match judge(StatusCode::from_u16(status).unwrap(), None, b"", 2) {
            Verdicts::All(verdict) => verdict,
            Verdicts::Each(each) => panic!("{each:?}"),
        }
    }

    #[test]
    fn every_status_has_its_verdict() {
        for refused in [201, 301, 400, 401, 403, 404, 413, 415] {
            assert_eq!(status(refused), Verdict::Refused(format!("Http{refused}").into()));
        }
        for (again, maybe_stored) in
            [(408, true), (429, false), (500, true), (502, true), (503, false), (504, true), (599, true)]
        {
            let expected = AttemptError { code: format!("Http{again}").into(), maybe_stored, retry_after: None };
            assert_eq!(status(again), Verdict::Retry(expected));
        }
    }

    #[test]
    fn records_are_judged_one_by_one() {
        let body = br#"{"failed_count":2,"records":[{"failed":false,"id":"x"},
            {"failed":true,"error_code":"InvalidEvent","error_message":"no \"ad_id\""},
            {"failed":true,"error_code":"NotStored","error_message":"later"},{"failed":true}]}"#;
        assert_eq!(
            judge(StatusCode::OK, None, body, 4),
            Verdicts::Each(vec![
                Verdict::Acknowledged,
                Verdict::Refused("InvalidEvent".into()),
                Verdict::Retry(AttemptError::not_stored(NOT_STORED.into())),
                Verdict::Refused("NoCode".into()),
            ])
        );
    }

    #[test]
    fn a_batch_without_failures_is_acknowledged_as_a_whole() {
        let body = br#"{"failed_count":0,"records":[{"failed":false},{"failed":false}]}"#;
        assert_eq!(judge(StatusCode::OK, None, body, 2), Verdicts::All(Verdict::Acknowledged));
    }

    #[test]
    fn an_answer_that_does_not_fit_the_batch_settles_nothing() {
        for body in ["", "{}", "[]", r#"{"records":[{"failed":false}]}"#, r#"{"records":[{},{}]}"#] {
            assert_eq!(
                judge(StatusCode::OK, None, body.as_bytes(), 2),
                Verdicts::All(Verdict::Retry(AttemptError::unknown(UNREADABLE))),
                "{body}"
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:00 GMT", now), Some(Duration::from_secs(23)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        let Verdicts::All(Verdict::Retry(error)) =
            judge(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(7)), b"", 1)
        else {
            panic!("not retried")
        };
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn backoff_doubles_up_to_a_limit_and_respects_retry_after() {
        let ms = |tries| backoff(tries, 0.0, None).as_millis();
        assert_eq!([ms(1), ms(2), ms(3), ms(7), ms(8), ms(100)], [100, 200, 400, 6_400, 10_000, 10_000]);
        assert_eq!(backoff(3, 0.5, None), Duration::from_millis(300));
        assert!(backoff(1, 0.999, None) >= BACKOFF_BASE / 2);
        assert!(backoff(1, 0.0, Some(Duration::from_secs(3))) >= Duration::from_secs(3));
        assert!(backoff(1, 0.9, Some(Duration::MAX)) < RETRY_AFTER_LIMIT + BACKOFF_BASE);
    }

    #[test]
    fn retry_after_is_respected_for_every_retryable_status_with_added_jitter() {
        for again in [408, 429, 500, 502, 503] {
            let asked = Some(Duration::from_secs(7));
            let Verdicts::All(Verdict::Retry(error)) = judge(StatusCode::from_u16(again).unwrap(), asked, b"", 1)
            else {
                panic!("{again} is not retried")
            };
            assert_eq!(error.retry_after, asked, "{again}");
        }
        assert_eq!(backoff(1, 0.5, Some(Duration::from_secs(3))), Duration::from_millis(3_050));
        assert_eq!(backoff(1, 0.0, Some(Duration::MAX)), RETRY_AFTER_LIMIT);
    }
}
