//! The command line next to other programs, with settings of the user and with closed pipes. No emulator.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[path = "support/checkout.rs"]
mod checkout;

use checkout::{Checkout, Emulator, serve};
use serde_json::json;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_not_running(output: &Output) {
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert!(text(&output.stderr).contains("no warehouse is running here"), "{}", text(&output.stderr));
}

#[test]
fn a_running_warehouse_is_found_with_any_proxy() {
    let checkout = Checkout::new(serve(), 0);
    let emulator = Emulator::of(&checkout.instance());
    checkout.runs(emulator.0.id());
    let mut status = checkout.dataless(&["status", "--base-url"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        status.env(name, "http://127.0.0.1:9");
    }
    let output = status.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let expected = format!("http://127.0.0.1:{}/restapis/abc/advertising/_user_request_\n", checkout.port);
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

#[test]
fn another_program_on_the_port_is_not_the_warehouse() {
    // The emulator has exited. Its process id is free or belongs to another program.
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    for emulator in [ended.id(), std::process::id(), 0, u32::MAX] {
        let checkout = Checkout::new(serve(), emulator);
        for args in [
            &["status", "--base-url"][..],
            &["erase", "--ad", "7d9f8a52-1c3e-4b6d-8f20-5a4e3c2b1d09", "--yes"],
            &["import", "."],
        ] {
            assert_not_running(&checkout.dataless(args).output().unwrap());
        }
    }
}

#[test]
fn the_emulator_of_another_checkout_is_ignored() {
    let (here, there) = (Checkout::new(serve(), 0), Checkout::new(serve(), 0));
    let emulator = Emulator::of(&there.instance());
    here.runs(emulator.0.id());
    assert_not_running(&here.dataless(&["status"]).output().unwrap());
    assert!(here.dataless(&["down"]).output().unwrap().status.success());
    // `down` has not stopped it.
    there.runs(emulator.0.id());
    assert!(there.dataless(&["status", "--base-url"]).output().unwrap().status.success());
}

#[test]
fn a_closed_pipe_ends_the_output_quietly() {
    let checkout = Checkout::new(0, 0);
    std::fs::write(checkout.instance().join("logs/a.log"), "line\n".repeat(100_000)).unwrap();
    let mut logs = checkout
        .dataless(&["logs", "a", "-n", "100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(logs.stdout.take());
    let output = logs.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    // Messages do not need a reader either.
    let mut status = checkout.dataless(&["status"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((status.stdout.take(), status.stderr.take()));
    assert_eq!(status.wait().unwrap().code(), Some(1));
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_an_error() {
    let checkout = Checkout::new(0, 0);
    std::fs::write(checkout.instance().join("logs/a.log"), "line\n").unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = checkout.dataless(&["logs", "a"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: failed to print the result"), "{}", text(&output.stderr));
}

/// Writes an executable shell script with this text to a folder.
fn script(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Cargo is replaced by a script that pretends to build the load generator. The load generator is a script that prints
/// its arguments.
#[test]
fn the_load_generator_is_built_and_gets_the_url_of_the_running_warehouse() {
    let checkout = Checkout::new(serve(), 0);
    let programs = checkout.dir.path();
    let message = json!({ "reason": "compiler-artifact", "executable": programs.join("loadgen") });
    script(programs, "cargo", &format!("echo \"$@\" > cargo.args\necho '{message}'"));
    script(
        programs,
        "loadgen",
        "echo \"$BASE_URL $LOADGEN_CONFIG $LOADGEN_SCHEMAS $@\"\nexit $(cat \"${0%/*}/status\" 2>/dev/null || echo 0)",
    );
    let loadgen = |args: &[&str]| {
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = checkout.dataless(&[&["loadgen"], args].concat());
        command.env("PATH", path);
        command
    };
    // Without a warehouse, only commands that do not need one work.
    assert_not_running(&loadgen(&["run"]).output().unwrap());
    let root = programs.canonicalize().unwrap().display().to_string();
    let defaults = format!("{root}/load-generator/config.yaml {root}/events");
    let files = loadgen(&["files", "--day", "yesterday", "--help"]).output().unwrap();
    assert_eq!(text(&files.stdout), format!(" {defaults} files --day yesterday --help\n"), "{}", text(&files.stderr));
    assert!(std::fs::read_to_string(programs.join("cargo.args")).unwrap().contains("--bin loadgen"));

    let emulator = Emulator::of(&checkout.instance());
    checkout.runs(emulator.0.id());
    let url = format!("http://127.0.0.1:{}/restapis/abc/advertising/_user_request_", checkout.port);
    for (status, expected) in [("0", 0), ("1", 1), ("2", 2), ("7", 1)] {
        std::fs::write(programs.join("status"), status).unwrap();
        let output = loadgen(&["--impressions", "10", "--json"]).output().unwrap();
        assert_eq!(text(&output.stdout), format!("{url} {defaults} --impressions 10 --json\n"));
        assert_eq!(output.status.code(), Some(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn a_warehouse_is_found_from_a_folder_of_any_name_and_by_links() {
    for name in ["a\n'b\" c", "für Ödön 🦀", "feature%2Fx#1", "$(id);`id`", "-rf", "x "] {
        let checkout = Checkout::named(name, serve(), 0);
        let emulator = Emulator::of(&checkout.instance());
        checkout.runs(emulator.0.id());
        assert!(checkout.dataless(&["status", "--base-url"]).output().unwrap().status.success(), "{name}");
        let link = checkout.dir.path().join("link");
        std::os::unix::fs::symlink(checkout.root().join("crates"), &link).unwrap();
        let linked = checkout.dataless(&["status", "--base-url"]).current_dir(&link).output().unwrap();
        assert!(linked.status.success(), "{name}: {}", text(&linked.stderr));
    }
}

#[test]
fn the_emulator_of_a_folder_with_the_same_path_suffix_is_ignored() {
    let here = Checkout::new(serve(), 0);
    // A path below a folder whose name ends with a space: `/tmp/x `, followed by the path of this instance.
    let alike = format!("/tmp/x {}", here.instance().display());
    let emulator = Emulator::of(Path::new(&alike));
    here.runs(emulator.0.id());
    assert_not_running(&here.dataless(&["status"]).output().unwrap());
}

#[test]
fn only_path_is_needed_from_the_environment() {
    let checkout = Checkout::new(serve(), 0);
    let emulator = Emulator::of(&checkout.instance());
    checkout.runs(emulator.0.id());
    let mut status = checkout.dataless(&["status", "--base-url"]);
    assert!(status.env_clear().output().unwrap().status.success());
    // With an unknown locale and a terminal of 20 columns.
    for args in [&["--help"][..], &["import", "--help"], &["status", "--base-url"]] {
        let mut command = checkout.dataless(args);
        command.env_clear().envs([
            ("LC_ALL", "tr_TR.ISO-8859-9"),
            ("COLUMNS", "20"),
            ("NO_COLOR", "1"),
            ("TERM", "dumb"),
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(![output.stdout, output.stderr].concat().contains(&0x1b), "{args:?}");
    }
}

/// Writes a script that appends its environment to the file `environment` next to it and then runs these lines.
fn fake(folder: &Path, name: &str, lines: &str) {
    use std::os::unix::fs::PermissionsExt;

    let path = folder.join(name);
    let script = format!("#!/bin/sh\nenv >> '{}'\n{lines}\n", folder.join("environment").display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Settings that a user may have for other projects.
const SETTINGS: [(&str, &str); 16] = [
    ("AWS_PROFILE", "production"),
    ("BASH_ENV", "/elsewhere"),
    ("CARGO_BUILD_TARGET", "wasm32-unknown-unknown"),
    ("CARGO_ENCODED_RUSTFLAGS", "-Dwarnings"),
    ("GIT_DIR", "/elsewhere/.git"),
    ("GIT_INDEX_FILE", "/elsewhere/index"),
    ("HADOOP_CONF_DIR", "/etc/hadoop"),
    ("JAVA_TOOL_OPTIONS", "-Xmx64m"),
    ("LANG", "tr_TR.UTF-8"),
    ("PIP_TARGET", "/elsewhere"),
    ("PYTHONPATH", "/elsewhere"),
    ("PYTHONHOME", "/elsewhere"),
    ("RUSTFLAGS", "-Ctarget-cpu=native"),
    ("SPARK_HOME", "/opt/spark"),
    ("SSH_AUTH_SOCK", "/elsewhere"),
    ("UV_PYTHON", "3.8"),
];

#[test]
fn tools_and_git_inherit_no_settings_for_other_work() {
    let programs = tempfile::tempdir().unwrap();
    // This Python reports the right version but fails to create a virtual environment.
    fake(programs.path(), "python3.11", "[ \"$1\" = -c ] && echo 3.11 && echo \"$0\" || exit 9");
    fake(programs.path(), "git", "exit 9");
    let checkout = Checkout::new(0, 0);
    std::fs::create_dir(checkout.root().join("events")).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    for (args, calls) in [(&["lock"][..], 2), (&["events", "check", "--against", "main"], 1)] {
        let mut command = checkout.dataless(args);
        command.env("PATH", &path).envs(SETTINGS).envs([("TZ", "Asia/Kathmandu"), ("LC_ALL", "tr_TR.UTF-8")]);
        assert_eq!(command.output().unwrap().status.code(), Some(1));
        let found = std::fs::read_to_string(programs.path().join("environment")).unwrap();
        std::fs::remove_file(programs.path().join("environment")).unwrap();
        assert_eq!(found.lines().filter(|line| line.starts_with("PATH=")).count(), calls, "{found}");
        for (name, _) in SETTINGS {
            assert!(!found.lines().any(|line| line.starts_with(&format!("{name}="))), "{name}: {found}");
        }
        assert!(!found.contains("Kathmandu") && !found.contains("tr_TR"), "{found}");
    }
}
