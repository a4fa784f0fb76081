//! The crate of a type's function, `crates/capture-<type>`, and its entry in `Cargo.lock`.

use event_types::EventType;
use thiserror::Error;

use crate::template::fill;
use crate::yaml::folded;

const MANIFEST: &str = r#"[package]
name = "capture-<<kebab>>"
description = "The beacon for <<plural>>: a Lambda behind POST /<<type>>."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[[bin]]
name = "capture-<<kebab>>"
path = "src/main.rs"
test = false
doctest = false

[dependencies]
capture.workspace = true
events.workspace = true
lambda_http.workspace = true
tokio = { workspace = true, features = ["macros", "rt"] }

[lints]
workspace = true
"#;

const README: &str = "\
# capture-<<kebab>>

<<about>>

| variable | meaning |
|---|---|
| `DELIVERY_STREAM_NAME` | the Firehose delivery stream that takes the <<plural>> |
| `ALLOWED_ORIGINS` | web origins that may read the answer: `*`, or a list separated by commas |
| `METRIC_NAMESPACE`, `STACK_NAME` | the namespace of the metric of refused events, and its dimension `Stack`; no metric without the namespace |

It needs one permission: `firehose:PutRecordBatch` on its stream.
";

const MAIN: &str = r#"#![doc = include_str!("../README.md")]

use lambda_http::Error;

// A Lambda environment gets one request at a time, so a single thread is fastest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    capture::run(&events::<<CONSTANT>>).await
}
"#;

/// The crate's name.
fn package(event_type: &str) -> String {
    format!("capture-{}", event_types::kebab_case(event_type))
}

/// The crate's folder.
#[must_use]
pub fn folder(event_type: &str) -> String {
    format!("crates/{}", package(event_type))
}

/// The crate's files, with their paths.
#[must_use]
pub fn files(event_type: &EventType) -> [(String, String); 3] {
    let kebab = event_type.kebab_case();
    let about = format!(
        "The Lambda function behind `POST /{}`. Its code is in the crate `capture`; this crate only names the event type.",
        event_type.name
    );
    let values: [(&str, &str); 5] = [
        ("about", &folded(&about, 0)),
        ("kebab", &kebab),
        ("type", &event_type.name),
        ("plural", &crate::words::plural(event_type)),
        ("CONSTANT", &event_type.name.to_uppercase()),
    ];
    let folder = folder(&event_type.name);
    [("Cargo.toml", MANIFEST), ("README.md", README), ("src/main.rs", MAIN)]
        .map(|(path, text)| (format!("{folder}/{path}"), fill(text, &values)))
}

/// Cargo's list of packages.
pub const LOCK: &str = "Cargo.lock";

/// A `Cargo.lock` to which the crates of the functions can't be added.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it has no package `capture-…` to copy for a new one: restore it from Git")]
pub struct LockError;

/// `Cargo.lock` with the crate of each type, as Cargo would write it, and without those of the `removed` types.
///
/// # Errors
/// When it does not have the crate of any type yet.
pub fn lock(types: &[EventType], removed: &[String], present: &str) -> Result<String, LockError> {
    const BETWEEN: &str = "\n[[package]]\n";
    let mut parts = present.split(BETWEEN);
    let head = parts.next().unwrap_or_default();
    let mut packages: Vec<String> = parts.map(str::to_owned).collect();
    let template =
        packages.iter().find(|package| name_of(package).starts_with("capture-")).cloned().ok_or(LockError)?;
    packages.retain(|entry| !removed.iter().any(|event_type| name_of(entry) == package(event_type)));
    for event_type in types {
        let name = package(&event_type.name);
        if packages.iter().any(|package| name_of(package) == name) {
            continue;
        }
        let index = packages.iter().position(|package| *name_of(package) > *name).unwrap_or(packages.len());
        packages.insert(index, template.replacen(&format!("\"{}\"", name_of(&template)), &format!("\"{name}\""), 1));
    }
    let packages = packages.iter().map(|package| format!("{BETWEEN}{package}"));
    Ok(format!("{head}{}", packages.collect::<String>()))
}

/// The name of a package: its first line is `name = "…"`.
fn name_of(package: &str) -> &str {
    package.split('"').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &str) -> String {
        std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn orders() -> EventType {
        event_types::read_type("order_items", &repository("events/clicks.json")).unwrap()
    }

    #[test]
    fn adding_a_crate_keeps_the_lock_sorted_and_removing_it_restores_it() {
        let present = repository("Cargo.lock");
        let with = lock(&[orders()], &[], &present).unwrap();
        let package = with.split("[[package]]\n").find(|package| package.contains("\"capture-order-items\"")).unwrap();
        assert_eq!(
            package,
            "name = \"capture-order-items\"\nversion = \"0.1.0\"\ndependencies = [\n \"capture\",\n \"events\",\n \
             \"lambda_http\",\n \"tokio\",\n]\n\n"
        );
        let names: Vec<&str> = with.split("[[package]]\n").skip(1).map(name_of).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(lock(&[], &["order_items".to_owned()], &with).unwrap(), present);
        assert_eq!(lock(&[orders()], &[], &with).unwrap(), with);
        assert_eq!(lock(&[orders()], &[], "version = 4\n"), Err(LockError));
    }

    #[test]
    fn generated_crates_match_those_of_the_repository() {
        let schema = repository("events/clicks.json");
        for (path, text) in files(&event_types::read_type("clicks", &schema).unwrap()) {
            assert_eq!(repository(&path), text, "{path}");
        }
    }
}
