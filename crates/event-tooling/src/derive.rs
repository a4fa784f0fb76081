//! The list of derived files, with their text.

use event_types::EventType;
use thiserror::Error;

use crate::markers::MarkerError;
use crate::{api, capture, dashboards, data_pipeline, lock, page, root, sizes, tables};

/// A derived file that can't be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct DeriveError {
    /// The file, from the root of the repository.
    pub path: String,
    /// The problem, and what to do.
    pub problem: String,
}

/// A derived file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Its path from the root of the repository.
    pub path: String,
    /// Its text; none if the file must not exist.
    pub text: Option<String>,
}

/// A file with derived parts: its new text, from the types and its present text.
type Part = fn(&[EventType], &str) -> Result<String, MarkerError>;

/// Every derived file, from the types and the present files. `read` returns a file's text, or nothing if it does not exist.
/// `removed` are types whose crates are removed.
///
/// # Errors
/// When a file that is only partly derived is missing, or has no markers for its part.
pub fn all(
    types: &[EventType],
    removed: &[String],
    read: &dyn Fn(&str) -> Result<Option<String>, DeriveError>,
) -> Result<Vec<Derived>, DeriveError> {
    let mut files = Vec::new();
    let mut push = |path: &str, text: Option<String>| files.push(Derived { path: path.to_owned(), text });
    push(lock::PATH, Some(lock::text(types)));
    push(page::PATH, Some(page::text(types)));
    push(sizes::PATH, Some(sizes::text(types)));
    let present = |path: &str| {
        let missing =
            || DeriveError { path: path.to_owned(), problem: "it is missing: restore it from Git".to_owned() };
        read(path)?.ok_or_else(missing)
    };
    let failed =
        |path: &str, error: &dyn std::error::Error| DeriveError { path: path.to_owned(), problem: error.to_string() };
    let parts: [(&str, Part); 5] = [
        (api::PATH, api::text),
        (dashboards::PATH, dashboards::text),
        (data_pipeline::PATH, data_pipeline::text),
        (tables::PATH, tables::text),
        (root::PATH, root::text),
    ];
    for (path, text) in parts {
        push(path, Some(text(types, &present(path)?).map_err(|error| failed(path, &error))?));
    }
    let packages = capture::lock(types, removed, &present(capture::LOCK)?);
    push(capture::LOCK, Some(packages.map_err(|error| failed(capture::LOCK, &error))?));
    // A crate is written only once, since a team may add to it.
    for (path, text) in types.iter().flat_map(capture::files) {
        push(&path, Some(read(&path)?.unwrap_or(text)));
    }
    Ok(files)
}
