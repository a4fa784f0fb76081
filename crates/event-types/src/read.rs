//! Reads the model of an event type from its schema.

mod schema;
mod value;

use std::path::Path;

use thiserror::Error;

use self::schema::Schema;
use self::value::value;
use crate::json::Json;
use crate::model::{Distribution, EventType, Field, MAX_FIELDS, MAX_TYPE_NAME, Object, Reference, Value};

/// The dialect that every schema names.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Columns that the lake adds to those of an event, and partition keys.
const RESERVED: [&str; 8] = ["year", "month", "day", "hour", "arrived", "arrived_at", "table_name", "_aside"];

/// Names that the crate `events` has for something else than a type.
pub const TAKEN_BY_EVENTS: [&str; 5] = ["all", "max_ahead", "max_behind", "max_events", "max_line_bytes"];

/// Files of the folder that are not event types.
const NOT_TYPES: [&str; 2] = ["lock.json", "event-type.schema.json"];

/// A schema that is not an event type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("events/{file}: {path}{}{problem}", if path.is_empty() { "" } else { ": " })]
pub struct SchemaError {
    /// The file's name.
    pub file: String,
    /// Where in the schema, such as `properties.price.multipleOf`. Empty for the file as a whole.
    pub path: String,
    /// The problem, and what is allowed.
    pub problem: String,
}

type Problem = (String, String);

/// Whether a file of the folder is the schema of an event type, by its name.
#[must_use]
pub fn is_schema(file: &str) -> bool {
    file.ends_with(".json") && !file.starts_with('.') && !NOT_TYPES.contains(&file)
}

/// Reads all event types of a folder, sorted by name, and checks their references.
///
/// # Errors
/// When the folder or a file can't be read, a schema is not an event type, or a reference has no target.
pub fn read_all(folder: &Path) -> Result<Vec<EventType>, SchemaError> {
    let unreadable = |file: &str, error: std::io::Error| SchemaError {
        file: file.to_owned(),
        path: String::new(),
        problem: format!("failed to read: {error}"),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable("", error))? {
        let name = entry.map_err(|error| unreadable("", error))?.file_name().to_string_lossy().into_owned();
        if is_schema(&name) {
            names.push(name);
        }
    }
    names.sort();
    let mut types = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(folder.join(&name)).map_err(|error| unreadable(&name, error))?;
        types.push(read_type(name.trim_end_matches(".json"), &text)?);
    }
    check_references(&types)?;
    Ok(types)
}

/// Reads the schema of one event type. References to other types are not followed.
///
/// # Errors
/// When the text is not JSON, or not a schema that the API, the raw lines and the lake can all represent.
pub fn read_type(name: &str, schema: &str) -> Result<EventType, SchemaError> {
    let failed = |(path, problem): Problem| SchemaError { file: format!("{name}.json"), path, problem };
    check_name(name)?;
    let json = Json::parse(schema).map_err(|error| failed((String::new(), format!("it is not JSON: {error}"))))?;
    event_type(name, &json).map_err(failed)
}

/// Whether the text can name an event type.
///
/// # Errors
/// When it can't.
pub fn check_name(name: &str) -> Result<(), SchemaError> {
    if is_name(name, MAX_TYPE_NAME) {
        return Ok(());
    }
    let problem = format!(
        "`{name}` can't name an event type: use a lower-case letter, then letters, digits and single underscores, at most \
         {MAX_TYPE_NAME} characters"
    );
    Err(SchemaError { file: format!("{name}.json"), path: String::new(), problem })
}

/// Checks the references between types.
///
/// # Errors
/// When one does not refer to the own id of a type.
pub fn check_references(types: &[EventType]) -> Result<(), SchemaError> {
    for event_type in types {
        for field in &event_type.object.fields {
            let Some(reference) = &field.references else { continue };
            let target = types.iter().find(|other| other.name == reference.event_type);
            if target.is_none_or(|target| target.id != reference.field) {
                return Err(SchemaError {
                    file: format!("{}.json", event_type.name),
                    path: format!("properties.{}.x-references", field.name),
                    problem: format!(
                        "`{}.{}` is not the own id of an event type",
                        reference.event_type, reference.field
                    ),
                });
            }
        }
    }
    Ok(())
}

