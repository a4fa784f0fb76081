//! Rejected lines are corrected and replayed.

use serde_json::Value;

use super::{column, days_ago, everything, run};

pub fn rejected_lines_are_replayed_once() {
    let day = days_ago(8);
    let lines = run(&["rejected", "--day", &day, "--json"]);
    let mut corrected = String::new();
    let mut count = 0;
    for line in lines.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let mut event: Value = serde_json::from_str(line["line"].as_str().unwrap()).unwrap();
        if line["table"] != "impressions" || line["reason"] != "invalid occurred_at" {
            continue;
        }
        event["occurred_at"] = Value::from(format!("{day}T00:00:00.5Z"));
        line["line"] = Value::from(event.to_string());
        corrected.push_str(&format!("{line}\n"));
        count += 1;
    }
    assert!(count > 1, "{lines}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("corrected.ndjson");
    std::fs::write(&file, corrected).unwrap();
    let replay = || -> Value {
        serde_json::from_str(&run(&["replay", "--day", &day, "--file", file.to_str().unwrap(), "--json"])).unwrap()
    };
    let rows = || {
        column("SELECT impression_id FROM impressions WHERE second(occurred_at) = 0 AND date_format(occurred_at, 'HH:mm:ss.SSS') = '00:00:00.500'").len()
    };
    assert_eq!(rows(), 0);
    assert_eq!(replay()["replayed"], count);
    run(&["batch", "--day", &day]);
    assert_eq!(rows(), count);
    // Raw still has the rejected lines, but the replayed ones are no longer open.
    let open = run(&["rejected", "--day", &day, "--open", "--json"]);
    assert_eq!(open.lines().count(), lines.lines().count() - count);
    let before = everything();
    let second = replay();
    assert_eq!((&second["replayed"], &second["objects"]), (&Value::from(count), &serde_json::json!([])));
    run(&["batch", "--day", &day]);
    assert_eq!(everything(), before);
}
