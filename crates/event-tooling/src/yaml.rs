//! Scalars of YAML.

/// A text as a scalar: plain where that is safe in block and flow context, otherwise in double quotes.
pub fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// A text as a value on a line of its own, where a comma has no meaning.
pub fn line_scalar(text: &str) -> String {
    if is_plain(&text.replace(',', ".")) { text.to_owned() } else { quoted(text) }
}

/// A text in double quotes, in which YAML has JSON's escapes.
pub fn quoted(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

/// JSON with escapes for the characters that JSON allows in a text and YAML does not.
pub fn escaped(json: &str) -> String {
    let is_refused = |letter: char| {
        matches!(letter, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_refused(letter) {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Whether every YAML reader reads it as this text: it has only letters, digits and a few signs, and is not a number, a date,
/// a boolean or null.
fn is_plain(text: &str) -> bool {
    let safe = |letter: char| letter.is_alphanumeric() || " _-./()'+".contains(letter);
    let first = text.chars().next();
    first.is_some_and(char::is_alphabetic)
        && !text.ends_with(' ')
        && text.chars().all(safe)
        && !["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"]
            .contains(&text.to_lowercase().as_str())
}

/// Words in lines of at most 100 columns, each after `indent` blanks.
pub fn folded(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length <= 100 {
            lines.push(' ');
            width += 1;
        } else {
            if width > 0 {
                lines.push('\n');
            }
            lines.push_str(&" ".repeat(indent));
            width = indent;
        }
        lines.push_str(word);
        width += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_read_back_as_the_text() {
        for text in [
            "UUID of the ad",
            "",
            " a",
            "a ",
            "no",
            "Null",
            "1",
            "2026-11-30",
            "0x1f",
            "a: b",
            "a #b",
            "#a",
            "- a",
            "a, b",
            "[a]",
            "\"a\"",
            "it's",
            "日本語",
            "a\nb",
            "tab\tx",
            "e1",
            "NaN",
            "Time, YYYY-MM-DD HH:MM:SS.mmm",
            "*",
            "&a",
            "!x",
            "a\\b",
            "\u{7f}",
            "\u{2028}\u{85}\u{ffff}",
            "0b7c2e9a-3f64-4d0f-9a53-6e1b8f0c2d47",
            "5e81",
            "\u{feff}x",
            "{{x}}",
            "a|b",
            "`x`",
            "@x",
            "%x",
        ] {
            let (line, any) = (line_scalar(text), scalar(text));
            for yaml in [format!("a: {line}"), format!("a: {any}"), format!("{{ a: {any} }}")] {
                let read: serde_yaml_ng::Value = serde_yaml_ng::from_str(&yaml).unwrap();
                assert_eq!(read["a"].as_str(), Some(text), "{yaml}");
            }
        }
        assert_eq!(scalar("UUID of the ad"), "UUID of the ad");
        assert_eq!(line_scalar("By day, by hour"), "By day, by hour");
    }

    #[test]
    fn long_words_are_folded_at_100_columns() {
        let text = "word ".repeat(60);
        let folded = folded(&text, 8);
        assert!(
            folded.lines().count() == 4
                && folded.lines().all(|line| line.len() <= 100 && line.starts_with("        w"))
        );
        assert_eq!(folded.split_whitespace().count(), 60);
    }
}
