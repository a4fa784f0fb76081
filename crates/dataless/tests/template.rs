//! Holds `template.yaml` and what it includes against the code: names that only meet at run time, in an account, at night.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn template() -> Value {
    serde_yaml_ng::from_str(&read("template.yaml")).unwrap()
}

/// The templates of the stacks below it.
fn children() -> Vec<Value> {
    let files = std::fs::read_dir(root().join("stacks")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

fn names(section: &Value) -> BTreeSet<String> {
    let mapping = section.as_mapping().into_iter().flatten();
    mapping.map(|(name, _)| name.as_str().unwrap().to_owned()).collect()
}

/// The functions by logical id.
fn functions(template: &Value) -> BTreeMap<String, &Value> {
    let resources = template["Resources"].as_mapping().unwrap().iter();
    resources
        .filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function")
        .map(|(name, resource)| (name.as_str().unwrap().to_owned(), &resource["Properties"]))
        .collect()
}

/// Calls `visit` with every value of a tree.
fn walk(value: &Value, visit: &mut dyn FnMut(&Value)) {
    visit(value);
    match value {
        Value::Sequence(values) => values.iter().for_each(|value| walk(value, visit)),
        Value::Mapping(mapping) => mapping.values().for_each(|value| walk(value, visit)),
        Value::Tagged(tagged) => walk(&tagged.value, visit),
        _ => {}
    }
}

fn texts(value: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    walk(value, &mut |value| texts.extend(value.as_str().map(str::to_owned)));
    texts
}

/// Names between `${` and `}`, without the attribute behind a dot, and without Firehose's `!{…}` and literal `${!…}`.
fn substitutions(text: &str) -> Vec<String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    names
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('!'))
        .map(|name| name.split('.').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_function_has_its_crate_and_every_lambda_crate_its_function() {
    let template = template();
    let mut in_template = BTreeSet::new();
    for (name, properties) in functions(&template) {
        let code_uri = properties["CodeUri"].as_str().unwrap();
        let manifest = read(&format!("{code_uri}/Cargo.toml"));
        let package = code_uri.rsplit('/').next().unwrap();
        assert!(manifest.contains(&format!("name = \"{package}\"")), "{name}: {code_uri} is not the crate {package}");
        in_template.insert(package.to_owned());
    }
    let mut in_workspace = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        // The list of calls that tests/readiness reads lies beside the crates.
        if path.is_file() {
            continue;
        }
        let manifest = std::fs::read_to_string(path.join("Cargo.toml")).unwrap();
        let is_lambda = manifest.contains("lambda_http.workspace") || manifest.contains("lambda_runtime.workspace");
        let main = std::fs::read_to_string(path.join("src/main.rs")).unwrap_or_default();
        // A program that only has types of Lambda's, to test what reads them, isn't one.
        if is_lambda && (main.contains("use lambda_http::") || main.contains("use lambda_runtime::")) {
            in_workspace.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(in_template, in_workspace);
}

/// Variables that a crate reads: constants such as `const ALLOWED_ORIGINS: &str = "ALLOWED_ORIGINS";`.
fn variables_of(crate_folder: &str) -> BTreeSet<String> {
    let mut variables = BTreeSet::new();
    for entry in std::fs::read_dir(root().join(crate_folder).join("src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let Some((name, value)) = line
                .trim()
                .trim_start_matches("pub ")
                .strip_prefix("const ")
                .and_then(|rest| rest.split_once(": &str = "))
            else {
                continue;
            };
            if value == format!("\"{name}\";") {
                variables.insert(name.to_owned());
            }
        }
    }
    variables
}

#[test]
fn every_variable_that_a_function_reads_is_set_and_the_other_way_round() {
    let template = template();
    let mut global = names(&template["Globals"]["Function"]["Environment"]["Variables"]);
    // Read by the C library.
    global.retain(|name| !name.starts_with("MALLOC_"));
    let shared = variables_of("crates/lambda-support");
    let behind_api = "ALLOWED_ORIGINS".to_owned();
    assert_eq!(shared, [behind_api.clone(), "RUST_LOG".to_owned()].into());
    for (name, properties) in functions(&template) {
        let mut set = names(&properties["Environment"]["Variables"]);
        set.extend(global.clone());
        let package = properties["CodeUri"].as_str().unwrap();
        let mut read = variables_of(package);
        if package.contains("capture-") {
            read.extend(variables_of("crates/capture"));
        }
        read.extend(shared.clone());
        if ["crates/metrics-sink", "crates/pre-traffic"].contains(&package) {
            read.remove(&behind_api);
        }
        assert_eq!(set, read, "{name}");
    }
}

#[test]
fn every_substitution_in_what_the_template_includes_resolves() {
    let template = template();
    let mut known = names(&template["Resources"]);
    known.extend(names(&template["Parameters"]));
    // SAM makes an alias a function.
    known.extend(functions(&template).keys().map(|name| format!("{name}Aliaslive")));
    let conditions = names(&template["Conditions"]);
    let includes = ["api.yaml"];
    let included = texts(&template["Resources"]);
    let mut found = 0;
    for include in includes {
        assert!(included.iter().any(|text| text == include), "the template does not include {include}");
        let tree: Value = serde_yaml_ng::from_str(&read(include)).unwrap();
        let mut used = Vec::new();
        walk(&tree, &mut |value| {
            let Some(mapping) = value.as_mapping() else { return };
            for (function, argument) in mapping {
                match function.as_str() {
                    Some("Ref") => used.extend(argument.as_str().map(str::to_owned)),
                    Some("Fn::Sub") => used.extend(texts(argument).iter().flat_map(|text| substitutions(text))),
                    Some("Fn::GetAtt") => {
                        used.extend(texts(argument).first().map(|text| text.split('.').next().unwrap().to_owned()));
                    }
                    Some("Fn::If") => {
                        let condition = argument[0].as_str().unwrap();
                        assert!(conditions.contains(condition), "{include}: no condition {condition}");
                    }
                    _ => {}
                }
            }
        });
        found += used.len();
        for name in used {
            assert!(known.contains(&name) || name.starts_with("AWS::"), "{include}: nothing is called {name}");
        }
    }
    assert!(found > 10, "the includes use names of the template");
}

#[test]
fn every_script_that_a_job_names_exists() {
    let mut found = BTreeSet::new();
    let in_templates: Vec<String> = children().iter().flat_map(|child| texts(&child["Resources"])).collect();
    // Several are in one text, with commas between them.
    for text in in_templates.iter().flat_map(|text| text.split(',')) {
        let is_script = [".py", ".hql", ".scala", ".sql"].iter().any(|ending| text.ends_with(ending));
        if let Some(start) = text.find("/glue/").or_else(|| text.find("/pipeline/")).filter(|_| is_script) {
            let path = text[start + 1..].to_owned();
            assert!(root().join(&path).is_file(), "no {path}");
            found.insert(path);
        }
    }
    assert!(found.contains("glue/etl.py") && found.contains("glue/scala/etl.scala"), "{found:?}");
}

#[test]
fn every_output_that_the_command_line_reads_is_one_of_the_template() {
    let outputs = names(&template()["Outputs"]);
    let mut found = 0;
    let mut folders = vec![root().join("crates/dataless/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap();
            for name in code.split(".output(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(outputs.contains(name), "{}: no output {name}", path.display());
                found += 1;
            }
        }
    }
    assert!(found > 5);
}

#[test]
fn the_readme_and_the_manifest_agree_on_the_rust_version() {
    let manifest = read("Cargo.toml");
    let version = manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(read("README.md").contains(&format!("Rust ({version} or later)")), "{version}");
}
