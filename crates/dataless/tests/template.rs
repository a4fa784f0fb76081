//! Compares names in `template.yaml` and its included files with the code. Otherwise a mismatch would show only on AWS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The templates of the nested stacks.
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

/// Names between `${` and `}`, without the attribute after a dot. Skips Firehose's `!{…}` and the literal `${!…}`.
fn substitutions(text: &str) -> Vec<String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    names
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('!'))
        .map(|name| name.split('.').next().unwrap().to_owned())
        .collect()
}

/// The programs that cargo builds.
struct Programs {
    /// The folder of the crate of each program.
    folders: BTreeMap<String, PathBuf>,
    /// The programs that use the Lambda runtime.
    lambdas: BTreeSet<String>,
}

impl Programs {
    fn of_workspace() -> Self {
        // It links the functions to test how they read requests, but it is not a function itself.
        const NOT_DEPLOYED: &str = "fuzz";
        let command = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
        let output = Command::new(env!("CARGO")).args(command).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut programs = Self { folders: BTreeMap::new(), lambdas: BTreeSet::new() };
        for package in metadata["packages"].as_array().unwrap() {
            let folder =
                Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().canonicalize().unwrap();
            let uses_runtime = package["dependencies"].as_array().unwrap().iter().any(|dependency| {
                dependency["kind"].is_null()
                    && (dependency["name"] == "lambda_http" || dependency["name"] == "lambda_runtime")
            });
            for target in package["targets"].as_array().unwrap() {
                let name = target["name"].as_str().unwrap();
                if target["kind"][0] == "bin" {
                    programs.folders.insert(name.to_owned(), folder.clone());
                    if uses_runtime && name != NOT_DEPLOYED {
                        programs.lambdas.insert(name.to_owned());
                    }
                }
            }
        }
        programs
    }
}

#[test]
fn every_function_has_its_crate_and_every_lambda_crate_its_function() {
    let (template, programs) = (template(), Programs::of_workspace());
    let mut in_template = BTreeSet::new();
    for (name, properties) in functions(&template) {
        let code_uri = properties["CodeUri"].as_str().unwrap();
        let program = code_uri.rsplit('/').next().unwrap();
        let folder =
            programs.folders.get(program).unwrap_or_else(|| panic!("{name}: no crate has the program {program}"));
        assert_eq!(*folder, root().join(code_uri).canonicalize().unwrap(), "{name}");
        in_template.insert(program.to_owned());
    }
    assert_eq!(in_template, programs.lambdas);
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
fn every_variable_that_a_function_reads_is_set_and_vice_versa() {
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
fn every_substitution_in_included_files_resolves() {
    let template = template();
    let mut known = names(&template["Resources"]);
    known.extend(names(&template["Parameters"]));
    // SAM creates one alias per function.
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
    assert!(found > 10, "the included files use names of the template");
}

#[test]
fn every_script_that_a_job_names_exists() {
    let mut found = BTreeSet::new();
    let in_templates: Vec<String> = children().iter().flat_map(|child| texts(&child["Resources"])).collect();
    // A text can have several paths, separated by commas.
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
