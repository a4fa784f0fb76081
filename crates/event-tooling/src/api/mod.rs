//! The operations and models of `api.yaml`.

use event_types::{EventType, Field, Json, Object, Value};

use crate::example::{self, decimal_text};
use crate::markers::{self, MarkerError};
use crate::schema_text::spaced;
use crate::template::fill;
use crate::words::plural;
use crate::yaml::{escaped, folded, line_scalar, quoted, scalar};

/// The file.
pub const PATH: &str = "api.yaml";

/// The operations of a type, with `<<…>>` as placeholders. API Gateway does not support references to responses.
const OPERATIONS: &str = include_str!("path.yaml");

const BATCH: &str = "\
<<Pascal>>Batch:
  type: object
  additionalProperties: false
  required: [<<type>>]
  properties:
    <<type>>:
      type: array
      minItems: 1
      maxItems: 500
      items:
        $ref: \"#/components/schemas/<<Pascal>>Event\"
";

/// The new text of the file, from its present text.
///
/// # Errors
/// When the comments around a part are missing.
pub fn text(types: &[EventType], present: &str) -> Result<String, MarkerError> {
    let paths: Vec<String> = types.iter().map(operations).collect();
    let with_paths = markers::replace(present, "paths of event types", &format!("{}\n", paths.join("\n")))?;
    let models: Vec<String> = types.iter().map(models).collect();
    markers::replace(&with_paths, "models of event types", &models.concat())
}

fn operations(event_type: &EventType) -> String {
    let beacon = format!("{{\"{}\":[{}]}}", event_type.name, example::event(event_type, false));
    let description = format!(
        "{} Accepts 1 to 500 {}. Each event is validated and stored by itself: an invalid one fails alone, with 200 for the \
         batch, and the answer has the result of each in the order they were sent. An event fails if it does not match its \
         schema, or if {} is over 15 minutes ahead or over 30 days back. Send again only events that failed with \
         NotStored, and with the same ids: repeats of an id count once. A body sent as text/plain is read as JSON too; \
         navigator.sendBeacon can send it without a preflight. A body may be compressed once with Content-Encoding: gzip; \
         the limit of 1 MiB then applies to the decompressed body too.",
        sentence(&event_type.description),
        plural(event_type),
        event_type.time
    );
    let examples = [example_of(event_type, true), example_of(event_type, false)].concat();
    fill(
        OPERATIONS,
        &[
            ("description", &folded(&description, 6)),
            ("examples", examples.trim_end()),
            ("beacon", &single_quoted(&beacon)),
            ("plural", &plural(event_type)),
            ("type", &event_type.name),
            ("key", &scalar(&event_type.name)),
            ("time", &event_type.time),
            ("Pascal", &event_type.pascal_case()),
        ],
    )
}

/// An example event, as an item of a list.
fn example_of(event_type: &EventType, with_id: bool) -> String {
    let mut lines = String::new();
    for (name, value) in example::members(event_type, with_id) {
        let bullet = if lines.is_empty() { "- " } else { "  " };
        lines.push_str(&format!("{}{bullet}{}: {}\n", " ".repeat(18), scalar(&name), value_of(&value)));
    }
    lines
}

/// A JSON value as YAML, of which JSON is a part. Texts are plain where that is safe.
fn value_of(json: &str) -> String {
    match Json::parse(json) {
        Ok(Json::Text(text)) => scalar(&text),
        Ok(parsed) => escaped(&spaced(&parsed)),
        Err(_) => quoted(json),
    }
}

/// JSON in single quotes, in which YAML escapes only the quote.
fn single_quoted(json: &str) -> String {
    format!("'{}'", escaped(json).replace('\'', "''"))
}

/// The text with a full stop at its end.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// The text with the first day for which it holds.
fn since(text: &str, day: Option<&str>) -> String {
    day.map_or_else(|| text.to_owned(), |day| format!("{} (since {day})", text.trim_end_matches('.')))
}

fn models(event_type: &EventType) -> String {
    let pascal = event_type.pascal_case();
    let mut out = format!("{pascal}Event:\n");
    let meaning = since(&event_type.description, event_type.since.as_deref());
    out.push_str(&format!("  description: {}\n", line_scalar(&meaning)));
    object(&event_type.object, 2, Some(&event_type.time), &mut out);
    out.push_str(&fill(BATCH, &[("Pascal", &pascal), ("type", &scalar(&event_type.name))]));
    out
}

