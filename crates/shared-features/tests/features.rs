//! Tests and programs must be built with the same dependencies and features.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The features of each package, as cargo resolves them with these arguments.
fn features(arguments: &[&str]) -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--format", "{p}|{f}"])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // `tokio v1.54.1|macros,rt (*)`; a path or `(proc-macro)` may follow the version.
    let package = |line: &str| {
        let (package, features) = line.split_once('|')?;
        let name: Vec<&str> = package.split(' ').take(2).collect();
        Some((name.join(" "), features.trim_end_matches(" (*)").to_owned()))
    };
    text.lines().filter_map(package).collect()
}

#[test]
fn tests_and_programs_share_every_dependency() {
    let programs = features(&["--workspace", "--edges", "normal,build"]);
    let tests = features(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(programs.len() > 200 && tests.len() > programs.len());
    let differ: Vec<_> = programs.iter().filter(|(package, features)| tests.get(*package) != Some(features)).collect();
    assert!(differ.is_empty(), "compiled twice: add the features of the tests to shared-features: {differ:?}");
}

/// The packages of the functions.
fn functions() -> Vec<String> {
    let crates = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let names = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> = names.filter(|name| name.starts_with("capture-")).collect();
    assert!(all.len() >= 2);
    all.extend(["ad-traffic", "metrics-sink", "pre-traffic"].map(str::to_owned));
    all
}

#[test]
fn functions_share_what_they_have_in_common_when_built_one_by_one() {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for function in functions() {
        // The few dependencies of build scripts are left out, such as those that read the schemas of events.
        let of_function = features(&["--manifest-path", &format!("crates/{function}/Cargo.toml"), "--edges", "normal"]);
        assert!(of_function.len() > 100);
        for (package, features) in of_function {
            let known = all.entry(package.clone()).or_insert_with(|| features.clone());
            assert_eq!(*known, features, "{package} is compiled twice: add its features to lambda-support");
        }
    }
}

#[test]
fn deployed_functions_have_no_test_features() {
    for function in functions() {
        let features = features(&["--package", &function, "--edges", "normal"]);
        let (_, tokio) = features.iter().find(|(package, _)| package.starts_with("tokio v")).unwrap();
        assert!(!tokio.contains("test-util"), "{function}: {tokio}");
        assert!(!features.keys().any(|package| package.starts_with("aws-smithy-mocks")), "{function}");
    }
}
