//! The parts of `template.yaml` for each type: a stack, a function with its check, outputs, and the lists that name them.

use event_types::EventType;

use crate::markers::{self, MarkerError};
use crate::template::fill;
use crate::words::plural;
use crate::yaml::scalar;

/// The file.
pub const PATH: &str = "template.yaml";

/// The parts with a block per type: the name of the part, the block, and the separator.
const BLOCKS: [(&str, &str, &str); 4] = [
    ("stacks of event types", include_str!("stack.yaml"), "\n"),
    ("functions of event types", include_str!("function.yaml"), "\n"),
    ("checks of event types", include_str!("check.yaml"), "\n"),
    ("outputs of event types", include_str!("outputs.yaml"), ""),
];

/// The new text of the file, from its present text.
///
/// # Errors
/// When the comments around a part are missing.
pub fn text(types: &[EventType], present: &str) -> Result<String, MarkerError> {
    let mut out = present.to_owned();
    for (name, block, between) in BLOCKS {
        let blocks: Vec<String> = types.iter().map(|event_type| of_type(event_type, block)).collect();
        out = markers::replace(&out, name, &blocks.join(between))?;
    }
    let names: Vec<&str> = types.iter().map(|event_type| event_type.name.as_str()).collect();
    // Several names with commas are plain in YAML. A single name may be a word with a meaning in YAML.
    let names = if let [name] = names[..] { scalar(name) } else { names.join(",") };
    out = markers::replace(&out, "names of event types", &format!("EventTypes: {names}\n"))?;
    let jobs: String =
        types.iter().map(|event_type| of_type(event_type, "- !GetAtt <<Pascal>>Events.Outputs.JobArns\n")).collect();
    markers::replace(&out, "jobs of event types", &jobs)
}

fn of_type(event_type: &EventType, block: &str) -> String {
    fill(
        block,
        &[
            ("Pascal", &event_type.pascal_case()),
            ("type", &event_type.name),
            ("key", &scalar(&event_type.name)),
            ("kebab", &event_type.kebab_case()),
            ("kebab key", &scalar(&event_type.kebab_case())),
            ("plural", &plural(event_type)),
            ("group", &scalar(&event_type.group)),
        ],
    )
}
