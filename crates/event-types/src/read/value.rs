//! Reads the valid values of a field from its schema.

use super::schema::Schema;
use super::{Problem, object};
use crate::model::{Decimal, MAX_DEPTH, MAX_PRECISION, Value};

/// The valid values of a schema. `depth` is the number of objects and arrays around it; `also` are other allowed keywords.
pub(super) fn value(schema: &Schema<'_>, depth: usize, also: &[&str]) -> Result<Value, Problem> {
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
            let of_items = Schema::of(items, &schema.path_of("items"))?;
            let items = value(&of_items, depth + 1, &["description"])?;
            let item_description = of_items.words("description")?;
            let (min_items, max_items) = schema.bounds("minItems", "maxItems")?;
            Ok(Value::Array { items: Box::new(items), item_description, min_items, max_items })
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
