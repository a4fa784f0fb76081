//! Numbers, from their text in the JSON. The text is valid JSON, but may be a value of another type.

/// The most digits of an exponent: the lake reads a number with more as text.
const MAX_EXPONENT_DIGITS: usize = 4;

/// The most digits of a decimal in the lake.
const MAX_DIGITS: u32 = 38;

/// An integer: digits without a point or an exponent. `-0` is 0.
pub(crate) fn integer(text: &str) -> Option<i64> {
    // Among JSON values, only integers parse: `+1` and `01` are not JSON.
    text.parse().ok()
}

/// The double nearest to a number. None when it is not finite.
pub(crate) fn double(text: &str) -> Option<f64> {
    split_exponent(text)?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A decimal in units of its last digit: with scale 2, 19.9 is 1990. None when it has more digits after the point than
/// `scale`, not counting zeros at its end, or does not fit into 38 digits.
pub(crate) fn decimal(text: &str, scale: u8) -> Option<i128> {
    short_decimal(text.as_bytes(), scale).or_else(|| any_decimal(text, scale))
}

/// The fast path for nearly every decimal: up to 18 digits, at most `scale` after the point, and no exponent.
fn short_decimal(text: &[u8], scale: u8) -> Option<i128> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'.' => point = Some(at),
            _ => return None,
        }
    }
    let after_point = point.map_or(0, |point| digits.len() - point - 1);
    let zeros = u32::from(scale).checked_sub(u32::try_from(after_point).ok()?)?;
    let value = if is_negative { -value } else { value };
    // With these powers of ten, the product has at most 37 digits.
    (zeros < 20).then(|| i128::from(value) * i128::from(10_u64.pow(zeros)))
}

fn any_decimal(text: &str, scale: u8) -> Option<i128> {
    let (number, exponent) = split_exponent(text)?;
    let (is_negative, digits) = number.strip_prefix('-').map_or((false, number), |digits| (true, digits));
    let mut value: i128 = 0;
    // Zeros since the last other digit. At the end of the number, they are not part of the value.
    let mut zeros: i64 = 0;
    let mut after_point: i64 = 0;
    let mut point = false;
    for byte in digits.bytes() {
        if byte == b'.' {
            point = true;
            continue;
        }
        after_point += i64::from(point);
        if byte == b'0' {
            zeros += 1;
        } else {
            value = shifted(value, zeros + 1)?.checked_add(i128::from(byte - b'0'))?;
            zeros = 0;
        }
    }
    // The digits up to the last one that is not zero, times a power of ten.
    let value = shifted(value, i64::from(exponent) + i64::from(scale) + zeros - after_point)?;
    Some(if is_negative { -value } else { value })
}

/// A value times a power of ten, if it has at most 38 digits.
fn shifted(value: i128, power: i64) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let shifted = value.checked_mul(10_i128.checked_pow(u32::try_from(power).ok()?)?)?;
    (shifted.ilog10() < MAX_DIGITS).then_some(shifted)
}

