//! What was seen in the samples of one field, or of the items of an array.

use std::collections::BTreeSet;

use event_types::Json;

use super::samples::SampleError;
use super::text::{is_date, is_time, is_uuid};

/// The most distinct texts that are kept to detect an enum: one more than an enum may have.
const MAX_TEXTS: usize = super::MAX_ENUM + 1;

/// The values of a field in the samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Values other than null.
    pub count: usize,
    pub nulls: usize,
    /// The line of the first null.
    pub first_null: usize,
    /// The type of the values, with the line of the first.
    pub kind: Option<(Kind, usize)>,
}

/// Values of one type.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Boolean,
    Number(Numbers),
    Text(Texts),
    Array(Box<Array>),
    Object(Members),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// All are integers of 64 bits.
    pub integers: bool,
    /// None has an exponent.
    pub plain: bool,
    pub negative: bool,
    /// The most digits before the point, and after it.
    pub whole: usize,
    pub places: usize,
    /// How many have two digits after the point.
    pub two_places: usize,
    /// The line of the first integer with more than 64 bits.
    pub too_big: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    pub uuids: bool,
    pub times: bool,
    pub dates: bool,
    pub max_chars: usize,
    /// The distinct texts, up to a limit, and how often each was seen.
    pub texts: Vec<(String, usize)>,
    /// UUIDs in lower case, to detect repeated ones.
    pub all_uuids: BTreeSet<String>,
    pub repeated: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Array {
    pub items: Seen,
    pub max_items: usize,
}

/// The fields of objects, in the order in which they were first seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    pub objects: usize,
    pub fields: Vec<(String, Seen)>,
}

impl Members {
    /// Adds the members of an object.
    pub fn add(&mut self, members: &[(String, Json)], path: &str, line: usize) -> Result<(), SampleError> {
        self.objects += 1;
        for (name, value) in members {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let index = match self.fields.iter().position(|(known, _)| known == name) {
                Some(index) => index,
                None => {
                    self.fields.push((name.clone(), Seen::default()));
                    self.fields.len() - 1
                }
            };
            self.fields[index].1.add(value, &path, line)?;
        }
        Ok(())
    }
}

impl Seen {
    fn add(&mut self, value: &Json, path: &str, line: usize) -> Result<(), SampleError> {
        if *value == Json::Null {
            if self.nulls == 0 {
                self.first_null = line;
            }
            self.nulls += 1;
            return Ok(());
        }
        self.count += 1;
        let (kind, first) = self.kind.get_or_insert_with(|| (Kind::of(value), line));
        match (kind, value) {
            (Kind::Boolean, Json::Bool(_)) => {}
            (Kind::Number(numbers), Json::Number(digits)) => numbers.add(digits, line),
            (Kind::Text(texts), Json::Text(text)) => texts.add(text),
            (Kind::Array(array), Json::Array(items)) => {
                array.max_items = array.max_items.max(items.len());
                for item in items {
                    array.items.add(item, &format!("{path}[]"), line)?;
                }
            }
            (Kind::Object(object), Json::Object(members)) => object.add(members, path, line)?,
            (kind, other) => {
                let problem = format!(
                    "`{path}` is {} here and {} in line {first}: a column has one type",
                    other.kind(),
                    kind.name()
                );
                return Err(SampleError { line: Some(line), problem });
            }
        }
        Ok(())
    }
}

impl Kind {
    fn of(value: &Json) -> Self {
        match value {
            Json::Null | Json::Bool(_) => Self::Boolean,
            Json::Number(_) => Self::Number(Numbers { integers: true, plain: true, ..Numbers::default() }),
            Json::Text(_) => Self::Text(Texts { uuids: true, times: true, dates: true, ..Texts::default() }),
            Json::Array(_) => Self::Array(Box::default()),
            Json::Object(_) => Self::Object(Members::default()),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl Numbers {
    fn add(&mut self, digits: &str, line: usize) {
        let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if is_whole && digits.parse::<i64>().is_err() {
            self.too_big.get_or_insert(line);
        }
        self.integers &= is_whole;
        self.plain &= !digits.contains(['e', 'E']);
        self.negative |= digits.starts_with('-');
        let (whole, places) = digits.trim_start_matches('-').split_once('.').unwrap_or((digits, ""));
        self.whole = self.whole.max(whole.trim_start_matches('-').len());
        self.places = self.places.max(places.len());
        self.two_places += usize::from(places.len() == 2);
    }
}

impl Texts {
    fn add(&mut self, text: &str) {
        self.uuids &= is_uuid(text);
        self.times &= is_time(text);
        self.dates &= is_date(text);
        self.max_chars = self.max_chars.max(text.chars().count());
        if self.uuids {
            self.repeated |= !self.all_uuids.insert(text.to_ascii_lowercase());
        }
        match self.texts.iter().position(|(known, _)| known == text) {
            Some(index) => self.texts[index].1 += 1,
            None if self.texts.len() < MAX_TEXTS => self.texts.push((text.to_owned(), 1)),
            None => {}
        }
    }
}
