//! Whether the ETL will find an event in a raw line, by the definition of `docs/lake.md`.
//!
//! Capture functions write only events. This is for counting lines that something else put on a stream.

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::table::{EventType, Object, Value};

/// Whether a raw line is one JSON object.
#[must_use]
pub fn is_object(line: &[u8]) -> bool {
    let Some(text) = text(line) else { return false };
    // It accepts any depth, and numbers of any length.
    text.trim_ascii_start().starts_with('{')
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
        && has_whole_pairs(text)
}

/// Whether a raw line is an event of the type: an object with a valid value in every required field. Whether the event is
/// `early`, late or a repeat cannot be seen in the line.
#[must_use]
pub fn is_event(event_type: &EventType, line: &[u8]) -> bool {
    let Some(text) = text(line) else { return false };
    let required = event_type.object.required | 1 << event_type.id;
    has_required(text, Members { object: &event_type.object, required, is_event: true }) && has_whole_pairs(text)
}

/// The line without byte order marks, if it is UTF-8.
fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok().map(|text| text.trim_start_matches('\u{feff}'))
}

/// Whether each half of a surrogate pair has its other half. serde_json does not check this in values that it ignores.
fn has_whole_pairs(json: &str) -> bool {
    let mut rest = json.as_bytes();
    // Almost no line has a backslash, and this search is fast.
    if !rest.contains(&b'\\') {
        return true;
    }
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        rest = &rest[at..];
        rest = match escaped_unit(rest) {
            Some(0xd800..=0xdbff) if matches!(escaped_unit(&rest[6..]), Some(0xdc00..=0xdfff)) => &rest[12..],
            Some(0xd800..=0xdfff) => return false,
            // Another escape has two bytes, or it is `\uXXXX`, which has no other backslash.
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

/// Whether the text is an object in which each required field has a valid value.
fn has_required(json: &str, members: Members<'_>) -> bool {
    let required = members.required;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let valid = members.deserialize(&mut deserializer);
    valid.is_ok_and(|valid| valid == required) && deserializer.end().is_ok()
}

/// Reads an object. The result has the bits of the required fields with a valid value.
struct Members<'t> {
    object: &'t Object,
    required: u128,
    /// Whether it is the event itself, in which ids, times and dates must have their form.
    is_event: bool,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = u128;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u128, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = u128;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u128, A::Error> {
        let mut valid = 0;
        while let Some(index) = map.next_key_seed(Name(self.object))? {
            let field = index.map(|index| &self.object.fields[index]).filter(|field| self.required & field.bit != 0);
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            // Of several members with one name, the last one that is null or of the column's type counts.
            match check(&field.value, map.next_value::<&RawValue>()?.get(), self.is_event) {
                Check::Valid => valid |= field.bit,
                Check::Invalid => valid &= !field.bit,
                Check::WrongType => {}
            }
        }
        Ok(valid)
    }
}

/// Reads a name. The result is the index of its field.
struct Name<'t>(&'t Object);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.fields.iter().position(|field| field.name == name))
    }
}

/// Whether a value is valid for its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Valid,
    /// Null, or of the column's type but not valid.
    Invalid,
    /// Of another type, which counts as absent.
    WrongType,
}

/// Checks a value, which is JSON. `is_field`: it is a field of the event itself.
fn check(value: &Value, json: &str, is_field: bool) -> Check {
    if json == "null" {
        return Check::Invalid;
    }
    let valid_if = |is_valid: bool| if is_valid { Check::Valid } else { Check::Invalid };
    let fits_if = |fits: bool| if fits { Check::Valid } else { Check::WrongType };
    match value {
        Value::Uuid if is_field => valid_if(unquoted(json).is_some_and(|text| is_uuid(text.as_bytes()))),
        // No schema has a time or a day within an array or object.
        Value::EventTime | Value::DateTime => valid_if(unquoted(json).is_some_and(|text| is_moment(&text))),
        Value::Date => valid_if(unquoted(json).is_some_and(|text| is_day(&text))),
        // A text column accepts anything.
        Value::Uuid | Value::Text { .. } | Value::Enum(_) => Check::Valid,
        Value::Integer { .. } => fits_if(json.parse::<i64>().is_ok() && !json.starts_with('+')),
        Value::Number { .. } if !is_number(json) => Check::WrongType,
        Value::Number { .. } => valid_if(json.parse::<f64>().is_ok_and(f64::is_finite)),
        Value::Decimal { scale, min, max } => {
            let most = min.unsigned_abs().max(max.unsigned_abs());
            let precision = (most.checked_ilog10().unwrap_or(0) as usize + 1).max(usize::from(*scale));
            fits_if(is_decimal(json, precision, i64::from(*scale)))
        }
        Value::Boolean => fits_if(json == "true" || json == "false"),
        Value::Array { items, .. } => fits_if(all_fit(json, items)),
        Value::Object(object) if json.starts_with('{') => {
            valid_if(has_required(json, Members { object, required: object.required, is_event: false }))
        }
        Value::Object(_) => Check::WrongType,
    }
}

/// The text of a string, with its escapes resolved; none of any other value.
fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn is_uuid(text: &[u8]) -> bool {
    let is_valid = |(index, byte): (usize, &u8)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(is_valid)
}

/// `YYYY-MM-DD`, a day of the calendar in the years 0001 to 9999.
fn is_day(text: &str) -> bool {
    let has_form = has_form(text, b"0000-00-00");
    has_form && text.parse::<NaiveDate>().is_ok_and(|_| !text.starts_with("0000"))
}

