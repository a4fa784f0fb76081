//! UUIDs, which are checked and copied as text: their values are never needed.

/// The length of a UUID in its hyphenated form.
pub(crate) const ID_LEN: usize = uuid::fmt::Hyphenated::LENGTH;

/// 1 where a hyphenated UUID has a hyphen.
const HYPHENS: [u8; ID_LEN] = {
    let mut hyphens = [0; ID_LEN];
    (hyphens[8], hyphens[13], hyphens[18], hyphens[23]) = (1, 1, 1, 1);
    hyphens
};

/// Writes a UUID in lower case and in quotes, if the text is one. Returns whether it is.
pub(crate) fn write(text: &str, out: &mut Vec<u8>) -> bool {
    let Ok(text) = <&[u8; ID_LEN]>::try_from(text.as_bytes()) else { return false };
    let mut wrong = 0;
    // The bit that is set in lower case, and in digits and hyphens too.
    let mut lower = 0x20;
    // No branch and no table, so that the compiler can compare many bytes at once.
    for (byte, hyphen) in text.iter().zip(&HYPHENS) {
        let is_digit = u8::from(byte.wrapping_sub(b'0') < 10);
        let is_letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 6);
        let is_hyphen = u8::from(*byte == b'-');
        wrong |= ((is_digit + is_letter) ^ hyphen ^ 1) | (is_hyphen ^ hyphen);
        lower &= byte;
    }
    if wrong != 0 {
        return false;
    }
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text);
    if lower == 0 {
        out[start..].make_ascii_lowercase();
    }
    out.push(b'"');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_a_hexadecimal_digit_or_a_hyphen_in_its_place() {
        let id = "0192d3c4-9A5b-7c6D-8e7f-aBCDEF334455";
        for id in [id.to_owned(), id.to_lowercase(), id.to_uppercase()] {
            let mut out = b"before".to_vec();
            assert!(write(&id, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), format!("before\"{}\"", id.to_lowercase()));
        }
        for at in 0..ID_LEN {
            for byte in 0..=127_u8 {
                let mut text = id.as_bytes().to_vec();
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                let expected = if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
                assert_eq!(write(&text, &mut Vec::new()), expected, "{text:?}");
            }
        }
        for text in ["", &id[1..], &format!("{id}0"), &id.replace('-', ""), "é192d3c4-9A5b-7c6D-8e7f-aBCDEF33445"] {
            assert!(!write(text, &mut Vec::new()), "{text}");
        }
    }
}
