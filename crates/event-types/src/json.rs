//! JSON with its objects' order, and its numbers as they are written.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value. Objects have no key twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The digits as they are written: a double would round `0.1`.
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
    /// When the text is not JSON, or an object has a key twice.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
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

    /// What the value is, in words for an error.
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
