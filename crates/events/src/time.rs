//! Times and days: the accepted forms, and the one form in which times are written.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

/// How far ahead of the server's clock an event may be dated: clocks of devices differ.
pub const MAX_AHEAD: TimeDelta = TimeDelta::minutes(15);

/// How far behind the server's clock an event may be dated: devices that were offline catch up.
pub const MAX_BEHIND: TimeDelta = TimeDelta::days(30);

/// A moment in UTC, to the millisecond, in the years 0001 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time<'t> {
    at: NaiveDateTime,
    /// The text, if its digits are those of the raw form, in the same positions. Milliseconds may be missing.
    plain: Option<&'t [u8]>,
}

/// The side of the accepted range on which an event's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// More than [`MAX_AHEAD`] ahead.
    Early,
    /// More than [`MAX_BEHIND`] behind.
    Late,
}

/// The times that an event may have, by the server's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    earliest: NaiveDateTime,
    latest: NaiveDateTime,
}

impl Range {
    pub(crate) fn around(now: DateTime<Utc>) -> Self {
        let now = now.naive_utc();
        let earliest = now.checked_sub_signed(MAX_BEHIND).unwrap_or(NaiveDateTime::MIN);
        Self { earliest, latest: now.checked_add_signed(MAX_AHEAD).unwrap_or(NaiveDateTime::MAX) }
    }
}

/// The length of the raw form, `YYYY-MM-DD HH:MM:SS.mmm`.
const RAW_LEN: usize = 23;

impl<'t> Time<'t> {
    /// Reads `YYYY-MM-DD HH:MM:SS[.fff]` (UTC) or RFC 3339 with a `T`, whose offset is applied and whose fraction is cut
    /// to milliseconds. `api.yaml` has the same rule as a pattern.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        parse_plain(text.as_bytes()).or_else(|| parse_rfc3339(text).map(|at| Self { at, plain: None })).filter(|time| {
            // An offset can move a time out of the years with four digits.
            (1..=9999).contains(&time.at.year())
        })
    }

    /// Checks that the time is in the accepted range.
    pub(crate) fn check(self, range: Range) -> Result<(), OutOfRange> {
        if self.at > range.latest {
            return Err(OutOfRange::Early);
        }
        if self.at < range.earliest {
            return Err(OutOfRange::Late);
        }
        Ok(())
    }

    /// Writes the raw form with quotes around it: `"YYYY-MM-DD HH:MM:SS.mmm"`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        if let Some(plain) = self.plain {
            out.extend_from_slice(&plain[..10]);
            out.push(b' ');
            out.extend_from_slice(&plain[11..19]);
            out.extend_from_slice(plain.get(19..RAW_LEN).unwrap_or(b".000"));
        } else {
            out.extend_from_slice(&formatted(self.at));
        }
        out.push(b'"');
    }
}

fn formatted(at: NaiveDateTime) -> [u8; RAW_LEN] {
    let mut raw = *b"0000-00-00 00:00:00.000";
    let (date, time) = (at.date(), at.time());
    put_digits(&mut raw[0..4], date.year().unsigned_abs());
    put_digits(&mut raw[5..7], date.month());
    put_digits(&mut raw[8..10], date.day());
    put_digits(&mut raw[11..13], time.hour());
    put_digits(&mut raw[14..16], time.minute());
    put_digits(&mut raw[17..19], time.second());
    put_digits(&mut raw[20..23], time.nanosecond() / 1_000_000);
    raw
}

