//! When an event occurred: two forms in, one form out.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

use crate::error::EventError;

/// How far ahead of the server's clock an event may be dated: clocks of devices differ.
pub const MAX_AHEAD: TimeDelta = TimeDelta::minutes(15);

/// How far behind the server's clock an event may be dated: devices that were offline catch up.
pub const MAX_BEHIND: TimeDelta = TimeDelta::days(30);

/// An event's time in UTC, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OccurredAt(NaiveDateTime);

/// The length of the raw form, `YYYY-MM-DD HH:MM:SS.mmm`.
const RAW_LEN: usize = 23;

impl OccurredAt {
    /// Reads `YYYY-MM-DD HH:MM:SS[.fff]` (UTC) or RFC 3339 with a `T`, whose offset is applied and whose fraction is cut
    /// to milliseconds, and holds the time against the server's clock. `api.yaml` has the same rule as a pattern.
    ///
    /// # Errors
    /// `InvalidTime` when it is neither form, `TooEarly` and `TooLate` when it is out of range.
    pub fn parse(text: &str, now: DateTime<Utc>) -> Result<Self, EventError> {
        let parsed =
            parse_plain(text.as_bytes()).or_else(|| parse_rfc3339(text)).ok_or_else(EventError::invalid_time)?;
        let ahead = parsed.signed_duration_since(now.naive_utc());
        if ahead > MAX_AHEAD {
            return Err(EventError::too_early());
        }
        if ahead < -MAX_BEHIND {
            return Err(EventError::too_late());
        }
        Ok(Self(parsed))
    }

    /// The raw form: `YYYY-MM-DD HH:MM:SS.mmm`, 23 ASCII bytes.
    #[must_use]
    pub fn to_raw(self) -> [u8; RAW_LEN] {
        let mut out = *b"0000-00-00 00:00:00.000";
        let (date, time) = (self.0.date(), self.0.time());
        // Range-checked against a clock of this age: the year has four digits.
        put_digits(&mut out[0..4], date.year().unsigned_abs());
        put_digits(&mut out[5..7], date.month());
        put_digits(&mut out[8..10], date.day());
        put_digits(&mut out[11..13], time.hour());
        put_digits(&mut out[14..16], time.minute());
        put_digits(&mut out[17..19], time.second());
        put_digits(&mut out[20..23], time.nanosecond() / 1_000_000);
        out
    }
}

fn put_digits(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn parse_plain(text: &[u8]) -> Option<NaiveDateTime> {
    let millis = match text.len() {
        19 => 0,
        RAW_LEN if text[19] == b'.' => digits(&text[20..23])?,
        _ => return None,
    };
    let separators = (text[4], text[7], text[10], text[13], text[16]);
    if separators != (b'-', b'-', b' ', b':', b':') {
        return None;
    }
    let year = i32::try_from(digits(&text[0..4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, digits(&text[5..7])?, digits(&text[8..10])?)?;
    date.and_hms_milli_opt(digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?, millis)
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

fn parse_rfc3339(text: &str) -> Option<NaiveDateTime> {
    // Chrono also takes a blank for the `T`, and the minus sign U+2212.
    if !text.is_ascii() || !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    // By way of milliseconds: it cuts the fraction, and a leap second (`:60`) becomes the second after it.
    DateTime::from_timestamp_millis(time.timestamp_millis()).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventErrorCode::{InvalidTime, TooEarly, TooLate};
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn raw(text: &str) -> String {
        String::from_utf8(OccurredAt::parse(text, now()).unwrap().to_raw().to_vec()).unwrap()
    }

    #[test]
    fn both_forms_are_written_in_the_raw_form() {
        for (given, expected) in [
            ("2026-11-20 11:59:58", "2026-11-20 11:59:58.000"),
            ("2026-11-20 11:59:58.007", "2026-11-20 11:59:58.007"),
            ("2026-11-20T11:59:58Z", "2026-11-20 11:59:58.000"),
            ("2026-11-20t11:59:58.1z", "2026-11-20 11:59:58.100"),
            ("2026-11-20T11:59:58.123999Z", "2026-11-20 11:59:58.123"),
            ("2026-11-20T12:59:58+01:00", "2026-11-20 11:59:58.000"),
            ("2026-11-01T00:30:00+05:30", "2026-10-31 19:00:00.000"),
            ("2026-11-19T23:59:60Z", "2026-11-20 00:00:00.000"),
        ] {
            assert_eq!(raw(given), expected, "{given}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for given in [
            "",
            "now",
            "1763640000",
            "2026-11-20",
            "2026-11-20 11:59",
            "2026-11-20 11:59:58.1",
            "2026-11-20 11:59:58.1234",
            "2026-11-20 11:59:60",
            "2026-11-20 24:00:00",
            "2026-02-29 00:00:00",
            "2026-13-01 00:00:00",
            "2026-11-20 11:59:58 ",
            " 2026-11-20 11:59:58",
            "2026/11/20 11:59:58",
            "2026-11-20T11:59:58",
            "2026-11-20 11:59:5８",
            "+026-11-20 11:59:58",
            "2026-11-20 11:59:58Z",
            "2026-11-20 11:59:58.25+00:00",
            "2026-11-20_11:59:58Z",
            "2026-11-20T11:59:58\u{2212}01:00",
            "2026-11-20T11:59:58+0100",
            "2026-11-20T11:59:58+01",
            "2026-11-20T11:59:58 +01:00",
            "2026-11-20T11:59:58.Z",
            "2026-11-20T11:59:58,5Z",
            "2026-11-20T11:59Z",
            "2026-11-20T11:59:58Z ",
            "02026-11-20T11:59:58Z",
        ] {
            assert_eq!(OccurredAt::parse(given, now()).unwrap_err().code(), InvalidTime, "{given}");
        }
    }

    #[test]
    fn the_range_is_fifteen_minutes_ahead_and_thirty_days_back_inclusive() {
        assert_eq!(raw("2026-11-20 12:15:00.000"), "2026-11-20 12:15:00.000");
        assert_eq!(OccurredAt::parse("2026-11-20 12:15:00.001", now()).unwrap_err().code(), TooEarly);
        assert_eq!(raw("2026-10-21 12:00:00.000"), "2026-10-21 12:00:00.000");
        assert_eq!(OccurredAt::parse("2026-10-21 11:59:59.999", now()).unwrap_err().code(), TooLate);
    }

    proptest! {
        #[test]
        fn the_raw_form_of_any_time_in_range_reads_back_as_itself(back_ms in -900_000_i64..=2_592_000_000) {
            let time = now() - TimeDelta::milliseconds(back_ms);
            let expected = time.format("%Y-%m-%d %H:%M:%S%.3f").to_string();
            prop_assert_eq!(&raw(&expected), &expected);
            prop_assert_eq!(&raw(&time.to_rfc3339()), &expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            let _ = OccurredAt::parse(&text, now());
        }
    }
}