/// A number's text up to its exponent, and the exponent. None when the text is not a number, or the exponent is too long.
fn split_exponent(text: &str) -> Option<(&str, i32)> {
    if !matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    let Some(at) = text.bytes().position(|byte| byte | 0x20 == b'e') else { return Some((text, 0)) };
    let (number, exponent) = (&text[..at], &text[at + 1..]);
    if exponent.trim_start_matches(['+', '-']).len() > MAX_EXPONENT_DIGITS {
        return None;
    }
    Some((number, exponent.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_integer_is_digits_within_64_bits() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("7", Some(7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("100000000000000000000000000000000000000000000", None),
            ("1.0", None),
            ("1e2", None),
            ("\"1\"", None),
            ("true", None),
            ("null", None),
            ("[1]", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn a_double_is_finite_and_its_exponent_short() {
        for (text, expected) in [
            ("0.1", Some(0.1)),
            ("-1E+2", Some(-100.0)),
            ("1e308", Some(1e308)),
            ("1e-9999", Some(0.0)),
            ("1e309", None),
            ("-1e400", None),
            ("1e10000", None),
            ("0e00000", None),
            ("1e-00001", None),
            ("\"1\"", None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(double(text), expected, "{text}");
        }
    }

    #[test]
    fn a_decimal_is_exact_in_all_its_forms() {
        let nines = "9".repeat(38);
        for (text, scale, expected) in [
            ("0", 2, Some(0)),
            ("-0.00", 2, Some(0)),
            ("19.99", 2, Some(1999)),
            ("-19.9", 2, Some(-1990)),
            ("19.990", 2, Some(1999)),
            ("19.991", 2, None),
            ("1e2", 2, Some(10_000)),
            ("1E+2", 0, Some(100)),
            ("1999e-2", 2, Some(1999)),
            ("1.5e-2", 2, None),
            ("1.50e-2", 3, Some(15)),
            ("0.0000001", 7, Some(1)),
            ("1e-7", 7, Some(1)),
            ("1e-8", 7, None),
            ("9007199254740993", 0, Some(9_007_199_254_740_993)),
            ("0.1000000000000000055511151231257827", 2, None),
            (&nines, 0, Some(10_i128.pow(38) - 1)),
            (&format!("{nines}0"), 0, None),
            (&format!("{nines}.0"), 0, Some(10_i128.pow(38) - 1)),
            (&nines, 1, None),
            ("1e37", 0, Some(10_i128.pow(37))),
            ("1e38", 0, None),
            ("1e9999", 0, None),
            ("0e9999", 0, Some(0)),
            ("0e-9999", 0, Some(0)),
            ("1e-9999", 38, None),
            ("0e10000", 0, None),
            ("1e00001", 0, None),
            ("\"1\"", 0, None),
            ("true", 0, None),
            ("null", 0, None),
            ("{}", 0, None),
        ] {
            assert_eq!(decimal(text, scale), expected, "{text} with scale {scale}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_is_read_as_the_digits_that_were_written(
            digits in "[1-9][0-9]{0,37}",
            scale in 0_u8..=38,
            zeros in 0_usize..60,
            is_negative in any::<bool>(),
        ) {
            let (sign, width) = (if is_negative { "-" } else { "" }, usize::from(scale) + 1);
            let expected: i128 = format!("{sign}{digits}").parse().unwrap();
            let padded = format!("{digits:0>width$}");
            let (whole, fraction) = padded.split_at(padded.len() - usize::from(scale));
            let plain = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}{:0<zeros$}", "") };
            prop_assert_eq!(decimal(&plain, scale), Some(expected), "{}", plain);
            let scientific = format!("{sign}{}.{}0e{}", &digits[..1], &digits[1..], digits.len() as i32 - 1 - i32::from(scale));
            prop_assert_eq!(decimal(&scientific, scale), Some(expected), "{}", scientific);
            if let Some(scale) = scale.checked_sub(1) {
                let expected = (expected % 10 == 0).then_some(expected / 10);
                prop_assert_eq!(decimal(&plain, scale), expected, "{} with a digit less", plain);
            }
        }
    }

    #[test]
    fn a_decimal_with_fewer_digits_than_its_scale_ends_in_zeros() {
        for (text, scale, expected) in [
            ("7", 3, 7_000),
            ("1.5", 4, 15_000),
            ("-1.5", 4, -15_000),
            ("12.25", 6, 12_250_000),
            ("1", 19, 10_i128.pow(19)),
            ("1", 20, 10_i128.pow(20)),
            ("1.5", 25, 15 * 10_i128.pow(24)),
            ("123456789012345678", 3, 123_456_789_012_345_678_000),
        ] {
            assert_eq!(decimal(text, scale), Some(expected), "{text} with scale {scale}");
        }
    }
}
