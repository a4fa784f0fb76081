//! Samples: one JSON object per line.

use std::fmt;

use event_types::Json;

/// A sample that no schema can be inferred from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleError {
    /// Its line, from 1; none if it is about all samples.
    pub line: Option<usize>,
    /// The problem, and what to do.
    pub problem: String,
}

impl std::error::Error for SampleError {}

impl fmt::Display for SampleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "line {line}: {}", self.problem),
            None => out.write_str(&self.problem),
        }
    }
}

/// A sample: its line, from 1, and its members.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub line: usize,
    pub members: Vec<(String, Json)>,
}

/// Reads samples. Blank lines are skipped.
pub(crate) fn read(text: &str) -> Result<Vec<Sample>, SampleError> {
    let mut samples = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let failed = |problem: String| SampleError { line: Some(number + 1), problem };
        // serde_json refuses values that are nested too deeply.
        let checked = serde_json::from_str::<serde_json::Value>(line).and_then(|_| Json::parse(line));
        match checked {
            Ok(Json::Object(members)) => samples.push(Sample { line: number + 1, members }),
            Ok(other) => {
                return Err(failed(format!("it is {}: samples are JSON objects, one per line", other.kind())));
            }
            Err(error) => {
                return Err(failed(format!("it is not JSON ({error}): samples are JSON objects, one per line")));
            }
        }
    }
    if samples.is_empty() {
        return Err(SampleError {
            line: None,
            problem: "there are no samples: it needs one JSON object per line".to_owned(),
        });
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_an_object_is_named() {
        for (text, expected) in [
            ("{}\n\n{\"a\":}\n", "line 3: it is not JSON (expected value at line 1 column 6)"),
            ("{}\n[1]\n", "line 2: it is an array: samples are JSON objects, one per line"),
            ("{\"a\":1,\"a\":2}", "line 1: it is not JSON (`a` occurs twice in an object"),
            ("{\"a\":1} {\"a\":1}", "line 1: it is not JSON (trailing characters"),
            ("{\n\"a\": 1\n}\n", "line 1: it is not JSON"),
            ("{\"a\":1e999}", "line 1: it is not JSON (number out of range"),
            ("", "there are no samples"),
            (" \n\n", "there are no samples"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(read(&deep).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn a_byte_order_mark_and_blank_lines_are_ignored() {
        let samples = read("\u{feff}{\"a\": 1.50}\r\n\r\n{}").unwrap();
        assert_eq!(samples[0].members, [("a".to_owned(), Json::Number("1.50".to_owned()))]);
        assert_eq!(samples[1].line, 3);
    }
}