fn event_type(name: &str, json: &Json) -> Result<EventType, Problem> {
    let schema = Schema::of(json, "")?;
    schema.only(&[
        "$schema",
        "title",
        "description",
        "type",
        "additionalProperties",
        "required",
        "properties",
        "x-group",
        "x-id",
        "x-time",
        "x-sort",
        "x-erase",
        "x-since",
    ])?;
    if schema.text("$schema")? != DIALECT {
        return Err(schema.problem("$schema", format!("it must be \"{DIALECT}\"")));
    }
    let object = object(&schema, 1)?;
    let group = schema.text("x-group")?.to_owned();
    if !is_name(&group, MAX_TYPE_NAME) {
        return Err(schema.problem("x-group", "it must be a lower-case word: it is a folder of the lake".to_owned()));
    }
    let event_type = EventType {
        name: name.to_owned(),
        group,
        title: schema.description("title")?,
        description: schema.description("description")?,
        since: schema.day("x-since")?,
        id: schema.text("x-id")?.to_owned(),
        time: schema.text("x-time")?.to_owned(),
        sort: schema.texts("x-sort")?,
        erase: if schema.get("x-erase").is_some() { schema.texts("x-erase")? } else { Vec::new() },
        object,
    };
    check_annotations(&schema, &event_type)?;
    Ok(event_type)
}

fn check_annotations(schema: &Schema<'_>, event_type: &EventType) -> Result<(), Problem> {
    let field = |annotation: &str, name: &str| {
        event_type.field(name).ok_or_else(|| schema.problem(annotation, format!("there is no property `{name}`")))
    };
    let id = field("x-id", &event_type.id)?;
    if id.value != Value::Uuid || id.required {
        let problem = format!(
            "`{}` must be a string of format uuid and not be listed in `required`: the server gives an id when it is absent",
            event_type.id
        );
        return Err(schema.problem("x-id", problem));
    }
    let time = field("x-time", &event_type.time)?;
    if time.value != Value::DateTime || !time.required {
        let problem = format!("`{}` must be a string of format date-time, and listed in `required`", event_type.time);
        return Err(schema.problem("x-time", problem));
    }
    for name in &event_type.sort {
        if matches!(field("x-sort", name)?.value, Value::Array { .. } | Value::Object(_)) {
            return Err(schema.problem("x-sort", format!("`{name}` is an array or an object: sort by simple fields")));
        }
    }
    if event_type.sort.is_empty() {
        return Err(schema.problem("x-sort", "it must name at least one property".to_owned()));
    }
    for name in &event_type.erase {
        if !matches!(field("x-erase", name)?.value, Value::Uuid | Value::Text { .. } | Value::Integer { .. }) {
            let problem = format!("`{name}` must be a uuid, a string or an integer");
            return Err(schema.problem("x-erase", problem));
        }
    }
    Ok(())
}

/// An object's `required` and `properties`. `depth` is 1 for the event.
fn object(schema: &Schema<'_>, depth: usize) -> Result<Object, Problem> {
    if schema.text("type")? != "object" {
        return Err(schema.problem("type", "it must be \"object\"".to_owned()));
    }
    if schema.get("additionalProperties") != Some(&Json::Bool(false)) {
        return Err(schema.problem("additionalProperties", "it must be false".to_owned()));
    }
    let Some(Json::Object(properties)) = schema.get("properties") else {
        return Err(schema.problem("properties", "it must be an object with a schema for each field".to_owned()));
    };
    if properties.is_empty() || properties.len() > MAX_FIELDS {
        let problem = format!("it has {} fields: 1 to {MAX_FIELDS} are allowed", properties.len());
        return Err(schema.problem("properties", problem));
    }
    let required = if schema.get("required").is_some() { schema.texts("required")? } else { Vec::new() };
    if let Some(name) = required.iter().find(|name| !properties.iter().any(|(known, _)| known == *name)) {
        return Err(schema.problem("required", format!("there is no property `{name}`")));
    }
    let mut fields = Vec::new();
    for (name, json) in properties {
        let path = schema.path_of(&format!("properties.{name}"));
        if !is_name(name, 64) {
            let problem = "the name must be a lower-case letter, then letters, digits and single underscores, at most 64 \
                           characters: it is a column of the lake";
            return Err((path, problem.to_owned()));
        }
        if RESERVED.contains(&name.as_str()) {
            let problem = format!("the lake has a column or a partition key `{name}` of its own: use another name");
            return Err((path, problem));
        }
        fields.push(field(name, &Schema::of(json, &path)?, required.contains(name), depth)?);
    }
    Ok(Object { fields })
}

