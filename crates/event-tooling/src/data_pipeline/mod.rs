//! The activity of each type in `stacks/data-pipeline.yaml`, which starts its ETL job.

use event_types::EventType;

use crate::markers::{self, MarkerError};
use crate::template::fill;

/// The file.
pub const PATH: &str = "stacks/data-pipeline.yaml";

/// The activity of a type. Its job is named as `stacks/event.yaml` names it.
const ACTIVITY: &str = include_str!("activity.yaml");

/// A field of an activity that waits for all types.
const DEPENDENCY: &str = "- { Key: dependsOn, RefValue: <<Pascal>>Etl }\n";

/// The new text of the file, from its present text.
///
/// # Errors
/// When the comments around a part are missing.
pub fn text(types: &[EventType], present: &str) -> Result<String, MarkerError> {
    let of_types = |template: &str| -> String {
        let fill = |event_type: &EventType| {
            fill(template, &[("Pascal", &event_type.pascal_case()), ("kebab", &event_type.kebab_case())])
        };
        types.iter().map(fill).collect()
    };
    let with_activities = markers::replace(present, "activities of event types", &of_types(ACTIVITY))?;
    markers::replace(&with_activities, "dependencies on event types", &of_types(DEPENDENCY))
}
