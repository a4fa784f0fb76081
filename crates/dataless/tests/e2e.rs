//! The command line as a user runs it: real Lambdas, real Spark, on the emulator. Minutes long, so `cargo dataless test`
//! runs it in a step of its own, one test at a time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn dataless(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dataless"));
    command.current_dir(root()).args(args).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs it to its end, which must be a good one.
fn run(args: &[&str]) -> String {
    let output = dataless(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}\n{}", output.status, text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Processes whose command line names a folder of this checkout's demo.
fn demo_processes() -> Vec<(Pid, String)> {
    let folder = root().join(".dataless/demo").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let bytes = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        if line.contains(&folder) {
            found.push((pid, line));
        }
    }
    found
}

/// Waits until `look` finds something.
fn wait_for<T>(what: &str, demo: &mut Child, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(demo.try_wait().unwrap().is_none(), "the demo ended before: {what}");
        assert!(started.elapsed() < Duration::from_secs(900), "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn start_demo() -> Child {
    let _ = std::fs::remove_file(root().join(".dataless/demo/state.json"));
    dataless(&["demo", "--impressions", "1000"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The emulator of a demo that has deployed.
fn emulator_of(demo: &mut Child) -> Pid {
    let state = root().join(".dataless/demo/state.json");
    wait_for("the deployment", demo, || {
        let state: Value = serde_json::from_slice(&std::fs::read(&state).ok()?).ok()?;
        Pid::from_raw(i32::try_from(state["emulator"].as_i64()?).ok()?)
    })
}

fn assert_nothing_runs(emulator: Pid) {
    assert!(test_kill_process_group(emulator).is_err(), "the emulator still runs");
    assert_eq!(demo_processes(), [], "processes of the demo still run");
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn a_demo_balances_and_counts_what_was_sent() {
    let report: Value =
        serde_json::from_str(&run(&["demo", "--impressions", "3000", "--seed", "7", "--json"])).unwrap();
    let written: Value =
        serde_json::from_slice(&std::fs::read(root().join(".dataless/demo/report.json")).unwrap()).unwrap();
    assert_eq!(report, written);
    assert_eq!(report["balanced"], true);
    let clicks = report["accepted"]["clicks"].as_u64().unwrap();
    // Three thousand draws at 0.3: five standard deviations are 126.
    assert!((774..=1026).contains(&clicks), "{clicks}");
    for place in ["accepted", "raw", "ledger", "lake", "realtime"] {
        assert_eq!(report[place]["impressions"], 3000, "{place}");
        assert_eq!(report[place]["clicks"], clicks, "{place}");
    }
    for place in ["repeats", "rejected", "late"] {
        assert_eq!(report[place], serde_json::json!({"impressions": 0, "clicks": 0}), "{place}");
    }
    assert_eq!(report["advertising"], serde_json::json!({"rows": 3000, "clicked": clicks}));
    let traffic = &report["traffic"];
    assert!(traffic["items"].as_u64().unwrap() > 10);
    assert_eq!((&traffic["checked"], &traffic["mismatches"]), (&traffic["items"], &Value::from(0)));
    let rate = report["clickthrough_rate"].as_f64().unwrap();
    assert!((rate - clicks as f64 / 3000.0).abs() < 1e-9);
    assert_eq!(demo_processes(), []);
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn when_the_emulator_dies_the_error_names_its_log_and_nothing_is_left() {
    let mut demo = start_demo();
    let emulator = emulator_of(&mut demo);
    kill_process_group(emulator, Signal::KILL).unwrap();
    let output = demo.wait_with_output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the emulator ended by itself") && text.contains("emulator.log"), "{text}");
    assert_nothing_runs(emulator);
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn when_a_spark_job_dies_the_error_names_its_log_and_nothing_is_left() {
    let mut demo = start_demo();
    let emulator = emulator_of(&mut demo);
    let spark = wait_for("the ETL", &mut demo, || {
        demo_processes()
            .into_iter()
            .find(|(_, line)| line.contains("org.apache.spark.deploy.SparkSubmit") && line.contains("etl.py"))
    });
    kill_process(spark.0, Signal::KILL).unwrap();
    let output = demo.wait_with_output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("failed for") && text.contains("logs/spark-"), "{text}");
    assert_nothing_runs(emulator);
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn ctrl_c_stops_every_child() {
    let mut demo = start_demo();
    let emulator = emulator_of(&mut demo);
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("interrupted"));
    assert_nothing_runs(emulator);
}

/// The shell blocks of the README's section on staying, as a reader would paste them.
fn readme_commands() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("\n## Stay a while\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().concat()
}

/// What must not change when a day is run again.
const EVERYTHING: &str = "SELECT 'lake' AS part, ad_id, impression_id, CAST(occurred_at AS STRING), year, month, day FROM impressions \
    UNION ALL SELECT 'advertising', ad_id, impression_id, CAST(click_at AS STRING), year, month, day FROM advertising \
    UNION ALL SELECT 'traffic', ad_id, CAST(impressions AS STRING), CAST(clicks AS STRING), year, month, day FROM ad_traffic \
    UNION ALL SELECT 'ledger', table_name, CAST(raw AS STRING), CAST(kept AS STRING), year, month, day FROM ledger \
    ORDER BY 1, 2, 3, 4, 5, 6, 7";

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn the_readme_works_when_pasted_and_a_rerun_changes_nothing() {
    run(&["down", "--purge"]);
    let script = format!("set -euo pipefail\n{}", readme_commands());
    let pasted = Command::new("bash").arg("-c").arg(script).current_dir(root()).stdin(Stdio::null()).output().unwrap();
    let printed = text(&pasted);
    assert!(pasted.status.success(), "{printed}");
    assert!(printed.contains("\"impressions\":2,\"clicks\":1,\"clickthrough_rate\":0.5"), "{printed}");

    let day = chrono::Utc::now().date_naive().to_string();
    let before = run(&["query", "--format", "csv", EVERYTHING]);
    assert_eq!(before.lines().filter(|line| line.starts_with("lake,")).count(), 2, "{before}");
    run(&["etl", "--day", &day]);
    run(&["batch", "--day", &day]);
    assert_eq!(run(&["query", "--format", "csv", EVERYTHING]), before);

    // Down and up again: the data is still there.
    let outputs = run(&["status", "--json"]);
    run(&["down"]);
    assert!(!dataless(&["status"]).output().unwrap().status.success());
    run(&["up"]);
    assert_eq!(run(&["query", "--format", "csv", EVERYTHING]), before);
    let bucket = |status: &str| serde_json::from_str::<Value>(status).unwrap()["outputs"]["DataLakeBucket"].clone();
    assert_eq!(bucket(&run(&["status", "--json"])), bucket(&outputs));
    run(&["down", "--purge"]);
}
