//! Erased data is in no query result, in no object version, and on no disk.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{column, days_ago, everything, root, run, text};

/// Finds everything that contains a text: files on the disk of the warehouse and, while it runs, all object versions.
fn holders(of: &str, running: bool) -> Value {
    let mut command = Command::new(root().join(".dataless/tools/spark/bin/python"));
    let script = root().join("crates/dataless/tests/steps/holders_of.py");
    command.arg(script).arg(of).arg(root().join(".dataless/up"));
    if running {
        let status: Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
        let of = |value: &Value| value.as_str().unwrap().to_owned();
        command.args([of(&status["outputs"]["DataLakeBucket"]), of(&status["endpoint_url"])]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["orc"].as_u64().unwrap() > 50 && found["files"].as_u64().unwrap() > 500, "{found}");
    assert!(!running || found["versions"].as_u64().unwrap() > 100, "{found}");
    found
}

fn names(holders: &Value) -> Vec<&str> {
    holders["holders"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

pub fn what_is_erased_is_nowhere() -> String {
    let ad = column("SELECT ad_id FROM ad_traffic GROUP BY ad_id ORDER BY sum(impressions) DESC LIMIT 1")
        .pop_last()
        .unwrap();
    let before = everything();
    assert!(before.contains(&ad));
    let held = holders(&ad, true);
    // Before the erasure, the search finds it in the emulator's files and in the copy: in gzip, plain and ORC files.
    for part in ["emulator/s3/", "emulator/s3/.versions/", "s3/", "data/raw/", ".orc", "s3://"] {
        assert!(names(&held).iter().any(|name| name.contains(part)), "{part}: {held}");
    }
    let dry: Value = serde_json::from_str(&run(&["erase", "--ad", &ad, "--json"])).unwrap();
    assert!(dry["places"].as_array().unwrap().len() > 5, "{dry}");
    assert!(dry["versions"].as_u64().unwrap() > 5, "{dry}");
    assert_eq!(everything(), before);
    let done: Value = serde_json::from_str(&run(&["erase", "--ad", &ad, "--yes", "--json"])).unwrap();
    assert_eq!(done["places"], dry["places"]);
    assert_eq!(names(&holders(&ad, true)), [""; 0]);
    let after = everything();
    assert!(!after.contains(&ad));
    let others = |text: &str| -> BTreeSet<String> {
        let is_event =
            |line: &&str| ["lake,", "clicks,", "advertising,", "traffic,"].iter().any(|part| line.starts_with(part));
        text.lines().filter(is_event).filter(|line| !line.contains(&ad)).map(str::to_owned).collect()
    };
    assert_eq!(others(&after), others(&before));
    let answer: Value =
        serde_json::from_str(&run(&["traffic", &ad, "--start", &days_ago(9), "--end", &days_ago(0), "--json"]))
            .unwrap();
    assert_eq!(answer, serde_json::json!([]));
    let second: Value = serde_json::from_str(&run(&["erase", "--ad", &ad, "--yes", "--json"])).unwrap();
    assert_eq!(second["places"], serde_json::json!([]));
    ad
}

/// The files that the emulator writes when it stops do not contain it either.
pub fn what_was_erased_is_on_no_disk(ad: &str) {
    assert_eq!(names(&holders(ad, false)), [""; 0]);
}
