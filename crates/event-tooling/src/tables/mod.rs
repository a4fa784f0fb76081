//! The tables of event types in `stacks/tables.yaml`: for each type one of raw lines, and one of the lake.

use event_types::{EventType, Value};

use crate::markers::{self, MarkerError};
use crate::template::fill;
use crate::words::{capitalised, plural};
use crate::yaml::{line_scalar, quoted, scalar};

/// The file.
pub const PATH: &str = "stacks/tables.yaml";

/// The tables of a type, with `<<…>>` as placeholders.
const TABLES: &str = include_str!("tables.yaml");

/// The most characters of a column's comment in Glue.
/// <https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-catalog-tables.html>
const MAX_COMMENT: usize = 255;

/// The new text of the file, from its present text.
///
/// # Errors
/// When the comments around a part are missing.
pub fn text(types: &[EventType], present: &str) -> Result<String, MarkerError> {
    let tables: Vec<String> = types.iter().map(tables).collect();
    let with_tables = markers::replace(present, "tables of event types", &format!("\n{}\n", tables.join("\n")))?;
    let raw: Vec<String> =
        types.iter().map(|event_type| format!("!Ref Raw{}Table", event_type.pascal_case())).collect();
    let output = format!(
        "RawTables:\n  Description: Names of the tables of raw events, comma separated.\n  Value: !Join [\",\", [{}]]\n",
        raw.join(", ")
    );
    markers::replace(&with_tables, "raw tables of event types", &output)
}

fn tables(event_type: &EventType) -> String {
    let name = &event_type.name;
    let raw = "as they came, by hour of arrival. Repeats, late and malformed lines among them.";
    let raw = format!("{} {raw}", capitalised(&plural(event_type)));
    let lake = format!("One row per {}, by the day it occurred and the day it arrived.", one(&event_type.title));
    fill(
        TABLES,
        &[
            ("Pascal", &event_type.pascal_case()),
            ("raw type", &format!("raw_{name}")),
            ("type", &scalar(name)),
            ("path", &format!("{}/{name}", event_type.group)),
            ("raw description", &line_scalar(&raw)),
            ("description", &line_scalar(&lake)),
            ("parameters", &parameters(event_type)),
            ("raw columns", &columns(event_type, true)),
            ("columns", &columns(event_type, false)),
        ],
    )
}

/// The title inside a sentence: in lower case, unless it begins with two capitals, as an abbreviation does.
fn one(title: &str) -> String {
    let mut chars = title.chars();
    match (chars.next(), chars.next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(title.chars().skip(1)).collect()
        }
        _ => title.to_owned(),
    }
}

/// The roles of the columns, as parameters of the table. `glue/lake/table.py` reads them.
fn parameters(event_type: &EventType) -> String {
    let fields = event_type.object.fields.iter();
    let uuids: Vec<String> =
        fields.filter(|field| field.value == Value::Uuid).map(|field| field.name.clone()).collect();
    let mut lines = Vec::new();
    for (key, names) in [
        ("id", vec![event_type.id.clone()]),
        ("time", vec![event_type.time.clone()]),
        ("required", event_type.required_paths()),
        ("uuid", uuids),
        ("sort", event_type.sort.clone()),
        ("erase", event_type.erase.clone()),
    ] {
        // Names with commas are plain. A single name may be a word with a meaning in YAML.
        match &names[..] {
            [] => {}
            [name] => lines.push(format!("event.{key}: {}", scalar(name))),
            names => lines.push(format!("event.{key}: {}", names.join(","))),
        }
    }
    lines.join("\n        ")
}

fn columns(event_type: &EventType, is_raw: bool) -> String {
    let lines = event_type.object.fields.iter().map(|field| {
        // Glue does not allow line breaks in a comment.
        let mut comment = field.description.split_whitespace().collect::<Vec<_>>().join(" ");
        if is_raw && field.value == Value::DateTime {
            comment.push_str(", YYYY-MM-DD HH:MM:SS.mmm");
        }
        let comment: String = comment.chars().take(MAX_COMMENT).collect();
        let kind = if is_raw { raw_type(&field.value) } else { field.value.lake_type() };
        let kind = if kind.contains(['<', ',']) { quoted(&kind) } else { kind };
        format!("- {{ Name: {}, Type: {kind}, Comment: {} }}", scalar(&field.name), scalar(&comment))
    });
    lines.collect::<Vec<_>>().join("\n          ")
}

/// The type of a column of raw lines: the lake's, except that times, dates and decimals are the text of the line.
fn raw_type(value: &Value) -> String {
    match value {
        Value::DateTime | Value::Date | Value::Decimal(_) => "string".to_owned(),
        Value::Array { items, .. } => format!("array<{}>", raw_type(items)),
        Value::Object(object) => {
            let fields = object.fields.iter().map(|field| format!("{}:{}", field.name, raw_type(&field.value)));
            format!("struct<{}>", fields.collect::<Vec<_>>().join(","))
        }
        other => other.lake_type(),
    }
}