fn field(name: &str, schema: &Schema<'_>, required: bool, depth: usize) -> Result<Field, Problem> {
    let value = value(schema, depth, &["description", "x-references", "x-since", "x-sample", "examples"])?;
    let references = match schema.get("x-references") {
        None => None,
        Some(_) if depth > 1 => {
            return Err(schema.problem("x-references", "only fields of the event itself may have it".to_owned()));
        }
        Some(_) => {
            let (event_type, field) = schema
                .text("x-references")?
                .split_once('.')
                .ok_or_else(|| schema.problem("x-references", "write <type>.<field>".to_owned()))?;
            if value != Value::Uuid {
                return Err(schema.problem("x-references", "the field must be of format uuid, as ids are".to_owned()));
            }
            Some(Reference { event_type: event_type.to_owned(), field: field.to_owned() })
        }
    };
    let since = schema.day("x-since")?;
    let sample = match schema.get("x-sample").map(|_| schema.text("x-sample")).transpose()? {
        None => Distribution::Uniform,
        Some("normal") => Distribution::Normal,
        Some("zipf") => Distribution::Zipf,
        Some(other) => return Err(schema.problem("x-sample", format!("`{other}` is not one of normal, zipf"))),
    };
    let examples = match schema.get("examples") {
        None => Vec::new(),
        Some(Json::Array(items)) => items.iter().map(Json::to_text).collect(),
        Some(_) => return Err(schema.problem("examples", "it must be an array".to_owned())),
    };
    Ok(Field {
        name: name.to_owned(),
        description: schema.description("description")?,
        required,
        value,
        references,
        since,
        examples,
        sample,
    })
}