/// `YYYY-MM-DD HH:MM:SS`, with milliseconds or without.
fn is_moment(text: &str) -> bool {
    let has_form = has_form(text, b"0000-00-00 00:00:00") || has_form(text, b"0000-00-00 00:00:00.000");
    has_form && is_day(&text[..10]) && &text[11..13] < "24" && &text[14..16] < "60" && &text[17..19] < "60"
}

/// Whether the text has digits where the form has zeros, and is the same elsewhere.
fn has_form(text: &str, form: &[u8]) -> bool {
    let same = |(byte, wanted): (u8, &u8)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == *wanted };
    text.len() == form.len() && text.bytes().zip(form).all(same)
}

/// Whether JSON is a number. With an exponent of more than four digits, the lake reads it as text.
fn is_number(json: &str) -> bool {
    let exponent = json.find(['e', 'E']).map_or("", |at| json[at + 1..].trim_start_matches(['+', '-']));
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) && exponent.len() <= 4
}

/// Whether a number has at most `precision` digits when it is rounded, half up, to `scale` digits after the point. It may also
/// be text that Java reads as a number once commas are removed. (Java also reads the digits of other scripts.)
fn is_decimal(json: &str, precision: usize, scale: i64) -> bool {
    let text = match unquoted(json) {
        Some(text) if text.contains(',') => Cow::Owned(text.replace(',', "")),
        Some(text) => text,
        None if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => Cow::Borrowed(json),
        None => return false,
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let (coefficient, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(c, e)| (c, Some(e)));
    let exponent: i64 = match exponent {
        None => 0,
        Some(written) => {
            let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
            if !(1..=4).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return false;
            }
            written.parse().unwrap_or_default()
        }
    };
    let (whole, fraction) = coefficient.split_once('.').unwrap_or((coefficient, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    // How many digits come before the one that decides about rounding. With zeros after the digits, it is more than there are.
    let fraction = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let all = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let end = all + exponent - fraction + scale;
    rounded_length(&digits, end) <= precision
}

/// How many digits an integer has when these digits are cut after `end` of them, or filled up with zeros, and rounded half up.
/// Zero has none.
fn rounded_length(digits: &[u8], end: i64) -> usize {
    let Ok(end) = usize::try_from(end) else { return 0 };
    let kept = &digits[..end.min(digits.len())];
    let Some(first) = kept.iter().position(|digit| *digit != b'0') else {
        return usize::from(digits.get(end).is_some_and(|next| *next >= b'5'));
    };
    let carries = digits.get(end).is_some_and(|next| *next >= b'5') && kept[first..].iter().all(|digit| *digit == b'9');
    end - first + usize::from(carries)
}

/// Whether JSON is an array in which each element is null or fits.
fn all_fit(json: &str, items: &Value) -> bool {
    struct Elements<'t>(&'t Value);

    impl<'de> Visitor<'de> for Elements<'_> {
        type Value = bool;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
            let mut fit = true;
            while let Some(element) = elements.next_element::<&RawValue>()? {
                fit &= check(self.0, element.get(), false) != Check::WrongType;
            }
            Ok(fit)
        }
    }

    json.starts_with('[') && serde_json::Deserializer::from_str(json).deserialize_seq(Elements(items)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_of_a_decimal_are_counted_after_rounding() {
        for (json, precision, fits) in [
            ("0", 1, true),
            ("-99.994", 4, true),
            ("99.995", 4, false),
            ("99.995", 5, true),
            ("0.005", 1, true),
            ("0.0049", 1, true),
            ("1e2", 5, true),
            ("1e2", 4, false),
            ("0e9999", 1, true),
            ("1e-9999", 1, true),
            ("\"1,234.5\"", 6, true),
            ("\"+.5\"", 2, true),
            ("\"5.\"", 3, true),
            ("\".\"", 3, false),
            ("\"\"", 3, false),
            ("\"1 2\"", 3, false),
            ("\"1e\"", 3, false),
            ("1e00001", 9, false),
            ("true", 9, false),
        ] {
            assert_eq!(is_decimal(json, precision, 2), fits, "{json} in decimal({precision},2)");
        }
    }

    #[test]
    fn an_array_fits_when_each_element_is_null_or_fits() {
        const INTEGER: Value = Value::Integer { min: i64::MIN, max: i64::MAX };
        for (json, fits) in [("[]", true), ("[1, null]", true), ("[1, \"2\"]", false), ("{}", false), ("1", false)] {
            assert_eq!(all_fit(json, &INTEGER), fits, "{json}");
        }
        const LISTS: Value = Value::Array { items: &INTEGER, min: 0, max: 9 };
        assert!(all_fit("[[1],[],null]", &LISTS) && !all_fit("[[1.5]]", &LISTS));
    }

    #[test]
    fn zeros_at_the_front_are_not_digits_and_zero_has_none() {
        for (digits, end, length) in [
            ("099", 3, 2),
            ("0042", 6, 4),
            ("004", 2, 0),
            ("005", 2, 1),
            ("0994", 3, 2),
            ("0995", 3, 3),
            ("0", 1, 0),
            ("5", -1, 0),
        ] {
            assert_eq!(rounded_length(digits.as_bytes(), end), length, "{digits} up to {end}");
        }
        assert!(is_decimal("0.99", 2, 2) && !is_decimal("0.995", 2, 2));
    }
}
