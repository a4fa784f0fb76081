//! Damage to an input that was right.

use fastrand::Rng;

/// What JSON and its texts are made of, and what is none of it.
pub const JSON: [&[u8]; 40] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"-",
    b"0",
    b"9",
    b"e",
    b".",
    b"null",
    b"true",
    b"1e999",
    b"1e99999",
    b"00",
    b"NaN",
    b"\\u",
    b"\\ud83e",
    b"\\udd80",
    b"\\ud83e\\udd80",
    b"\\u0000",
    b"\xff",
    b"\xf0\x9f",
    b"\xc0\xaf",
    b"\xed\xa0\xbe",
    b"\xef\xbb\xbf",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"\n",
    b"\r",
    b"\r\n",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\0",
    b" ",
];

/// Damages an input in no place, in one, or in a few.
pub fn damage(rng: &mut Rng, input: &mut Vec<u8>, pieces: &[&[u8]]) {
    for _ in 0..[0, 0, 0, 1, 1, 3][rng.usize(..6)] {
        if input.is_empty() {
            return;
        }
        let at = rng.usize(..input.len());
        match rng.u8(..8) {
            0 => input[at] = rng.u8(..),
            1 => input[at] ^= 1 << rng.u8(..8),
            2 => drop(input.drain(at..(at + rng.usize(1..20)).min(input.len()))),
            3 => input.truncate(at),
            4 | 5 => drop(input.splice(at..at, pieces[rng.usize(..pieces.len())].iter().copied())),
            _ => {
                let piece = input[at..(at + rng.usize(1..60)).min(input.len())].to_vec();
                let to = rng.usize(..=input.len());
                input.splice(to..to, piece);
            }
        }
    }
}

/// Pieces in any order.
pub fn junk(rng: &mut Rng, pieces: &[&[u8]]) -> Vec<u8> {
    (0..rng.usize(..60)).flat_map(|_| pieces[rng.usize(..pieces.len())].iter().copied()).collect()
}

/// One in so many.
pub fn one_in(rng: &mut Rng, cases: u32) -> bool {
    rng.u32(..cases) == 0
}