fn object(object: &Object, indent: usize, time: Option<&str>, out: &mut String) {
    let blanks = " ".repeat(indent);
    let required: Vec<String> =
        object.fields.iter().filter(|field| field.required).map(|field| scalar(&field.name)).collect();
    out.push_str(&format!("{blanks}type: object\n{blanks}additionalProperties: false\n"));
    // Draft 4 allows no empty list.
    if !required.is_empty() {
        out.push_str(&format!("{blanks}required: [{}]\n", required.join(", ")));
    }
    out.push_str(&format!("{blanks}properties:\n"));
    for field in &object.fields {
        out.push_str(&format!("{blanks}  {}:\n", scalar(&field.name)));
        property(field, indent + 4, time, out);
    }
}

fn property(field: &Field, indent: usize, time: Option<&str>, out: &mut String) {
    let blanks = " ".repeat(indent);
    let meaning = since(&field.description, field.since.as_deref());
    out.push_str(&format!("{blanks}description: {}\n", line_scalar(&meaning)));
    let reference = match field.value {
        Value::Uuid => Some("Id"),
        Value::DateTime if time == Some(field.name.as_str()) => Some("OccurredAt"),
        Value::DateTime => Some("Time"),
        _ => None,
    };
    refer_or(reference, &field.value, indent, out);
}

/// A reference to a model if there is one, otherwise the schema of the value. It is in `allOf`, since a description next to a
/// plain `$ref` is ignored.
fn refer_or(model: Option<&str>, of: &Value, indent: usize, out: &mut String) {
    let blanks = " ".repeat(indent);
    match model {
        Some(model) => {
            out.push_str(&format!("{blanks}allOf:\n{blanks}  - $ref: \"#/components/schemas/{model}\"\n"));
        }
        None => value(of, indent, out),
    }
}

fn value(value_: &Value, indent: usize, out: &mut String) {
    let blanks = " ".repeat(indent);
    let mut line = |key: &str, text: &str| out.push_str(&format!("{blanks}{key}: {text}\n"));
    match value_ {
        Value::Uuid => line("$ref", "\"#/components/schemas/Id\""),
        Value::DateTime => line("$ref", "\"#/components/schemas/Time\""),
        Value::Date => {
            line("type", "string");
            line("format", "date");
            line("pattern", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$");
        }
        Value::Text { min_chars, max_chars } => {
            line("type", "string");
            if *min_chars > 0 {
                line("minLength", &min_chars.to_string());
            }
            line("maxLength", &max_chars.to_string());
        }
        Value::Enum(texts) => {
            line("type", "string");
            line("enum", &format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")));
        }
        Value::Integer { min, max } => {
            line("type", "integer");
            line("minimum", &min.to_string());
            line("maximum", &max.to_string());
        }
        Value::Number { min, max } => {
            line("type", "number");
            for (key, limit) in [("minimum", min), ("maximum", max)] {
                if let Some(limit) = limit {
                    line(key, &limit.to_string());
                }
            }
        }
        Value::Decimal(decimal) => {
            line("type", "number");
            line("multipleOf", &decimal_text(1, decimal.scale));
            line("minimum", &decimal_text(decimal.min, decimal.scale));
            line("maximum", &decimal_text(decimal.max, decimal.scale));
        }
        Value::Boolean => line("type", "boolean"),
        Value::Array { items, item_description, min_items, max_items } => {
            line("type", "array");
            if *min_items > 0 {
                line("minItems", &min_items.to_string());
            }
            line("maxItems", &max_items.to_string());
            out.push_str(&format!("{blanks}items:\n"));
            item(items, item_description.as_deref(), indent + 2, out);
        }
        Value::Object(inner) => object(inner, indent, None, out),
    }
}

fn item(items: &Value, description: Option<&str>, indent: usize, out: &mut String) {
    let Some(description) = description else { return value(items, indent, out) };
    out.push_str(&format!("{}description: {}\n", " ".repeat(indent), line_scalar(description)));
    refer_or((*items == Value::Uuid).then_some("Id"), items, indent, out);
}
