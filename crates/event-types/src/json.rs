//! JSON that keeps the order of members and the text of numbers.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested, since they are read recursively. serde_json's own values have the same limit.
const MAX_LEVELS: usize = 128;

/// A JSON value. Objects have no key twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The number as written: a double would round `0.1`.
    Number(String),
    /// A string, without its escapes.
    Text(String),
    /// Values in their order.
    Array(Vec<Json>),
    /// Members in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a document.
    ///
    /// # Errors
    /// When the text is not JSON, is nested more than 128 levels deep, or an object has a key twice.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        if is_too_deep(text) {
            return Err(serde::de::Error::custom(format_args!("it is nested more than {MAX_LEVELS} levels deep")));
        }
        serde_json::from_str(text)
    }

    /// The value as JSON without blanks.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Array(items) => format!("[{}]", items.iter().map(Self::to_text).collect::<Vec<_>>().join(",")),
            Self::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_str()), value.to_text()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// The type of the value, for error messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Whether brackets outside strings are nested too deeply.
fn is_too_deep(text: &str) -> bool {
    let (mut levels, mut is_in_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_string,
            b'"' => is_in_string = !is_in_string,
            b'[' | b'{' if !is_in_string => levels += 1,
            b']' | b'}' if !is_in_string => levels = levels.saturating_sub(1),
            _ => {}
        }
        if levels > MAX_LEVELS {
            return true;
        }
    }
    false
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        let mut inner = serde_json::Deserializer::from_str(raw.get());
        match raw.get().as_bytes().first() {
            Some(b'{') => inner.deserialize_map(Members).map(Self::Object),
            Some(b'[') => inner.deserialize_seq(Items).map(Self::Array),
            Some(b'"') => String::deserialize(&mut inner).map(Self::Text),
            Some(b't' | b'f') => bool::deserialize(&mut inner).map(Self::Bool),
            Some(b'n') => Ok(Self::Null),
            _ => Ok(Self::Number(raw.get().to_owned())),
        }
        .map_err(serde::de::Error::custom)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Json)>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(serde::de::Error::custom(format_args!("`{name}` occurs twice in an object")));
            }
            members.push((name, value));
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Json>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        assert_eq!(Json::parse(&nested(MAX_LEVELS)).unwrap().to_text(), nested(MAX_LEVELS));
        for text in [nested(MAX_LEVELS + 1), nested(1_000_000), "[{\"a\":".repeat(100_000)] {
            let error = Json::parse(&text).unwrap_err().to_string();
            assert_eq!(error, "it is nested more than 128 levels deep");
        }
        // Brackets in strings do not count.
        let text = format!("\"\\\"{}\"", "[".repeat(200));
        assert!(matches!(Json::parse(&text), Ok(Json::Text(_))));
    }
}
