//! Counts the characters of texts, and writes texts in their canonical form.

/// Writes a text as JSON: `"` and `\` after a backslash, control characters as their short escapes or as `\u00xx`, everything
/// else unchanged. The same text therefore always has the same bytes. A text that `is_plain` needs no escapes.
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
