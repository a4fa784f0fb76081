//! Random schemas of event types.

use fastrand::Rng;

/// A random schema. It can have every feature of an event type's schema.
pub fn schema(rng: &mut Rng) -> String {
    let mut fields = vec![
        field("thing_id", r#""type":"string","format":"uuid""#),
        field("happened_at", r#""type":"string","format":"date-time""#),
    ];
    let mut required = vec!["happened_at".to_owned()];
    random_fields(rng, 1, &mut fields, &mut required);
    rng.shuffle(&mut fields);
    format!(
        r#"{{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Thing","description":"It happened.",
        "type":"object","additionalProperties":false,"x-group":"test","x-id":"thing_id","x-time":"happened_at",
        "x-sort":["happened_at"],"required":{required:?},"properties":{{{}}}}}"#,
        fields.join(",")
    )
}

fn field(name: &str, schema: &str) -> String {
    format!(r#""{name}":{{"description":"x",{schema}}}"#)
}

fn random_fields(rng: &mut Rng, depth: u32, fields: &mut Vec<String>, required: &mut Vec<String>) {
    for number in 0..rng.u32(1..7) {
        let name = format!("{}{number}", rng.lowercase());
        fields.push(field(&name, &value(rng, depth)));
        if rng.bool() {
            required.push(name);
        }
    }
}

/// The members of a value's schema.
fn value(rng: &mut Rng, depth: u32) -> String {
    match rng.u8(..if depth < 3 { 12 } else { 8 }) {
        0 => r#""type":"string","format":"uuid""#.to_owned(),
        1 => {
            let min = rng.u32(..4);
            format!(r#""type":"string","minLength":{min},"maxLength":{}"#, min + rng.u32(1..10))
        }
        2 => r#""type":"string","enum":["on","off","\"","ä\\"]"#.to_owned(),
        3 => {
            let min = rng.i32(-1000..1000);
            format!(r#""type":"integer","minimum":{min},"maximum":{}"#, min + rng.i32(0..1000))
        }
        4 => r#""type":"integer""#.to_owned(),
        5 => {
            let min = rng.f64() - 0.5;
            format!(r#""type":"number","minimum":{min:?},"maximum":{:?}"#, min + 1.0)
        }
        6 => {
            let scale = rng.usize(..5);
            let step = if scale == 0 { "1".to_owned() } else { format!("0.{:0>scale$}", 1) };
            format!(
                r#""type":"number","multipleOf":{step},"minimum":{},"maximum":{}"#,
                rng.i32(-99..0),
                rng.i32(1..9999)
            )
        }
        7 => r#""type":"boolean""#.to_owned(),
        8 | 9 => {
            let min = rng.u32(..3);
            let items = value(rng, depth + 1);
            format!(r#""type":"array","minItems":{min},"maxItems":{},"items":{{{items}}}"#, min + rng.u32(1..4))
        }
        10 if depth == 1 => r#""type":"string","format":"date-time""#.to_owned(),
        11 if depth == 1 => r#""type":"string","format":"date""#.to_owned(),
        _ => {
            let (mut fields, mut required) = (Vec::new(), Vec::new());
            random_fields(rng, depth + 1, &mut fields, &mut required);
            format!(
                r#""type":"object","additionalProperties":false,"required":{required:?},"properties":{{{}}}"#,
                fields.join(",")
            )
        }
    }
}
