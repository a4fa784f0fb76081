//! Texts, from JSON and back to it in one form only.

use std::borrow::Cow;

/// A JSON value that should be a text, and what it is.
pub(crate) enum Text<'de> {
    /// A text, with its escapes undone.
    Good(Cow<'de, str>),
    /// A text of JSON that is none of Unicode: half a surrogate pair is in it.
    HalfPair,
    /// Another value.
    Other,
}

impl<'de> Text<'de> {
    /// Reads a value that has passed the JSON reader.
    pub(crate) fn read(raw: &'de str) -> Self {
        let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return Self::Other };
        if !inner.contains('\\') {
            return Self::Good(Cow::Borrowed(inner));
        }
        serde_json::from_str(raw).map_or(Self::HalfPair, |text| Self::Good(Cow::Owned(text)))
    }
}

/// Writes a text as JSON: `"` and `\` with a backslash before them, control characters as their short escapes or as
/// `\u00xx`, everything else as it is. So the same text always has the same bytes.
pub(crate) fn write(text: Cow<'_, str>, out: &mut Vec<u8>) {
    match text {
        // Without escapes in the body, it has nothing that needs one.
        Cow::Borrowed(text) => {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        Cow::Owned(text) => {
            // Writing a text to a vector cannot fail.
            let _ = serde_json::to_writer(out, &text);
        }
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
