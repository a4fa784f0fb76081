//! The command line as a user runs it, with real Lambdas and real Spark on the emulator. The tests take minutes, so
//! `cargo dataless test` runs them in a separate step. The tests of `demo` run one at a time. `a_warehouse_that_stays`
//! runs in parallel with them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use serde_json::Value;

#[path = "steps/erased.rs"]
mod erased;
#[path = "steps/readme.rs"]
mod readme;
#[path = "steps/replayed.rs"]
mod replayed;
#[path = "steps/sent.rs"]
mod sent;
#[path = "steps/undelivered.rs"]
mod undelivered;

use self::sent::{Sent, assert_accounted_for, is_late, sent_in_files};

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

/// Runs a command that must succeed, and returns its standard output.
fn run(args: &[&str]) -> String {
    let output = dataless(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}\n{}", output.status, text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A checkout has one demo at a time. The demo of a failed test has already ended.
fn alone_with_the_demo() -> MutexGuard<'static, ()> {
    static DEMO: Mutex<()> = Mutex::new(());
    DEMO.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Waits until `look` returns a value. Fails if the demo ends first.
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

fn report_of_the_demo() -> Value {
    serde_json::from_slice(&std::fs::read(root().join(".dataless/demo/report.json")).unwrap()).unwrap()
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn a_demo_balances_and_counts_what_was_sent() {
    let _alone = alone_with_the_demo();
    let printed = readme::demo();
    let report = report_of_the_demo();
    assert_eq!(report["balanced"], true, "{printed}");
    let clicks = report["accepted"]["clicks"].as_u64().unwrap();
    // 20,000 draws with probability 0.3: five standard deviations are 324.
    assert!((5676..=6324).contains(&clicks), "{clicks}");
    for place in ["accepted", "raw", "ledger", "lake", "realtime"] {
        assert_eq!(report[place]["impressions"], 20_000, "{place}");
        assert_eq!(report[place]["clicks"], clicks, "{place}");
    }
    for place in ["repeats", "rejected", "late"] {
        assert_eq!(report[place], serde_json::json!({"impressions": 0, "clicks": 0}), "{place}");
    }
    assert_eq!(report["advertising"], serde_json::json!({"rows": 20_000, "clicked": clicks}));
    let traffic = &report["traffic"];
    assert!(traffic["items"].as_u64().unwrap() > 10);
    assert_eq!((&traffic["checked"], &traffic["mismatches"]), (&traffic["items"], &Value::from(0)));
    let rate = report["clickthrough_rate"].as_f64().unwrap();
    // To four decimals.
    assert!((rate - clicks as f64 / 20_000.0).abs() <= 0.000_05);
    assert_eq!(demo_processes(), []);
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn the_build_artifacts_deploy_and_balance() {
    let _alone = alone_with_the_demo();
    let report: Value =
        serde_json::from_str(&run(&["demo", "--delivered", "--impressions", "1000", "--seed", "8", "--json"])).unwrap();
    assert_eq!(report, report_of_the_demo());
    assert_eq!(report["balanced"], true);
    for place in ["accepted", "raw", "ledger", "lake", "realtime"] {
        assert_eq!(report[place]["impressions"], 1000, "{place}");
    }
    let log = std::fs::read_to_string(root().join(".dataless/demo/logs/buildspec.log")).unwrap();
    for phase in ["[install]", "[pre_build]", "[build]"] {
        assert!(log.contains(phase), "{phase} did not run");
    }
    let configuration: Value =
        serde_json::from_slice(&std::fs::read(root().join(".dataless/demo/artifact/configuration.json")).unwrap())
            .unwrap();
    assert_eq!(configuration["Parameters"]["ScriptsBucket"], "dataless-artifacts");
    assert_eq!(configuration["Tags"]["branch"], "main");
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn when_the_emulator_dies_the_error_names_its_log_and_nothing_is_left() {
    let _alone = alone_with_the_demo();
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
fn when_a_spark_job_dies_the_batch_fails_names_its_log_and_nothing_is_left() {
    let _alone = alone_with_the_demo();
    let mut demo = start_demo();
    let emulator = emulator_of(&mut demo);
    let spark = wait_for("the ETL", &mut demo, || {
        demo_processes().into_iter().find(|(_, line)| line.contains("org.apache.spark.deploy.SparkSubmit"))
    });
    kill_process(spark.0, Signal::KILL).unwrap();
    let output = demo.wait_with_output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("failed") && text.contains("logs/spark"), "{text}");
    assert!(!text.contains("The books balance"), "{text}");
    assert_nothing_runs(emulator);
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn ctrl_c_stops_every_child() {
    let _alone = alone_with_the_demo();
    let mut demo = start_demo();
    let emulator = emulator_of(&mut demo);
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("interrupted"));
    assert_nothing_runs(emulator);
}

/// Everything that a rerun of a day must not change.
const EVERYTHING: &str = "SELECT 'lake' AS part, ad_id, impression_id, CAST(occurred_at AS STRING), year, month, day FROM impressions \
    UNION ALL SELECT 'clicks', ad_id, click_id, CAST(occurred_at AS STRING), year, month, day FROM clicks \
    UNION ALL SELECT 'advertising', ad_id, impression_id, CAST(click_at AS STRING), year, month, day FROM advertising \
    UNION ALL SELECT 'traffic', ad_id, CAST(impressions AS STRING), CAST(clicks AS STRING), year, month, day FROM ad_traffic \
    UNION ALL SELECT 'rejected', reason, source, line, year, month, day FROM rejected \
    UNION ALL SELECT 'ledger', table_name, CAST(raw AS STRING), CAST(kept AS STRING), year, month, day FROM ledger \
    ORDER BY 1, 2, 3, 4, 5, 6, 7";

fn everything() -> String {
    run(&["query", "--format", "csv", EVERYTHING])
}

/// Rows of a query's only column.
fn column(sql: &str) -> BTreeSet<String> {
    run(&["query", "--format", "csv", sql]).lines().skip(1).map(str::to_owned).collect()
}

fn days_ago(days: u64) -> String {
    (chrono::Utc::now().date_naive() - chrono::Days::new(days)).to_string()
}

/// Runs the load generator. Its shipped configuration is changed to add repeated, late and malformed events.
fn loadgen(folder: &Path, args: &[&str]) -> Value {
    let config = std::fs::read_to_string(root().join("load-generator/config.yaml")).unwrap();
    let changed = [
        ("  Share: 0.0                    # of the events, sent once more", "  Share: 0.03"),
        ("  Share: 0.0                    # of the views, that occurred", "  Share: 0.02 #"),
        ("  Share: 0.0                    # for each well-formed event", "  Share: 0.01 #"),
        // More than the three days in which an event still reaches the lake.
        ("By: 26h", "By: 120h"),
    ];
    let config = changed.iter().fold(config, |config, (from, to)| {
        assert!(config.contains(from), "{from}");
        config.replace(from, to)
    });
    let path = folder.join("config.yaml");
    std::fs::write(&path, config).unwrap();
    let base_url = run(&["status", "--base-url"]);
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_dataless")).with_file_name("loadgen"));
    command.env("BASE_URL", base_url.trim()).args(args).arg("--config").arg(path).arg("--json");
    let output = command.output().unwrap();
    // The exit status is an error because events were refused.
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

#[test]
#[ignore = "needs the emulator and Spark: cargo dataless test runs it"]
fn a_warehouse_that_stays() {
    run(&["down", "--purge"]);
    let mut cargo = Command::new("cargo");
    // Build scripts that read the variables that cargo sets for a test would run again.
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        cargo.env_remove(name);
    }
    let built =
        cargo.args(["build", "--quiet", "--workspace", "--bin", "loadgen"]).current_dir(root()).status().unwrap();
    assert!(built.success());
    let readers_ad = the_readme_works_when_pasted_and_a_rerun_changes_nothing();
    an_import_is_backfilled_and_a_second_time_changes_nothing();
    the_journal_of_the_load_generator_is_the_ledger(&readers_ad);
    replayed::rejected_lines_are_replayed_once();
    undelivered::lines_that_firehose_set_aside_are_taken_back_once();
    let erased = erased::what_is_erased_is_nowhere();
    data_survives_down_and_up(&erased);
    run(&["down", "--purge"]);
}

/// Returns the ad id of the events that the commands of the README send.
fn the_readme_works_when_pasted_and_a_rerun_changes_nothing() -> String {
    let script = format!("set -euo pipefail\n{}\necho \"the ad is $AD\"", readme::commands());
    let pasted = Command::new("bash").arg("-c").arg(script).current_dir(root()).stdin(Stdio::null()).output().unwrap();
    let printed = text(&pasted);
    assert!(pasted.status.success(), "{printed}");
    assert!(printed.contains("\"impressions\":2,\"clicks\":1,\"clickthrough_rate\":0.5"), "{printed}");

    let today = days_ago(0);
    let before = everything();
    assert_eq!(before.lines().filter(|line| line.starts_with("lake,")).count(), 2, "{before}");
    run(&["etl", "--day", "today"]);
    run(&["etl", "--day", &today, "--engine", "scala"]);
    run(&["batch", "--day", &today]);
    assert_eq!(everything(), before);
    printed.split("the ad is ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn an_import_is_backfilled_and_a_second_time_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("traffic");
    let (first, last) = (days_ago(9), days_ago(7));
    for day in [9, 8, 7].map(days_ago) {
        let arguments = ["files", "--day", &day, "--impressions", "2000", "--seed", &day[8..], "--out"];
        loadgen(folder.path(), &[&arguments[..], &[out.to_str().unwrap()]].concat());
    }
    let imported: Value = serde_json::from_str(&run(&["import", out.to_str().unwrap(), "--json"])).unwrap();
    assert!(imported["keys"].as_array().unwrap().len() > 100, "{imported}");
    // The ledger does not balance before the batch has run.
    assert_eq!(dataless(&["ledger", "--day", &first]).output().unwrap().status.code(), Some(1));
    run(&["batch", "--day", &first, "--to", &last]);
    let before = everything();
    let sent = sent_in_files(&out);
    assert_accounted_for(&sent);
    // The rejected lines are exactly those that are not events.
    for day in [9, 8, 7].map(days_ago) {
        let rejected: BTreeSet<String> = run(&["rejected", "--day", &day, "--json"])
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].as_str().unwrap().to_owned())
            .collect();
        let malformed = sent.iter().filter(|sent| sent.arrived == day && sent.event.is_none());
        assert_eq!(rejected, malformed.map(|sent| sent.line.clone()).collect(), "{day}");
        assert!(!rejected.is_empty());
    }
    let verified: Value = serde_json::from_str(&run(&["verify", "--day", &first, "--to", &last])).unwrap();
    assert_eq!((&verified["days"], &verified["different"]), (&Value::from(3), &Value::from(0)), "{verified}");
    assert!(verified["ads"].as_u64().unwrap() >= 90, "{verified}");

    let again: Value = serde_json::from_str(&run(&["import", out.to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(again["keys"], serde_json::json!([]));
    run(&["batch", "--day", &first, "--to", &last]);
    assert_eq!(everything(), before);
}

/// The warehouse accounts for every line of the journal, and contains nothing else.
fn the_journal_of_the_load_generator_is_the_ledger(readers_ad: &str) {
    #[derive(serde::Deserialize)]
    struct Line {
        table: String,
        id: String,
        kind: String,
        late: bool,
        fate: String,
        occurred_at: String,
    }
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.gz");
    let (day, today) = (days_ago(1), days_ago(0));
    let arguments = ["run", "--day", &day, "--impressions", "3000", "--seed", "11", "--journal"];
    loadgen(folder.path(), &[&arguments[..], &[journal.to_str().unwrap()]].concat());
    run(&["batch", "--day", &days_ago(3), "--to", &today]);

    let file = flate2::read::GzDecoder::new(std::fs::File::open(&journal).unwrap());
    let lines: Vec<Line> =
        std::io::BufReader::new(file).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(lines.len() > 3500, "{}", lines.len());
    let mut acknowledged = Vec::new();
    for line in &lines {
        // Every event has a final fate. The beacons refused the malformed ones.
        let fate = if line.kind.starts_with("malformed") { "refused" } else { "acknowledged" };
        assert_eq!(line.fate, fate, "{} of kind {}", line.id, line.kind);
        // loadgen and the ledger agree on which events are late.
        assert_eq!(line.late, is_late(&line.occurred_at, &today), "{}", line.id);
        if fate == "acknowledged" {
            acknowledged.push((line.table.as_str(), line.id.clone(), line.occurred_at.clone()));
        }
    }
    assert!(acknowledged.len() < lines.len());

    // Raw has each acknowledged event as often as it was acknowledged, and no refused event.
    let outputs: Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
    let bucket = outputs["outputs"]["DataLakeBucket"].as_str().unwrap();
    let copy = root().join(".dataless/up/s3").join(bucket).join("data/raw");
    let arrived: Vec<Sent> = sent_in_files(&copy).into_iter().filter(|sent| sent.arrived == today).collect();
    // Raw also has the events of the README. Their ad is not one of the load generator's.
    let by_hand = |sent: &&Sent| sent.line.contains(readers_ad);
    assert_eq!(arrived.iter().filter(by_hand).count(), 3);
    let mut raw: Vec<(&str, String, String)> = arrived
        .iter()
        .filter(|sent| !by_hand(sent))
        .map(|sent| {
            let (id, occurred_at) = sent.event.clone().unwrap_or_else(|| panic!("no event in raw: {}", sent.line));
            (sent.table, id, occurred_at)
        })
        .collect();
    raw.sort();
    acknowledged.sort();
    assert_eq!(raw, acknowledged);

    // The ledger and the lake agree with raw.
    assert_accounted_for(&arrived);
}

fn data_survives_down_and_up(erased: &str) {
    let before = everything();
    let outputs = run(&["status", "--json"]);
    run(&["down"]);
    assert!(!dataless(&["status"]).output().unwrap().status.success());
    erased::what_was_erased_is_on_no_disk(erased);
    run(&["up"]);
    assert_eq!(everything(), before);
    let bucket = |status: &str| serde_json::from_str::<Value>(status).unwrap()["outputs"]["DataLakeBucket"].clone();
    assert_eq!(bucket(&run(&["status", "--json"])), bucket(&outputs));
}