/// A lower-case letter, then letters, digits and single underscores, and none at the end.
fn is_name(text: &str, most: usize) -> bool {
    text.len() <= most
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('_')
        && !text.contains("__")
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Decimal;

    const ORDER: &str = r#"{
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "Order", "description": "A customer ordered.", "type": "object", "additionalProperties": false,
      "x-group": "shop", "x-id": "order_id", "x-time": "ordered_at", "x-sort": ["ordered_at"], "x-erase": ["customer"],
      "x-since": "2026-10-31", "required": ["ordered_at", "customer", "total", "address"],
      "properties": {
        "ordered_at": {"description": "When", "type": "string", "format": "date-time"},
        "order_id": {"description": "Own id", "type": "string", "format": "uuid"},
        "customer": {"description": "Who", "type": "string", "maxLength": 40},
        "total": {"description": "Sum", "type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 99999.99},
        "address": {
          "description": "Where to", "type": "object", "additionalProperties": false, "required": ["city"],
          "properties": {
            "city": {"description": "City", "type": "string", "minLength": 1, "maxLength": 80},
            "tags": {"description": "Tags", "type": "array", "maxItems": 3, "items": {"description": "A tag", "type": "boolean"}}
          }
        },
        "note": {"description": "Note", "type": "string", "enum": ["a", "b"], "x-since": "2026-11-01", "examples": ["a"]}
      }
    }"#;

    fn refused(schema: &str) -> String {
        read_type("orders", schema).unwrap_err().to_string()
    }

    #[test]
    fn a_model_keeps_the_field_order_of_its_schema() {
        let orders = read_type("orders", ORDER).unwrap();
        let columns: Vec<_> =
            orders.object.fields.iter().map(|field| format!("{} {}", field.name, field.value.lake_type())).collect();
        assert_eq!(
            columns,
            [
                "ordered_at timestamp",
                "order_id string",
                "customer string",
                "total decimal(7,2)",
                "address struct<city:string,tags:array<boolean>>",
                "note string",
            ]
        );
        assert_eq!(orders.required_paths(), ["order_id", "ordered_at", "customer", "total", "address.city"]);
        assert_eq!(
            orders.field("total").unwrap().value,
            Value::Decimal(Decimal { precision: 7, scale: 2, min: 0, max: 9_999_999 })
        );
        assert_eq!(orders.field("note").unwrap().examples, ["\"a\""]);
        assert_eq!(orders.erase, ["customer"]);
    }

    #[test]
    fn days_and_descriptions_of_items_are_read() {
        let orders = read_type("orders", ORDER).unwrap();
        assert_eq!(orders.since.as_deref(), Some("2026-10-31"));
        assert_eq!(orders.field("note").unwrap().since.as_deref(), Some("2026-11-01"));
        assert_eq!(orders.field("total").unwrap().since, None);
        let Value::Object(address) = &orders.field("address").unwrap().value else { panic!("an object") };
        let Value::Array { item_description, .. } = &address.fields[1].value else { panic!("an array") };
        assert_eq!(item_description.as_deref(), Some("A tag"));
        let blank = read_type("orders", &ORDER.replace("A tag", " ")).unwrap();
        let Value::Object(address) = &blank.field("address").unwrap().value else { panic!("an object") };
        assert!(matches!(&address.fields[1].value, Value::Array { item_description: None, .. }));
    }

    #[test]
    fn an_error_names_file_place_and_what_is_allowed() {
        for (change, to, expected) in [
            (
                r#""maxLength": 40"#,
                r#""minLength": 1"#,
                "events/orders.json: properties.customer.maxLength: it is missing",
            ),
            ("0.01", "0.02", "properties.total.multipleOf: it must be a power of ten"),
            ("99999.99", "99999.999", "properties.total.maximum: it must be a multiple of 0.01"),
            (r#""note":"#, r#""year":"#, "properties.year: the lake has a column"),
            (r#""note":"#, r#""Note":"#, "properties.Note: the name must be"),
            (r#""x-id": "order_id""#, r#""x-id": "customer""#, "x-id: `customer` must be a string of format uuid"),
            (r#""x-time": "ordered_at""#, r#""x-time": "id""#, "x-time: there is no property `id`"),
            (r#"["ordered_at", "customer", "total", "address"]"#, r#"["customer"]"#, "x-time: `ordered_at` must be"),
            (r#""x-erase": ["customer"]"#, r#""x-erase": ["total"]"#, "x-erase: `total` must be a uuid"),
            (r#""x-sort": ["ordered_at"]"#, r#""x-sort": ["address"]"#, "x-sort: `address` is an array or an object"),
            (
                r#"{"description": "A tag", "type": "boolean"}"#,
                r#"{"type": "array", "maxItems": 1, "items": {"type": "boolean"}}"#,
                "nested to a depth of 3",
            ),
            (r#""maxItems": 3"#, r#""maxItems": 3, "uniqueItems": true"#, "tags.uniqueItems: it is not allowed here"),
            (r#""enum": ["a", "b"]"#, r#""enum": ["a", "a"]"#, "note.enum: it must be an array of different strings"),
            (
                r#""additionalProperties": false, "required": ["city"]"#,
                r#""required": ["city"]"#,
                "address.additionalProperties",
            ),
            ("2026-11-01", "2026-13-01", "properties.note.x-since: it must be a day, YYYY-MM-DD"),
            ("2026-10-31", "autumn", "x-since: it must be a day, YYYY-MM-DD"),
            (r#""A tag""#, "1", "tags.items.description: it must be a string"),
            (r#""title": "Order","#, r#""title": "Order", "title": "x","#, "`title` occurs twice"),
        ] {
            assert!(ORDER.contains(change), "{change}");
            let problem = refused(&ORDER.replacen(change, to, 1));
            assert!(problem.contains(expected), "{to}: {problem}");
        }
        assert!(read_type("Orders", ORDER).unwrap_err().to_string().contains("can't name an event type"));
    }

    #[test]
    fn the_types_of_the_repository_are_read_and_refer_to_each_other() {
        let types = read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events")).unwrap();
        let clicks = types.iter().find(|event_type| event_type.name == "clicks").unwrap();
        assert_eq!(clicks.required_paths(), ["click_id", "impression_id", "ad_id", "occurred_at"]);
        assert_eq!(clicks.pascal_case(), "Clicks");
    }

    #[test]
    fn a_reference_must_lead_to_an_own_id() {
        let mut orders = read_type("orders", ORDER).unwrap();
        orders.object.fields[1].references = Some(Reference { event_type: "orders".into(), field: "customer".into() });
        assert!(check_references(&[orders]).unwrap_err().to_string().contains("is not the own id of an event type"));
    }
}
