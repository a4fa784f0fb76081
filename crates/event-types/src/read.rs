//! From the text of a schema to the model.

use std::path::Path;

use thiserror::Error;

use crate::json::Json;
use crate::model::{
    Decimal, Distribution, EventType, Field, MAX_DEPTH, MAX_FIELDS, MAX_PRECISION, MAX_TYPE_NAME, Object, Reference,
    Value,
};

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
#[error("events/{file}: {place}{}{problem}", if place.is_empty() { "" } else { ": " })]
pub struct SchemaError {
    /// The file's name.
    pub file: String,
    /// Where in the schema, such as `properties.price.multipleOf`. Empty for the file as a whole.
    pub place: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

type Problem = (String, String);

/// Whether a file of the folder is the schema of an event type, by its name.
#[must_use]
pub fn is_schema(file: &str) -> bool {
    file.ends_with(".json") && !file.starts_with('.') && !NOT_TYPES.contains(&file)
}

/// Reads all event types of a folder, sorted by name, and holds their references against each other.
///
/// # Errors
/// When the folder or a file can't be read, a schema is not an event type, or a reference leads nowhere.
pub fn read_all(folder: &Path) -> Result<Vec<EventType>, SchemaError> {
    let unreadable = |file: &str, error: std::io::Error| SchemaError {
        file: file.to_owned(),
        place: String::new(),
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
/// When the text is not JSON, or not a schema that the API, the raw lines and the lake can all hold.
pub fn read_type(name: &str, schema: &str) -> Result<EventType, SchemaError> {
    let failed = |(place, problem): Problem| SchemaError { file: format!("{name}.json"), place, problem };
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
    Err(SchemaError { file: format!("{name}.json"), place: String::new(), problem })
}

/// Holds the references of all types against each other.
///
/// # Errors
/// When one leads to something else than the own id of a type.
pub fn check_references(types: &[EventType]) -> Result<(), SchemaError> {
    for event_type in types {
        for field in &event_type.object.fields {
            let Some(reference) = &field.references else { continue };
            let target = types.iter().find(|other| other.name == reference.event_type);
            if target.is_none_or(|target| target.id != reference.field) {
                return Err(SchemaError {
                    file: format!("{}.json", event_type.name),
                    place: format!("properties.{}.x-references", field.name),
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
        let place = schema.place_of(&format!("properties.{name}"));
        if !is_name(name, 64) {
            let problem = "the name must be a lower-case letter, then letters, digits and single underscores, at most 64 \
                           characters: it is a column of the lake";
            return Err((place, problem.to_owned()));
        }
        if RESERVED.contains(&name.as_str()) {
            let problem = format!("the lake has a column or a partition key `{name}` of its own: use another name");
            return Err((place, problem));
        }
        fields.push(field(name, &Schema::of(json, &place)?, required.contains(name), depth)?);
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
    let since = schema.get("x-since").map(|_| schema.text("x-since").map(str::to_owned)).transpose()?;
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

/// What a value must be. `depth` is the number of objects and arrays around it, `also` what its schema may have besides.
fn value(schema: &Schema<'_>, depth: usize, also: &[&str]) -> Result<Value, Problem> {
    let only = |keys: &[&str]| schema.only(&[&["type"], keys, also].concat());
    match schema.text("type")? {
        "string" => text_value(schema, depth, also),
        "boolean" => {
            only(&[])?;
            Ok(Value::Boolean)
        }
        "integer" => {
            only(&["minimum", "maximum"])?;
            let min = schema.integer("minimum")?.unwrap_or(i64::MIN);
            let max = schema.integer("maximum")?.unwrap_or(i64::MAX);
            if min > max {
                return Err(schema.problem("minimum", "it is greater than maximum".to_owned()));
            }
            Ok(Value::Integer { min, max })
        }
        "number" if schema.get("multipleOf").is_some() => {
            only(&["multipleOf", "minimum", "maximum"])?;
            decimal_value(schema).map(Value::Decimal)
        }
        "number" => {
            only(&["minimum", "maximum"])?;
            let (min, max) = (schema.double("minimum")?, schema.double("maximum")?);
            if min.zip(max).is_some_and(|(min, max)| min > max) {
                return Err(schema.problem("minimum", "it is greater than maximum".to_owned()));
            }
            Ok(Value::Number { min, max })
        }
        "array" => {
            only(&["items", "minItems", "maxItems"])?;
            check_depth(schema, depth)?;
            let items = schema.get("items").ok_or_else(|| schema.problem("items", "it is missing".to_owned()))?;
            let items = value(&Schema::of(items, &schema.place_of("items"))?, depth + 1, &["description"])?;
            let (min_items, max_items) = schema.bounds("minItems", "maxItems")?;
            Ok(Value::Array { items: Box::new(items), min_items, max_items })
        }
        "object" => {
            only(&["additionalProperties", "required", "properties"])?;
            check_depth(schema, depth)?;
            object(schema, depth + 1).map(Value::Object)
        }
        other => {
            let problem =
                format!("`{other}` is not a type that the lake has: string, integer, number, boolean, array, object");
            Err(schema.problem("type", problem))
        }
    }
}

fn check_depth(schema: &Schema<'_>, depth: usize) -> Result<(), Problem> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    let problem = format!("objects and arrays may be nested to a depth of {MAX_DEPTH}, the event included");
    Err(schema.problem("type", problem))
}

fn text_value(schema: &Schema<'_>, depth: usize, also: &[&str]) -> Result<Value, Problem> {
    let only = |keys: &[&str]| schema.only(&[&["type"], keys, also].concat());
    if schema.get("format").is_some() {
        only(&["format"])?;
        return match schema.text("format")? {
            "uuid" => Ok(Value::Uuid),
            "date-time" | "date" if depth > 1 => {
                let problem =
                    "times and dates are fields of the event itself: the lake has none inside arrays and objects";
                Err(schema.problem("format", problem.to_owned()))
            }
            "date-time" => Ok(Value::DateTime),
            "date" => Ok(Value::Date),
            other => Err(schema.problem("format", format!("`{other}` is not one of uuid, date-time, date"))),
        };
    }
    if schema.get("enum").is_some() {
        only(&["enum"])?;
        let texts = schema.texts("enum")?;
        if texts.is_empty() {
            return Err(schema.problem("enum", "it must have at least one text".to_owned()));
        }
        return Ok(Value::Enum(texts));
    }
    only(&["minLength", "maxLength"])?;
    let (min_chars, max_chars) = schema.bounds("minLength", "maxLength")?;
    Ok(Value::Text { min_chars, max_chars })
}

fn decimal_value(schema: &Schema<'_>) -> Result<Decimal, Problem> {
    let not_a_power = || schema.problem("multipleOf", "it must be a power of ten up to 1, such as 0.01".to_owned());
    let step = schema.number("multipleOf")?.unwrap_or_default();
    let digits = step.strip_prefix("0.").and_then(|digits| digits.strip_suffix('1'));
    let scale = match (step, digits) {
        ("1", _) => 0,
        (_, Some(zeros)) if zeros.bytes().all(|byte| byte == b'0') && zeros.len() < usize::from(MAX_PRECISION) => {
            u8::try_from(zeros.len() + 1).map_err(|_| not_a_power())?
        }
        _ => return Err(not_a_power()),
    };
    let limit = |key: &str| -> Result<Option<i128>, Problem> {
        let Some(text) = schema.number(key)? else { return Ok(None) };
        scaled(text, scale).map(Some).ok_or_else(|| {
            schema.problem(key, format!("it must be a multiple of {step} with at most {MAX_PRECISION} digits"))
        })
    };
    let max = limit("maximum")?.ok_or_else(|| {
        schema.problem("maximum", "it is missing: it decides how many digits the lake keeps".to_owned())
    })?;
    let min = limit("minimum")?.unwrap_or_else(|| -max.abs());
    if min > max {
        return Err(schema.problem("minimum", "it is greater than maximum".to_owned()));
    }
    let digits = min.unsigned_abs().max(max.unsigned_abs()).checked_ilog10().map_or(1, |log| log + 1);
    let precision = u8::try_from(digits).unwrap_or(u8::MAX).max(scale).max(1);
    if precision > MAX_PRECISION {
        return Err(schema.problem("maximum", format!("the lake keeps at most {MAX_PRECISION} digits")));
    }
    Ok(Decimal { precision, scale, min, max })
}

/// A number without an exponent as an integer in units of its last digit.
fn scaled(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(scale) || !fraction.bytes().chain(whole.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{whole}{fraction:0<width$}", width = usize::from(scale));
    let value: i128 = padded.parse().ok()?;
    (padded.trim_start_matches('0').len() <= usize::from(MAX_PRECISION)).then_some(if negative {
        -value
    } else {
        value
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

/// An object of a schema, with its place for errors.
struct Schema<'a> {
    members: &'a [(String, Json)],
    place: String,
}

impl<'a> Schema<'a> {
    fn of(json: &'a Json, place: &str) -> Result<Self, Problem> {
        match json {
            Json::Object(members) => Ok(Self { members, place: place.to_owned() }),
            other => Err((place.to_owned(), format!("a schema is an object, not {}", other.kind()))),
        }
    }

    fn place_of(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn problem(&self, key: &str, problem: String) -> Problem {
        (self.place_of(key), problem)
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn only(&self, allowed: &[&str]) -> Result<(), Problem> {
        match self.members.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(self.problem(name, format!("it is not allowed here; allowed are {}", allowed.join(", "))))
            }
        }
    }

    fn text(&self, key: &str) -> Result<&'a str, Problem> {
        match self.get(key) {
            Some(Json::Text(text)) => Ok(text),
            Some(other) => Err(self.problem(key, format!("it must be a string, not {}", other.kind()))),
            None => Err(self.problem(key, "it is missing".to_owned())),
        }
    }

    fn description(&self, key: &str) -> Result<String, Problem> {
        let text = self.text(key)?.trim();
        if text.is_empty() {
            return Err(self.problem(key, "it is empty: say what it means, for those who read the lake".to_owned()));
        }
        Ok(text.to_owned())
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Problem> {
        let not_texts = || self.problem(key, "it must be an array of different strings".to_owned());
        let Some(Json::Array(items)) = self.get(key) else { return Err(not_texts()) };
        let mut texts: Vec<String> = Vec::new();
        for item in items {
            match item {
                Json::Text(text) if !texts.contains(text) => texts.push(text.clone()),
                _ => return Err(not_texts()),
            }
        }
        Ok(texts)
    }

    fn number(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Number(digits)) => Ok(Some(digits)),
            Some(other) => Err(self.problem(key, format!("it must be a number, not {}", other.kind()))),
        }
    }

    fn integer(&self, key: &str) -> Result<Option<i64>, Problem> {
        self.number(key)?
            .map(|digits| digits.parse().map_err(|_| self.problem(key, "it must be an integer of 64 bits".to_owned())))
            .transpose()
    }

    fn double(&self, key: &str) -> Result<Option<f64>, Problem> {
        let finite = |digits: &str| digits.parse::<f64>().ok().filter(|value| value.is_finite());
        self.number(key)?
            .map(|digits| finite(digits).ok_or_else(|| self.problem(key, "it must be a finite number".to_owned())))
            .transpose()
    }

    /// A least count, 0 when absent, and the greatest, which must be there: what has no bound has no place in a stream.
    fn bounds(&self, least: &str, greatest: &str) -> Result<(u32, u32), Problem> {
        let count = |key: &str| -> Result<Option<u32>, Problem> {
            self.number(key)?
                .map(|digits| digits.parse().map_err(|_| self.problem(key, "it must be a count".to_owned())))
                .transpose()
        };
        let max = count(greatest)?.filter(|max| *max > 0).ok_or_else(|| {
            self.problem(greatest, "it is missing or 0: say how many there may be at most".to_owned())
        })?;
        let min = count(least)?.unwrap_or(0);
        if min > max {
            return Err(self.problem(least, format!("it is greater than {greatest}")));
        }
        Ok((min, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "Order", "description": "A customer ordered.", "type": "object", "additionalProperties": false,
      "x-group": "shop", "x-id": "order_id", "x-time": "ordered_at", "x-sort": ["ordered_at"], "x-erase": ["customer"],
      "required": ["ordered_at", "customer", "total", "address"],
      "properties": {
        "ordered_at": {"description": "When", "type": "string", "format": "date-time"},
        "order_id": {"description": "Own id", "type": "string", "format": "uuid"},
        "customer": {"description": "Who", "type": "string", "maxLength": 40},
        "total": {"description": "Sum", "type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 99999.99},
        "address": {
          "description": "Where to", "type": "object", "additionalProperties": false, "required": ["city"],
          "properties": {
            "city": {"description": "City", "type": "string", "minLength": 1, "maxLength": 80},
            "tags": {"description": "Tags", "type": "array", "maxItems": 3, "items": {"type": "boolean"}}
          }
        },
        "note": {"description": "Note", "type": "string", "enum": ["a", "b"], "x-since": "2026-11-01", "examples": ["a"]}
      }
    }"#;

    fn refused(schema: &str) -> String {
        read_type("orders", schema).unwrap_err().to_string()
    }

    #[test]
    fn a_schema_becomes_a_model_in_its_own_order() {
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
                r#"{"type": "boolean"}"#,
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
