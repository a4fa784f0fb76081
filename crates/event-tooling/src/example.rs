//! Examples of values, always the same.

use event_types::{Decimal, EventType, Field, Object, Value};

use crate::words::{capitalised, spaced};

/// The time of examples.
const TIME: &str = "2026-11-21T08:15:30.250Z";

/// An event as JSON text, with its optional fields, and without its own id if `with_id` is false.
pub fn event(event_type: &EventType, with_id: bool) -> String {
    let members = members(event_type, with_id);
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Its members: names, and values as JSON text.
pub fn members(event_type: &EventType, with_id: bool) -> Vec<(String, String)> {
    let fields = event_type.object.fields.iter().filter(|field| with_id || field.name != event_type.id);
    fields.map(|field| (field.name.clone(), of_field(field))).collect()
}

/// The first example of the schema, or a generated one.
pub fn of_field(field: &Field) -> String {
    if let Some(example) = field.examples.first() {
        return example.clone();
    }
    // A reference has the id in the example of the other type.
    let name = field.references.as_ref().map_or(&field.name, |reference| &reference.field);
    of_value(name, &field.value)
}

fn of_value(name: &str, value: &Value) -> String {
    match value {
        Value::Uuid => format!("\"{}\"", uuid(name)),
        Value::DateTime => format!("\"{TIME}\""),
        Value::Date => format!("\"{}\"", &TIME[..10]),
        Value::Text { min_chars, max_chars } => {
            let words = capitalised(&spaced(name));
            let mut text: String = words.chars().take(*max_chars as usize).collect();
            while text.chars().count() < *min_chars as usize {
                text.push('x');
            }
            serde_json::Value::from(text).to_string()
        }
        Value::Enum(texts) => serde_json::Value::from(texts[0].as_str()).to_string(),
        Value::Integer { min, max } => 3.clamp(*min, *max).to_string(),
        Value::Number { min, max } => number(*min, *max),
        Value::Decimal(decimal) => decimal_text(decimal_example(*decimal), decimal.scale),
        Value::Boolean => "true".to_owned(),
        Value::Array { items, min_items, .. } => {
            let item = of_value(name, items);
            let count = (*min_items).max(1) as usize;
            format!("[{}]", vec![item; count].join(","))
        }
        Value::Object(object) => of_object(object),
    }
}

fn of_object(object: &Object) -> String {
    let members = object.fields.iter().map(|field| format!("\"{}\":{}", field.name, of_field(field)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn number(min: Option<f64>, max: Option<f64>) -> String {
    let value = 1.5_f64.max(min.unwrap_or(f64::MIN)).min(max.unwrap_or(f64::MAX));
    serde_json::Number::from_f64(value).map_or_else(|| "0".to_owned(), |number| number.to_string())
}

/// 12.5 where the limits allow it. It is exact in binary too, so every validator accepts it as a multiple.
fn decimal_example(decimal: Decimal) -> i128 {
    let one = 10_i128.pow(u32::from(decimal.scale));
    (12 * one + one / 2).clamp(decimal.min, decimal.max)
}

/// Units of the last digit as a decimal: 1999 with scale 2 is `19.99`.
pub fn decimal_text(units: i128, scale: u8) -> String {
    let digits = units.unsigned_abs().to_string();
    let scale = usize::from(scale);
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let sign = if units < 0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A UUID that depends on the name alone (FNV-1a), in the form of version 4.
fn uuid(name: &str) -> String {
    let hash =
        |seed: u64| name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x8422_2325_cbf2_9ce4));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        0x8000 | low >> 48 & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_written_without_trailing_zeros() {
        for (units, scale, expected) in
            [(1999, 2, "19.99"), (1250, 2, "12.5"), (-5, 2, "-0.05"), (0, 0, "0"), (700, 2, "7"), (3, 0, "3")]
        {
            assert_eq!(decimal_text(units, scale), expected);
        }
    }

    #[test]
    fn an_example_is_within_its_limits() {
        let decimal = |min, max, scale| Value::Decimal(Decimal { precision: 9, scale, min, max });
        for (value, expected) in [
            (decimal(0, 9_999_999, 2), "12.5"),
            (decimal(0, 700, 2), "7"),
            (Value::Integer { min: 10, max: 20 }, "10"),
            (Value::Number { min: Some(2.0), max: None }, "2.0"),
            (Value::Text { min_chars: 6, max_chars: 8 }, "\"Skuxxx\""),
            (Value::Text { min_chars: 0, max_chars: 2 }, "\"Sk\""),
            (Value::Enum(vec!["\"".into()]), r#""\"""#),
            (
                Value::Array { items: Box::new(Value::Boolean), item_description: None, min_items: 2, max_items: 3 },
                "[true,true]",
            ),
        ] {
            assert_eq!(of_value("sku", &value), expected);
        }
    }
}
