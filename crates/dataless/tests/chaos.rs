//! Injects faults of every kind, with a fixed seed, into a separate warehouse. This takes minutes, so
//! `cargo dataless test` runs it with the other end-to-end tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Few events, because the test is about faults. The load lasts long enough for all of them.
const OPTIONS: [&str; 7] =
    ["chaos", "--events=4000", "--minutes=0.5", "--seed=24", "--faults=all", "--json", "--verbose"];

const KINDS: [&str; 20] = [
    "clock-jump",
    "cut",
    "erase-beside",
    "error-500",
    "full-disk",
    "import-beside",
    "kill-emulator",
    "kill-function",
    "kill-night",
    "kill-spark",
    "late-answer",
    "lost-answer",
    "midnight",
    "partial-batch",
    "redeliver",
    "reorder",
    "sink-refused",
    "stop-night",
    "throttle",
    "truncate",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn every_acknowledged_event_arrives_once_whatever_breaks() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dataless"));
    let output = command.current_dir(root()).args(OPTIONS).stdin(Stdio::null()).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{printed}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["balanced"], &report["seed"]), (&json!(true), &json!(24)), "{report:#}");

    // Every kind of fault was injected.
    let faults = report["faults"].as_array().unwrap();
    let injected = faults.iter().filter(|fault| fault["injected"] == true);
    let mut injected: BTreeSet<&str> = injected.map(|fault| fault["fault"].as_str().unwrap()).collect();
    assert!(injected.remove("two-operators"), "{faults:#?}");
    let missed: Vec<&Value> = faults.iter().filter(|fault| fault["injected"] == false).collect();
    assert_eq!(injected, KINDS.into(), "{missed:#?}");

    // The load was not empty: the accounts cover the events that the load generator counted.
    for table in ["impressions", "clicks"] {
        let (sent, account) = (&report["load"]["events"][table], &report["accounts"][table]);
        let count = |value: &Value| value.as_u64().unwrap();
        assert!(count(&account["acknowledged"]) > 500, "{table}: {account:#}");
        assert!(count(&sent["repeats"]) > 0 && count(&sent["malformed"]) > 0, "{table}: {sent:#}");
        assert_eq!((&account["missing"], &account["doubled"]), (&json!({}), &json!({})), "{table}");
        assert!(count(&account["erased"]) > 0, "{table}");
    }
}
