//! The values that a raw line needs to be an event, by column type. The table in `docs/lake.md` lists them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use events::raw_line::is_event;
use support::Type;

const ID: &str = "0192d3c4-9a5b-7c6d-8e7f-001122334455";

/// An event type with its own id, which is not its first field, and a required field with this schema.
fn with(field: &str) -> Type {
    let schema = format!(
        r#"{{
          "$schema": "https://json-schema.org/draft/2020-12/schema",
          "title": "Sample",
          "description": "A field of one type.",
          "type": "object",
          "additionalProperties": false,
          "x-group": "test",
          "x-id": "sample_id",
          "x-time": "taken_at",
          "x-sort": ["taken_at"],
          "required": ["taken_at", "value"],
          "properties": {{
            "taken_at": {{"description": "When", "type": "string", "format": "date-time"}},
            "sample_id": {{"description": "Own id", "type": "string", "format": "uuid"}},
            "value": {field}
          }}
        }}"#
    );
    Type::new("samples", &schema)
}

fn number() -> Type {
    with(r#"{"description": "Any double", "type": "number"}"#)
}

/// A line with an id, a time and these members.
fn line(members: &str) -> String {
    format!(r#"{{"taken_at":"2026-11-20 11:59:58.000","sample_id":"{ID}",{members}}}"#)
}

/// Whether the value makes its line an event.
fn is_good(of: &Type, value: &str) -> bool {
    is_event(of.table, line(&format!("\"value\":{value}")).as_bytes())
}

/// Whether the value is ignored, so that a good value before it still counts.
fn is_unfit(of: &Type, good: &str, value: &str) -> bool {
    assert!(is_good(of, good), "{good}");
    !is_good(of, value) && is_event(of.table, line(&format!("\"value\":{good},\"value\":{value}")).as_bytes())
}

#[test]
fn an_event_needs_its_own_id_and_required_fields() {
    let number = number();
    let whole = line("\"value\":1");
    assert!(is_event(number.table, whole.as_bytes()));
    for name in ["sample_id", "taken_at", "value"] {
        assert!(!is_event(number.table, whole.replace(name, "another").as_bytes()), "without {name}");
    }
}

#[test]
fn of_duplicate_members_the_last_that_is_null_or_fits_counts() {
    let number = number();
    for (members, expected) in [
        ("\"value\":1,\"value\":null", false),
        ("\"value\":null,\"value\":1", true),
        ("\"value\":1,\"value\":\"text\"", true),
        ("\"value\":\"text\",\"value\":1", true),
        ("\"value\":null,\"value\":\"text\"", false),
        ("\"value\":1,\"value\":1e999", false),
    ] {
        assert_eq!(is_event(number.table, line(members).as_bytes()), expected, "{members}");
    }
}

#[test]
fn a_double_is_finite_and_has_an_exponent_of_at_most_four_digits() {
    let number = number();
    for value in ["1", "-5", "0.5", "1e3", "1E-3", "1e123", "1e-1234", "1e+0012", "-1.5e0001"] {
        assert!(is_good(&number, value), "{value}");
    }
    // These values fit, but they are not good.
    for value in ["1e309", "-1e9999"] {
        assert!(!is_good(&number, value) && !is_unfit(&number, "1", value), "{value}");
    }
    for value in ["1e00001", "1e-00001", "-1E+12345", "\"1\"", "\"1e5\"", "true", "[1]", "{}"] {
        assert!(is_unfit(&number, "1", value), "{value}");
    }
}

#[test]
fn ids_times_and_days_have_their_form() {
    for (format, good, bad) in [
        ("uuid", format!("\"{ID}\""), "\"0192d3c4\""),
        ("date-time", "\"2026-11-20 23:59:59\"".to_owned(), "\"2026-11-20 23:59:60\""),
        ("date-time", "\"2026-11-20 11:59:58.123\"".to_owned(), "\"2026-11-20 11:60:00\""),
        ("date-time", "\"0001-01-01 00:00:00\"".to_owned(), "\"2026-11-20 24:00:00\""),
        ("date", "\"2026-11-20\"".to_owned(), "\"2026-11-31\""),
    ] {
        let of = with(&format!(r#"{{"description": "A text", "type": "string", "format": "{format}"}}"#));
        assert!(is_good(&of, &good) && !is_good(&of, bad), "{format}");
        assert!(!is_unfit(&of, &good, bad), "{format}");
    }
}

#[test]
fn an_id_within_an_object_is_any_text() {
    let of = with(
        r#"{"description": "An object", "type": "object", "additionalProperties": false, "required": ["inner"],
            "properties": {"inner": {"description": "An id", "type": "string", "format": "uuid"}}}"#,
    );
    for value in [&format!("\"{ID}\""), "\"0192d3c4\"", "7"] {
        assert!(is_good(&of, &format!("{{\"inner\":{value}}}")), "{value}");
    }
    assert!(!is_good(&of, "{\"inner\":null}") && !is_good(&of, "{}"));
}