fn put_digits(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Reads `YYYY-MM-DD HH:MM:SS[.fff]`, and the same with a `T` and a `Z`: its digits are those of the raw form.
fn parse_plain(text: &[u8]) -> Option<Time<'_>> {
    let plain = match text {
        [plain @ .., b'Z' | b'z'] if matches!(plain.get(10), Some(b'T' | b't')) => plain,
        _ if text.get(10) == Some(&b' ') => text,
        _ => return None,
    };
    let millis = match plain.len() {
        19 => 0,
        RAW_LEN if plain[19] == b'.' => digits(&plain[20..])?,
        _ => return None,
    };
    if (plain[4], plain[7], plain[13], plain[16]) != (b'-', b'-', b':', b':') {
        return None;
    }
    let year = i32::try_from(digits(&plain[0..4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, digits(&plain[5..7])?, digits(&plain[8..10])?)?;
    let (hour, minute, second) = (digits(&plain[11..13])?, digits(&plain[14..16])?, digits(&plain[17..19])?);
    let at = date.and_hms_milli_opt(hour, minute, second, millis)?;
    Some(Time { at, plain: Some(plain) })
}

/// Whether a text is a day of the calendar, `YYYY-MM-DD` in the years 0001 to 9999.
pub(crate) fn is_date(text: &str) -> bool {
    let text = text.as_bytes();
    let parse = || {
        let year = i32::try_from(digits(&text[0..4])?).ok().filter(|year| *year > 0)?;
        NaiveDate::from_ymd_opt(year, digits(&text[5..7])?, digits(&text[8..10])?)
    };
    text.len() == 10 && (text[4], text[7]) == (b'-', b'-') && parse().is_some()
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

fn parse_rfc3339(text: &str) -> Option<NaiveDateTime> {
    // Chrono also accepts a blank for the `T`, and the minus sign U+2212.
    if !text.is_ascii() || !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    // The conversion to milliseconds cuts the fraction, and turns a leap second (`:60`) into the second after it.
    DateTime::from_timestamp_millis(time.timestamp_millis()).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn raw(text: &str) -> String {
        let mut out = Vec::new();
        Time::parse(text).unwrap().write(&mut out);
        String::from_utf8(out).unwrap().trim_matches('"').to_owned()
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
    fn anything_else_is_not_a_time() {
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
            assert_eq!(Time::parse(given), None, "{given}");
        }
    }

    #[test]
    fn the_range_is_fifteen_minutes_ahead_and_thirty_days_back_inclusive() {
        for (given, expected) in [
            ("2026-11-20 12:15:00.000", Ok(())),
            ("2026-11-20 12:15:00.001", Err(OutOfRange::Early)),
            ("9999-12-31 23:59:59.999", Err(OutOfRange::Early)),
            ("2026-10-21 12:00:00.000", Ok(())),
            ("2026-10-21 11:59:59.999", Err(OutOfRange::Late)),
            ("0001-01-01 00:00:00.000", Err(OutOfRange::Late)),
        ] {
            assert_eq!(Time::parse(given).unwrap().check(Range::around(now())), expected, "{given}");
        }
    }

    #[test]
    fn years_have_four_digits_and_begin_with_1() {
        for given in ["0001-01-01 00:00:00", "9999-12-31T23:59:59.999Z", "0001-01-01T05:30:00+05:30"] {
            assert!(Time::parse(given).is_some(), "{given}");
        }
        for given in ["0000-12-31 23:59:59", "0001-01-01T05:29:59+05:30", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(Time::parse(given), None, "{given}");
        }
    }

    #[test]
    fn a_date_is_a_day_of_the_calendar() {
        for given in ["2026-11-20", "2024-02-29", "0001-01-01", "9999-12-31"] {
            assert!(is_date(given), "{given}");
        }
        for given in [
            "",
            "2026-02-29",
            "2026-11-31",
            "2026-13-01",
            "0000-01-01",
            "2026-1-01",
            "+026-01-01",
            "2026/11/20",
            "2026-11-2０",
        ] {
            assert!(!is_date(given), "{given}");
        }
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
        fn arbitrary_text_does_not_panic(text in "\\PC{0,30}") {
            let _ = (Time::parse(&text), is_date(&text));
        }
    }

    #[test]
    fn milliseconds_follow_a_point_and_nothing_else() {
        for given in ["2026-11-20 11:59:58,123", "2026-11-20 11:59:58:123", "2026-11-20T11:59:58;123Z"] {
            assert_eq!(Time::parse(given), None, "{given}");
        }
    }
}
