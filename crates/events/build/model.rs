//! From the model of the schemas to the tables of the validator, and from the tables to their source text.
//!
//! `build.rs` uses both. Tests use the first, to make tables of their own schemas at run time. Both have a module `table` next
//! to this one.

use event_types::Value as Model;

use super::table::{EventType, Field, Object, Value};

/// The table of an event type. Its memory is never freed: tables are static.
pub fn table(model: &event_types::EventType) -> EventType {
    let fields = &model.object.fields;
    let id = fields.iter().position(|field| field.name == model.id).unwrap_or_default();
    EventType { name: leak(&model.name), id, object: object(&model.object, Some(&model.time)) }
}

fn object(model: &event_types::Object, time: Option<&str>) -> Object {
    let mut required = 0;
    let mut fields = Vec::new();
    for (index, field) in model.fields.iter().enumerate() {
        required |= u128::from(field.required) << index;
        let value = if time == Some(&field.name) { Value::EventTime } else { value(&field.value) };
        fields.push(Field {
            name: leak(&field.name),
            key: leak(&format!(",\"{}\":", field.name)),
            bit: 1 << index,
            value,
        });
    }
    Object { fields: fields.leak(), required }
}

fn value(model: &Model) -> Value {
    match model {
        Model::Uuid => Value::Uuid,
        Model::DateTime => Value::DateTime,
        Model::Date => Value::Date,
        Model::Text { min_chars, max_chars } => Value::Text { min: *min_chars, max: *max_chars },
        Model::Enum(texts) => {
            let texts: Vec<&'static str> =
                texts.iter().map(|text| leak(&serde_json::Value::from(text.as_str()).to_string())).collect();
            Value::Enum(texts.leak())
        }
        Model::Integer { min, max } => Value::Integer { min: *min, max: *max },
        Model::Number { min, max } => Value::Number { min: *min, max: *max },
        Model::Decimal(decimal) => Value::Decimal { scale: decimal.scale, min: decimal.min, max: decimal.max },
        Model::Boolean => Value::Boolean,
        Model::Array { items, min_items, max_items, .. } => {
            Value::Array { items: Box::leak(Box::new(value(items))), min: *min_items, max: *max_items }
        }
        Model::Object(inner) => Value::Object(object(inner, None)),
    }
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

/// The tables as Rust: a static for each type, and `ALL`. It needs the names of the module `table`.
#[allow(dead_code, reason = "only build.rs needs it")]
pub fn source(types: &[EventType]) -> String {
    let mut source = String::new();
    let mut all = Vec::new();
    for event_type in types {
        let constant = event_type.name.to_uppercase();
        source += &format!(
            "/// The event type of `events/{name}.json`.\n\
             pub static {constant}: EventType = EventType {{ name: {name:?}, id: {id}, object: {object} }};\n",
            name = event_type.name,
            id = event_type.id,
            object = object_source(&event_type.object),
        );
        all.push(format!("&{constant}"));
    }
    source + &format!("/// All event types, by name.\npub static ALL: &[&EventType] = &[{}];\n", all.join(", "))
}

fn object_source(object: &Object) -> String {
    let mut fields = String::new();
    for Field { name, key, bit, value } in object.fields {
        fields += &format!("Field {{ name: {name:?}, key: {key:?}, bit: {bit}, value: {} }}, ", value_source(value));
    }
    format!("Object {{ fields: &[{fields}], required: {} }}", object.required)
}

fn value_source(value: &Value) -> String {
    match value {
        Value::Enum(texts) => format!("Value::Enum(&{texts:?})"),
        Value::Array { items, min, max } => {
            format!("Value::Array {{ items: &{}, min: {min}, max: {max} }}", value_source(items))
        }
        Value::Object(object) => format!("Value::Object({})", object_source(object)),
        // The debug form of numbers and options is Rust source.
        simple => format!("Value::{simple:?}"),
    }
}
