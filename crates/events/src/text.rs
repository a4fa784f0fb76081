//! Texts, counted, and written in one form only.

/// Writes a text as JSON: `"` and `\` with a backslash before them, control characters as their short escapes or as
/// `\u00xx`, everything else as it is. So the same text always has the same bytes. A text that `is_plain` has nothing
/// that needs an escape.
pub(crate) fn write(text: &str, is_plain: bool, out: &mut Vec<u8>) {
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a text to a vector cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Whether a text has from `min` to `max` characters.
pub(crate) fn has_chars(text: &str, min: u32, max: u32) -> bool {
    let (min, max) = (min as usize, max as usize);
    // A character has one to four bytes.
    if text.len() <= max && text.len() >= min.saturating_mul(4) {
        return true;
    }
    (min..=max).contains(&text.chars().count())
}
