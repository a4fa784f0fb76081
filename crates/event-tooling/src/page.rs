//! `docs/events.md`: the event types, for readers of the lake and for developers of clients.

use event_types::{EventType, Field, Json, Object, Value};

use crate::example::{self, decimal_text};
use crate::schema_text::spaced;
use crate::words::{capitalised, plural};
use crate::yaml::folded;

/// The file.
pub const PATH: &str = "docs/events.md";

const INTRODUCTION: &str = "\
# Event types

<!-- Written by `cargo dataless events sync` from events/*.json. -->

What the warehouse takes, and what is in the lake: every type and field, with meaning, limits, an
example and column. Each type is one file, `events/<type>.json`; this page, the API, the tables and
the checks all follow from it ([your own events](your-own-events.md)).
";

const READING: &str = "\
## How to read the tables

- **Required**: an event without the field is refused. The own id is not required of clients: the
  server gives one when it is absent, so every row has it.
- **Lake**: the type of the column in Athena, Spark and Redshift Spectrum. Times are in UTC, to the
  millisecond. UUIDs are in lower case.
- **Since**: the day from which on events may have the field. Rows of earlier days are null there.
- Each lake table also has `arrived_at` (the hour in which the event arrived), and the partition keys
  `year`, `month`, `day` (of the event) and `arrived` (the day of arrival, `YYYY-MM-DD`). Name days in
  `WHERE`: a query reads, and costs, only those.
";

/// The text of the file.
#[must_use]
pub fn text(types: &[EventType]) -> String {
    let mut out = INTRODUCTION.to_owned();
    out.push_str(
        "\n| type | one event | sent to | lake | raw lines | own id | time |\n|---|---|---|---|---|---|---|\n",
    );
    for event_type in types {
        let EventType { name, id, time, .. } = event_type;
        out.push_str(&format!(
            "| [{}](#{name}) | {} | `POST /{name}` | `{name}` | `raw_{name}` | `{id}` | `{time}` |\n",
            plural(event_type),
            inline(&event_type.description)
        ));
    }
    out.push('\n');
    out.push_str(READING);
    out.push_str(&relations(types));
    for event_type in types {
        out.push_str(&section(event_type));
    }
    out
}

/// Fields that hold the own id of an event of another type.
fn relations(types: &[EventType]) -> String {
    let mut lines = String::new();
    let mut diagram = String::new();
    for event_type in types {
        for field in &event_type.object.fields {
            let Some(reference) = &field.references else { continue };
            let (name, other) = (&event_type.name, &reference.event_type);
            lines.push_str(&format!("- `{name}.{}` is the `{}` of one of the {other}.\n", field.name, reference.field));
            let few = if field.required { "||" } else { "|o" };
            diagram.push_str(&format!("    {other} {few}--o{{ {name} : {}\n", field.name));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "\n## Relations\n\n```mermaid\nerDiagram\n{diagram}```\n\n{lines}\nNothing checks that the other event exists: it may \
         come later, or never.\n"
    )
}

fn section(event_type: &EventType) -> String {
    let name = &event_type.name;
    let meaning = format!("**{}.** {}", inline(&event_type.title), inline(&event_type.description));
    let mut out = format!("\n## {name}\n\n{}\n\n", folded(&meaning, 0));
    out.push_str(
        "| field | meaning | type | required | limits | example | lake | since |\n|---|---|---|---|---|---|---|---|\n",
    );
    rows(event_type, &event_type.object, "", &mut out);
    let mut text = format!("Rows within a file are sorted by {}.", code_list(&event_type.sort));
    if !event_type.erase.is_empty() {
        text.push_str(&format!(" Events are erased by {}.", code_list(&event_type.erase)));
    }
    if let Some(day) = &event_type.since {
        text.push_str(&format!(" There are such events since {day}."));
    }
    text.push_str(&format!(
        " Raw lines are below `data/raw/{group}/{name}/`, the lake's files below `data/lake/{group}/{name}/`.",
        group = event_type.group
    ));
    out.push_str(&format!("\n{}\n\n", folded(&text, 0)));
    out.push_str(&format!(
        "```json\n{}\n```\n\n```sql\n-- {} of a day, by hour\nSELECT hour({time}), count(*) FROM {name}\nWHERE year = '2026' AND \
         month = '11' AND day = '21'\nGROUP BY 1 ORDER BY 1\n```\n",
        pretty_example(event_type),
        capitalised(&plural(event_type)),
        time = event_type.time
    ));
    out
}

fn code_list(names: &[String]) -> String {
    crate::words::list(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// The example as a batch, with one field per line.
fn pretty_example(event_type: &EventType) -> String {
    let members = example::members(event_type, true);
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("  \"{name}\": {}", spaced_text(value))).collect();
    format!("{{\"{}\": [{{\n{}\n}}]}}", event_type.name, members.join(",\n"))
}

fn spaced_text(json: &str) -> String {
    Json::parse(json).map_or_else(|_| json.to_owned(), |json| spaced(&json))
}

/// A row for each field, and below a field of objects a row for each of their fields.
fn rows(event_type: &EventType, object: &Object, prefix: &str, out: &mut String) {
    for field in &object.fields {
        let path = format!("{prefix}{}", field.name);
        let required = if prefix.is_empty() && field.name == event_type.id {
            "no: own id"
        } else if field.required {
            "yes"
        } else {
            "no"
        };
        let lake = if prefix.is_empty() { format!("`{}`", field.value.lake_type()) } else { String::new() };
        out.push_str(&format!(
            "| `{path}` | {} | {} | {required} | {} | {} | {lake} | {} |\n",
            meaning(field),
            type_of(&field.value),
            inline(&limits(&field.value)),
            example_cell(field),
            field.since.as_deref().or(event_type.since.as_deref()).unwrap_or("the start")
        ));
        members(event_type, &field.value, &path, out);
    }
}

fn members(event_type: &EventType, value: &Value, path: &str, out: &mut String) {
    match value {
        Value::Object(inner) => rows(event_type, inner, &format!("{path}."), out),
        Value::Array { items, .. } => members(event_type, items, &format!("{path}[]"), out),
        _ => {}
    }
}

fn meaning(field: &Field) -> String {
    let mut text = inline(&field.description);
    let mut value = &field.value;
    while let Value::Array { items, item_description, .. } = value {
        if let Some(item) = item_description {
            text = format!("{}. Each: {}", text.trim_end_matches('.'), inline(item));
        }
        value = items;
    }
    match &field.references {
        Some(reference) => format!("{text} (→ [{}](#{}))", reference.event_type, reference.event_type),
        None => text,
    }
}

fn example_cell(field: &Field) -> String {
    if matches!(field.value, Value::Object(_) | Value::Array { .. }) {
        return String::new();
    }
    let example = example::of_field(field);
    let shown = serde_json::from_str::<String>(&example).unwrap_or(example);
    // A code span has no escapes, so an example that would end it, or the cell, is written as text.
    if shown.contains(['`', '|', '\n']) { inline(&shown) } else { format!("`{shown}`") }
}

fn type_of(value: &Value) -> String {
    match value {
        Value::Uuid => "uuid".to_owned(),
        Value::DateTime => "date-time".to_owned(),
        Value::Date => "date".to_owned(),
        Value::Text { .. } => "text".to_owned(),
        Value::Enum(_) => "one of a list".to_owned(),
        Value::Integer { .. } => "integer".to_owned(),
        Value::Number { .. } => "number".to_owned(),
        Value::Decimal(_) => "decimal".to_owned(),
        Value::Boolean => "true or false".to_owned(),
        Value::Array { items, .. } => format!("list of {}", type_of(items)),
        Value::Object(_) => "object".to_owned(),
    }
}

fn limits(value: &Value) -> String {
    match value {
        Value::Uuid | Value::DateTime | Value::Date | Value::Boolean | Value::Object(_) => String::new(),
        Value::Text { min_chars: 0, max_chars } => format!("at most {max_chars} characters"),
        Value::Text { min_chars, max_chars } => format!("{min_chars} to {max_chars} characters"),
        Value::Enum(texts) => texts.join(", "),
        Value::Integer { min, max } => {
            range((*min != i64::MIN).then(|| min.to_string()), (*max != i64::MAX).then(|| max.to_string()))
        }
        Value::Number { min, max } => range(min.map(|min| min.to_string()), max.map(|max| max.to_string())),
        Value::Decimal(decimal) => {
            let text = |units| decimal_text(units, decimal.scale);
            format!("{} to {}, {} decimal places", text(decimal.min), text(decimal.max), decimal.scale)
        }
        Value::Array { items, min_items, max_items, .. } => {
            let count = match min_items {
                0 => format!("at most {max_items}"),
                least => format!("{least} to {max_items}"),
            };
            let each = limits(items);
            if each.is_empty() { count } else { format!("{count}; each {each}") }
        }
    }
}

fn range(min: Option<String>, max: Option<String>) -> String {
    match (min, max) {
        (None, None) => String::new(),
        (Some(min), None) => format!("{min} or more"),
        (None, Some(max)) => format!("{max} or less"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
    }
}

/// A text in a line of Markdown or in the cell of a table, with escapes.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for letter in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if "\\`*_[]<>|#".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
