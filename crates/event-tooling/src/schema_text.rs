//! JSON formatted for people.

use event_types::Json;

/// The most columns of a line with an array on it.
const WIDTH: usize = 100;

/// A document in the form of the schemas in `events/`: one member per line, and arrays of simple values on one line.
pub fn pretty(json: &Json) -> String {
    let mut out = String::new();
    write(json, 0, &mut out);
    out.push('\n');
    out
}

/// On one line, with a blank after commas and colons. It is also YAML.
pub fn spaced(json: &Json) -> String {
    match json {
        Json::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{}: {}", text(name), spaced(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_text(),
    }
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write(json: &Json, indent: usize, out: &mut String) {
    let is_simple = |item: &Json| !matches!(item, Json::Array(_) | Json::Object(_));
    match json {
        Json::Array(items) if items.iter().all(is_simple) && spaced(json).chars().count() <= WIDTH - indent => {
            out.push_str(&spaced(json));
        }
        Json::Array(items) => {
            let items = items.iter().map(|item| (String::new(), item));
            block(items, ('[', ']'), indent, out);
        }
        Json::Object(members) if members.is_empty() => out.push_str("{}"),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| (format!("{}: ", text(name)), value));
            block(members, ('{', '}'), indent, out);
        }
        simple => out.push_str(&simple.to_text()),
    }
}

fn block<'a>(
    parts: impl Iterator<Item = (String, &'a Json)>,
    (open, close): (char, char),
    indent: usize,
    out: &mut String,
) {
    out.push(open);
    for (index, (before, value)) in parts.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent + 2));
        out.push_str(&before);
        write(value, indent + 2, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_of_the_repository_are_pretty_printed() {
        for name in ["clicks", "impressions"] {
            let path = format!("{}/../../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            assert_eq!(pretty(&Json::parse(&text).unwrap()), text);
        }
    }

    #[test]
    fn json_on_one_line_has_spaces() {
        let json = Json::parse(r#"{"a":[1.50,{"b":null}],"c":"\"é"}"#).unwrap();
        assert_eq!(spaced(&json), r#"{"a": [1.50, {"b": null}], "c": "\"é"}"#);
    }
}
