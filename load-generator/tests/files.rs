//! Runs the program with `loadgen files`.

#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use common::{DAY, Reply, Server, config, loadgen, run};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// The files below a folder, by path, with their bytes.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn lines(file: &[u8]) -> Vec<String> {
    std::io::read_to_string(GzDecoder::new(file)).unwrap().lines().map(str::to_owned).collect()
}

fn files(config: &str, out: &Path, arguments: &[&str]) -> Value {
    let out = out.display().to_string();
    let output =
        loadgen(&["files", "-c", config, "--day", DAY, "--out", &out, "--json"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn files_have_the_layout_and_the_lines_of_the_raw_zone() {
    let (folder, config) = config("Late: {Share: 0.1, By: 48h}\nMalformed: {Share: 0.02}\nRepeats: {Share: 0.1}\n");
    let out = folder.path().join("out");
    let report = files(&config, &out, &["--impressions", "5000", "--seed", "1"]);
    let tree = tree(&out);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, file) in &tree {
        let parts: Vec<&str> = path.split('/').collect();
        let ["data", "raw", "ad", table, "year=2026", "month=03", "day=01", hour, name] = parts[..] else {
            panic!("{path}")
        };
        assert!(name.ends_with(".gz"), "{path}");
        let hour = hour.strip_prefix("hour=").unwrap();
        let lines = lines(file);
        *seen.entry(table).or_default() += lines.len() as u64;
        *bytes.entry(table).or_default() += file.len();
        for line in &lines {
            let event: Value = serde_json::from_str(line).unwrap();
            let time = event["occurred_at"].as_str().unwrap();
            // Events that are not late, malformed or repeated occurred in the hour in which they arrive.
            if time.starts_with(DAY) {
                let (occurred, arrived): (u32, u32) = (time[11..13].parse().unwrap(), hour.parse().unwrap());
                assert!(occurred == arrived || occurred + 1 == arrived, "{line} in hour {hour}");
            } else {
                assert!(time.starts_with("2026-02-27") || time == "yesterday", "{line}");
            }
        }
    }
    for table in ["impressions", "clicks"] {
        assert_eq!(report["events"][table]["lines"], seen[table]);
        assert_eq!(report["events"][table]["bytes"], bytes[table]);
    }
    let count = |key: &str| report["events"]["impressions"][key].as_u64().unwrap();
    assert_eq!(count("lines") - count("repeats") - count("malformed"), 5_000);
    assert!(count("late") > 400);
    assert_eq!(tree.len() as u64, count("files") + report["events"]["clicks"]["files"].as_u64().unwrap());
}

#[test]
fn files_are_the_same_to_the_byte_whatever_the_number_of_threads() {
    let (folder, config) = config("");
    let arguments = ["--impressions", "100000", "--seed", "9", "--clickthrough", "0.1"];
    let one = folder.path().join("one");
    let three = folder.path().join("three");
    files(&config, &one, &[&arguments[..], &["--threads", "1"]].concat());
    files(&config, &three, &[&arguments[..], &["--threads", "3"]].concat());
    let (one, three) = (tree(&one), tree(&three));
    assert_eq!(one.len(), 2 * 2 * 24);
    assert!(one == three);
}

#[test]
fn files_have_the_events_that_a_run_sends() {
    let (folder, config) = config("Repeats: {Share: 0.1}\nMalformed: {Share: 0.1}\n");
    let out = folder.path().join("out");
    let arguments = ["--impressions", "3000", "--seed", "5"];
    files(&config, &out, &arguments);
    let normal = |line: &str| serde_json::from_str::<Value>(line).unwrap().to_string();
    let mut written: Vec<String> = tree(&out).values().flat_map(|file| lines(file)).map(|line| normal(&line)).collect();
    let server = Server::start(|_, request| Reply::stored(request));
    run(&server, &config, &[&arguments[..], &["--day", DAY]].concat());
    let sent = ["impressions", "clicks"].iter().flat_map(|table| server.events(table));
    let mut sent: Vec<String> = sent.map(|event| event.to_string()).collect();
    written.sort_unstable();
    sent.sort_unstable();
    assert_eq!(written, sent);
}

#[test]
fn existing_files_are_not_overwritten() {
    let (folder, config) = config("");
    let out = folder.path().join("out");
    files(&config, &out, &["--impressions", "100", "--seed", "1"]);
    let before = tree(&out);
    let again = loadgen(&["files", "-c", &config, "--day", DAY, "--out", &out.display().to_string()])
        .args(["--impressions", "100", "--seed", "1"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists: choose another folder"));
    assert!(tree(&out) == before);
    // Another seed adds events to the same hours.
    files(&config, &out, &["--impressions", "100", "--seed", "2"]);
    let names: BTreeSet<String> = tree(&out).into_keys().collect();
    assert!(before.keys().all(|name| names.contains(name)) && names.len() > before.len());
}

/// If the process is killed, readers ignore its unfinished files because of their names.
#[cfg(unix)]
#[test]
fn a_file_has_its_final_name_only_when_it_is_complete() {
    let (folder, config) = config("");
    let out = folder.path().join("out");
    let out_text = out.display().to_string();
    let arguments = ["files", "-c", &config, "--day", DAY, "--out", &out_text, "--impressions", "20000000"];
    let mut child = loadgen(&arguments).args(["--threads", "1"]).spawn().unwrap();
    let names = || -> Vec<String> {
        let paths = if out.exists() { tree(&out).into_keys().collect() } else { Vec::new() };
        paths.into_iter().map(|path: String| path.rsplit('/').next().unwrap().to_owned()).collect()
    };
    while names().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(names().iter().all(|name| name.starts_with('.')), "{:?}", names());
}

#[test]
fn gzip_files_have_no_timestamp_so_that_they_can_be_compared() {
    let (folder, config) = config("");
    let out = folder.path().join("out");
    let report = files(&config, &out, &["--impressions", "1", "--seed", "1", "--clickthrough", "0"]);
    let (path, _) = tree(&out).into_iter().next().unwrap();
    let header = GzDecoder::new(File::open(out.join(path)).unwrap());
    assert_eq!(header.header().map(|header| header.mtime()), Some(0));
    assert_eq!(report["events"]["clicks"]["files"], json!(0));
}

#[test]
fn an_unread_report_is_not_a_failure() {
    let (folder, config) = config("");
    for json in [&[][..], &["--json"]] {
        let out = folder.path().join(format!("out{}", json.len())).display().to_string();
        let mut command = loadgen(&["files", "-c", &config, "--day", DAY, "--out", &out, "--impressions", "100"]);
        let piped = std::process::Stdio::piped;
        let mut child = command.args(json).stdout(piped()).stderr(piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    }
}
