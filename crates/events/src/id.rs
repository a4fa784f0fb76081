//! UUIDs, which are copied as they are: nobody needs the numbers that they write.

use std::ops::Range;

/// The length of a UUID in its hyphenated form.
pub(crate) const ID_LEN: usize = uuid::fmt::Hyphenated::LENGTH;

/// Which bytes may stand in a hyphenated UUID, and where: a bit for digits, one for hyphens.
const DIGIT: u8 = 1;
const HYPHEN: u8 = 2;
const BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < bytes.len() {
        bytes[byte] = match byte as u8 {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => DIGIT,
            b'-' => HYPHEN,
            _ => 0,
        };
        byte += 1;
    }
    bytes
};

/// Whether a text is a hyphenated UUID.
pub(crate) fn is_id(text: &str) -> bool {
    let Ok(text) = <&[u8; ID_LEN]>::try_from(text.as_bytes()) else { return false };
    let all = |range: Range<usize>, kind: u8| {
        text[range].iter().fold(kind, |common, byte| common & BYTES[usize::from(*byte)]) == kind
    };
    // Without an early end: what is wrong is rare, and branches are expensive.
    all(0..8, DIGIT)
        & all(8..9, HYPHEN)
        & all(9..13, DIGIT)
        & all(13..14, HYPHEN)
        & all(14..18, DIGIT)
        & all(18..19, HYPHEN)
        & all(19..23, DIGIT)
        & all(23..24, HYPHEN)
        & all(24..ID_LEN, DIGIT)
}

/// Writes a UUID in lower case.
pub(crate) fn write(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    out[start..].make_ascii_lowercase();
    out.push(b'"');
}
