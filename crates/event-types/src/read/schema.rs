//! Access to the members of a schema, with errors that name their path.

use super::Problem;
use crate::json::Json;

/// An object of a schema, with its path for errors.
pub(super) struct Schema<'a> {
    members: &'a [(String, Json)],
    path: String,
}

impl<'a> Schema<'a> {
    pub(super) fn of(json: &'a Json, path: &str) -> Result<Self, Problem> {
        match json {
            Json::Object(members) => Ok(Self { members, path: path.to_owned() }),
            other => Err((path.to_owned(), format!("a schema is an object, not {}", other.kind()))),
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn problem(&self, key: &str, problem: String) -> Problem {
        (self.path_of(key), problem)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Json> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), Problem> {
        match self.members.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(self.problem(name, format!("it is not allowed here; allowed are {}", allowed.join(", "))))
            }
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, Problem> {
        match self.get(key) {
            Some(Json::Text(text)) => Ok(text),
            Some(other) => Err(self.problem(key, format!("it must be a string, not {}", other.kind()))),
            None => Err(self.problem(key, "it is missing".to_owned())),
        }
    }

    pub(super) fn description(&self, key: &str) -> Result<String, Problem> {
        let text = self.text(key)?.trim();
        if text.is_empty() {
            return Err(self.problem(key, "it is empty: say what it means, for those who read the lake".to_owned()));
        }
        Ok(text.to_owned())
    }

    /// An optional text; blank counts as absent.
    pub(super) fn words(&self, key: &str) -> Result<Option<String>, Problem> {
        let text = self.get(key).map(|_| self.text(key)).transpose()?;
        Ok(text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// An optional day, `YYYY-MM-DD`.
    pub(super) fn day(&self, key: &str) -> Result<Option<String>, Problem> {
        let Some(text) = self.get(key).map(|_| self.text(key)).transpose()? else { return Ok(None) };
        let is_day = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
            && ("01"..="12").contains(&&text[5..7])
            && ("01"..="31").contains(&&text[8..]);
        if is_day {
            Ok(Some(text.to_owned()))
        } else {
            Err(self.problem(key, "it must be a day, YYYY-MM-DD".to_owned()))
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Problem> {
        let not_texts = || self.problem(key, "it must be an array of different strings".to_owned());
        let Some(Json::Array(items)) = self.get(key) else { return Err(not_texts()) };
        let mut texts: Vec<String> = Vec::new();
        for item in items {
            match item {
                Json::Text(text) if !texts.contains(text) => texts.push(text.clone()),
                _ => return Err(not_texts()),
            }
        }
        Ok(texts)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Number(digits)) => Ok(Some(digits)),
            Some(other) => Err(self.problem(key, format!("it must be a number, not {}", other.kind()))),
        }
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, Problem> {
        self.number(key)?
            .map(|digits| digits.parse().map_err(|_| self.problem(key, "it must be an integer of 64 bits".to_owned())))
            .transpose()
    }

    pub(super) fn double(&self, key: &str) -> Result<Option<f64>, Problem> {
        let finite = |digits: &str| digits.parse::<f64>().ok().filter(|value| value.is_finite());
        self.number(key)?
            .map(|digits| finite(digits).ok_or_else(|| self.problem(key, "it must be a finite number".to_owned())))
            .transpose()
    }

    /// A minimum count, 0 when absent, and the maximum, which is required: values in a stream must be bounded.
    pub(super) fn bounds(&self, least: &str, greatest: &str) -> Result<(u32, u32), Problem> {
        let count = |key: &str| -> Result<Option<u32>, Problem> {
            self.number(key)?
                .map(|digits| digits.parse().map_err(|_| self.problem(key, "it must be a count".to_owned())))
                .transpose()
        };
        let max = count(greatest)?.filter(|max| *max > 0).ok_or_else(|| {
            self.problem(greatest, "it is missing or 0: say how many there may be at most".to_owned())
        })?;
        let min = count(least)?.unwrap_or(0);
        if min > max {
            return Err(self.problem(least, format!("it is greater than {greatest}")));
        }
        Ok((min, max))
    }
}
