//! The forms of texts.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// A UUID in hyphenated form, of any version.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A time in one of the two forms that the API accepts.
pub(crate) fn is_time(text: &str) -> bool {
    let (Some(day), Some(rest)) = (text.get(..10), text.get(10..)) else { return false };
    if !is_date(day) {
        return false;
    }
    let plain = |form| NaiveDateTime::parse_from_str(text, form).is_ok();
    match rest.as_bytes().first() {
        Some(b' ') if rest.len() == 9 => plain("%Y-%m-%d %H:%M:%S"),
        Some(b' ') if rest.len() == 13 => plain("%Y-%m-%d %H:%M:%S%.3f"),
        Some(b'T' | b't') => DateTime::parse_from_rfc3339(text).is_ok(),
        _ => false,
    }
}

/// A day of the calendar, `YYYY-MM-DD`.
pub(crate) fn is_date(text: &str) -> bool {
    let has_form = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    has_form && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_classified_as_by_the_api() {
        for (text, uuid, time, date) in [
            ("0b7c2e9a-3f64-4d0f-9a53-6e1b8f0c2d47", true, false, false),
            ("0B7C2E9A-3F64-4D0F-9A53-6E1B8F0C2D47", true, false, false),
            ("0b7c2e9a3f644d0f9a536e1b8f0c2d47", false, false, false),
            ("0b7c2e9a-3f64-4d0f-9a53-6e1b8f0c2d4g", false, false, false),
            ("2026-11-21 08:15:30", false, true, false),
            ("2026-11-21 08:15:30.250", false, true, false),
            ("2026-11-21T08:15:30Z", false, true, false),
            ("2026-11-21T09:15:31.123456+01:00", false, true, false),
            ("2026-11-21T09:15:31", false, false, false),
            ("2026-02-30T09:15:31Z", false, false, false),
            ("2026-11-21 8:15:30", false, false, false),
            ("2026-11-21", false, false, true),
            ("2026-02-29", false, false, false),
            ("20261121", false, false, false),
            ("-999-01-01", false, false, false),
            ("2026-11-21é08:15:30", false, false, false),
            ("日本語日本語日", false, false, false),
            ("", false, false, false),
        ] {
            assert_eq!((is_uuid(text), is_time(text), is_date(text)), (uuid, time, date), "{text}");
        }
    }
}
