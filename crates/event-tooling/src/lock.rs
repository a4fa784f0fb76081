//! `events/lock.json`: the columns that the lake has, in their order. A schema alone can't show that it was reordered.

use event_types::{EventType, Json};

use crate::compat::{Incompatible, remedy};

/// The file.
pub const PATH: &str = "events/lock.json";

/// The text of the file.
#[must_use]
pub fn text(types: &[EventType]) -> String {
    let types: Vec<String> = types.iter().map(entry).collect();
    if types.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", types.join(",\n")) }
}

fn entry(event_type: &EventType) -> String {
    let columns: Vec<String> = columns(event_type).iter().map(|column| format!("      \"{column}\"")).collect();
    format!(
        "  \"{}\": {{\n    \"group\": \"{}\",\n    \"id\": \"{}\",\n    \"time\": \"{}\",\n    \"columns\": [\n{}\n    ]\n  }}",
        event_type.name,
        event_type.group,
        event_type.id,
        event_type.time,
        columns.join(",\n")
    )
}

/// Each column with its type.
fn columns(event_type: &EventType) -> Vec<String> {
    let fields = event_type.object.fields.iter();
    fields.map(|field| format!("{} {}", field.name, field.value.lake_type())).collect()
}

/// A type as it was when it was locked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LockedType {
    name: String,
    group: String,
    id: String,
    time: String,
    columns: Vec<String>,
}

/// The differences of the current types from the lock. New types, and new columns at the end, are none.
///
/// # Errors
/// When the lock is not what [`text`] writes.
pub fn conflicts(lock: &str, types: &[EventType]) -> Result<Vec<Incompatible>, String> {
    let mut found = Vec::new();
    for locked in read(lock)? {
        match types.iter().find(|event_type| event_type.name == locked.name) {
            None => found.push(Incompatible {
                remedy: format!(
                    "Restore it from Git; `cargo dataless events remove {}` removes a type with all that follows from it",
                    locked.name
                ),
                ..Incompatible::removed(&locked.name)
            }),
            Some(event_type) => compare(&locked, event_type, &mut found),
        }
    }
    Ok(found)
}

fn compare(locked: &LockedType, event_type: &EventType, found: &mut Vec<Incompatible>) {
    let mut push = |path: &str, problem: String| {
        found.push(Incompatible { event_type: locked.name.clone(), path: path.to_owned(), problem, remedy: remedy() });
    };
    for (key, was, is) in [
        ("x-group", &locked.group, &event_type.group),
        ("x-id", &locked.id, &event_type.id),
        ("x-time", &locked.time, &event_type.time),
    ] {
        if was != is {
            push(key, format!("it was `{was}` and is `{is}`"));
        }
    }
    let now = columns(event_type);
    for (index, was) in locked.columns.iter().enumerate() {
        if now.get(index) == Some(was) {
            continue;
        }
        let (name, kind) = was.split_once(' ').unwrap_or((was, ""));
        let present = event_type.object.fields.iter().position(|field| field.name == name);
        let problem = match present {
            None => "it is gone".to_owned(),
            Some(other) if other != index => {
                format!("it was field number {} and is number {}", index + 1, other + 1)
            }
            Some(_) => {
                let is = event_type.object.fields[index].value.lake_type();
                format!("the lake's column was {kind} and would be {is}")
            }
        };
        push(&format!("properties.{name}"), problem);
        // All fields after one that is gone or has moved have moved too.
        if present != Some(index) {
            return;
        }
    }
}

fn read(lock: &str) -> Result<Vec<LockedType>, String> {
    let damaged = |what: &str| format!("{PATH} is damaged ({what}): restore it from Git");
    let json = Json::parse(lock).map_err(|error| damaged(&error.to_string()))?;
    let Json::Object(types) = json else { return Err(damaged("it is not an object")) };
    let mut all = Vec::new();
    for (name, entry) in types {
        let Json::Object(members) = entry else { return Err(damaged(&name)) };
        let get = |key: &str| members.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        let text = |key: &str| match get(key) {
            Some(Json::Text(text)) => Ok(text.clone()),
            _ => Err(damaged(&format!("{name}.{key}"))),
        };
        let Some(Json::Array(items)) = get("columns") else { return Err(damaged(&format!("{name}.columns"))) };
        let columns = items.iter().map(|item| match item {
            Json::Text(text) => Ok(text.clone()),
            _ => Err(damaged(&format!("{name}.columns"))),
        });
        let columns = columns.collect::<Result<_, _>>()?;
        all.push(LockedType { group: text("group")?, id: text("id")?, time: text("time")?, columns, name });
    }
    Ok(all)
}
