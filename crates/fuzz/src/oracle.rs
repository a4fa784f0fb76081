//! What a line is, by `docs/lake.md`: a reader of JSON that keeps nothing, written for this alone.

/// Whether a raw line is one JSON object: UTF-8, RFC 8259, no half of a surrogate pair, and any byte order marks in front.
pub fn is_object(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let text = text.trim_start_matches('\u{feff}').as_bytes();
    let start = blanks(text);
    text.get(start) == Some(&b'{') && is_json(text)
}

/// Whether a text is one JSON value, at any depth.
pub fn is_json(text: &[u8]) -> bool {
    is_value(text, Halves::Refused)
}

/// The same by the grammar alone, which any escape is good for.
pub fn is_grammatical(text: &[u8]) -> bool {
    is_value(text, Halves::Taken)
}

/// What halves of surrogate pairs are.
#[derive(Clone, Copy, PartialEq)]
enum Halves {
    Taken,
    Refused,
}

fn is_value(text: &[u8], halves: Halves) -> bool {
    let mut open = Vec::new();
    let mut at = blanks(text);
    loop {
        // A value is expected.
        at = match text.get(at) {
            Some(b'{') => {
                let inside = at + 1 + blanks(&text[at + 1..]);
                if text.get(inside) == Some(&b'}') {
                    inside + 1
                } else {
                    open.push(b'}');
                    let Some(next) = name(text, inside, halves) else { return false };
                    at = next;
                    continue;
                }
            }
            Some(b'[') => {
                let inside = at + 1 + blanks(&text[at + 1..]);
                if text.get(inside) == Some(&b']') {
                    inside + 1
                } else {
                    open.push(b']');
                    at = inside;
                    continue;
                }
            }
            Some(b'"') => match string(text, at, halves) {
                Some(end) => end,
                None => return false,
            },
            _ => match scalar(text, at) {
                Some(end) => end,
                None => return false,
            },
        };
        // A value has ended: what it is in goes on, or ends too.
        loop {
            at += blanks(&text[at..]);
            let Some(&close) = open.last() else { return at == text.len() };
            match text.get(at) {
                Some(b',') => {
                    at += 1 + blanks(&text[at + 1..]);
                    if close == b'}' {
                        let Some(next) = name(text, at, halves) else { return false };
                        at = next;
                    }
                    break;
                }
                Some(found) if *found == close => {
                    open.pop();
                    at += 1;
                }
                _ => return false,
            }
        }
    }
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| b" \t\r\n".contains(byte)).count()
}

/// Where the value of a member begins whose name begins here.
fn name(text: &[u8], at: usize, halves: Halves) -> Option<usize> {
    let end = string(text, at, halves)?;
    let colon = end + blanks(&text[end..]);
    (text.get(colon) == Some(&b':')).then(|| colon + 1 + blanks(&text[colon + 1..]))
}

/// Where a string ends that begins here.
fn string(text: &[u8], at: usize, halves: Halves) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if text.get(at + 1) == Some(&b'u') => match unit(text, at)? {
                _ if halves == Halves::Taken => at + 6,
                0xd800..=0xdbff => (text.get(at + 6..at + 8) == Some(b"\\u")
                    && (0xdc00..=0xdfff).contains(&unit(text, at + 6)?))
                .then_some(at + 12)?,
                0xdc00..=0xdfff => return None,
                _ => at + 6,
            },
            b'\\' => text.get(at + 1).filter(|byte| b"\"\\/bfnrt".contains(byte)).map(|_| at + 2)?,
            ..b' ' => return None,
            _ => at + 1,
        };
    }
}

/// The code unit of the escape that begins here.
fn unit(text: &[u8], at: usize) -> Option<u32> {
    text.get(at + 2..at + 6)?.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

/// Where a number or a word ends that begins here.
fn scalar(text: &[u8], at: usize) -> Option<usize> {
    for word in [&b"true"[..], b"false", b"null"] {
        if text[at..].starts_with(word) {
            return Some(at + word.len());
        }
    }
    let digits = |at: usize| at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = at + usize::from(text.get(at) == Some(&b'-'));
    let mut end = digits(start);
    if end == start || end > start + 1 && text[start] == b'0' {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return None;
        }
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = digits(exponent.min(text.len()));
        if end == exponent {
            return None;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_json_is_accepted_and_nothing_else() {
        for text in [
            "{}",
            " [ ] ",
            "[1,-0.5e+3,0E0]",
            "{\"a\":{\"b\":[null,true,false]},\"a\":\"\\u00e9\\ud83e\\udd80\"}",
            "\"\\\"\"",
            "7",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "{",
            "{]",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{,}",
            "01",
            "1.",
            ".5",
            "1e",
            "+1",
            "NaN",
            "\"\\x\"",
            "\"\\u00g0\"",
            "\"\t\"",
            "\"\\ud83e\"",
            "\"\\udd80\"",
            "\"\\ud83e\\u0041\"",
            "{} {}",
            "[1 2]",
            "\u{a0}1",
            "1\u{c}",
            "tru",
            "\"",
            "-",
            "1e+",
        ] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        assert!(is_json(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes()));
        assert!(is_object("\u{feff}\u{feff} {}\r".as_bytes()) && !is_object(b"[]") && !is_object(b" \xef\xbb\xbf{}"));
    }
}
