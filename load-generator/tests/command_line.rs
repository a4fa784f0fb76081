//! The command line: arguments, output and exit status.

mod common;

use common::{DAY, Reply, Server, config, ids, loadgen, run};
use serde_json::Value;

#[test]
fn invalid_usage_and_configuration_exit_with_status_2_and_name_the_place() {
    let (_folder, right) = config("");
    let (_folder2, wrong) = config("Requests: {Retries: 3}\n");
    for (arguments, expected) in [
        (vec!["-c", "/nonexistent/config.yaml"], "failed to read the configuration /nonexistent/config.yaml"),
        (vec!["-c", &wrong], "config.yaml:5:12"),
        (vec!["-c", &right], "BaseURL: the environment variable LOADGEN_TEST_URL is not set"),
        (vec!["-c", &right, "--base-url", "ftp://x/"], "only http:// and https://"),
        (vec!["-c", &right, "--day", "2999-01-01"], "that day is not over yet in UTC"),
        (vec!["-c", &right, "--day", "first"], "not a day like 2026-01-31"),
        (vec!["-c", &right, "--clickthrough", "2"], "must be a number from 0 to 1"),
        (vec!["-c", &right, "--duration", "soon"], "is not a duration like 10m"),
        (vec!["-c", &right, "--rate", "fast"], "not a rate like 20000/s"),
        (vec!["-c", &right, "--sed", "1"], "--seed"),
    ] {
        let output = loadgen(&arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_first_ad_that_is_printed_is_the_most_popular() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (_folder, config) = config("");
    let output = loadgen(&["ads", "-c", &config]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(run(&server, &config, &["--day", DAY, "--impressions", "1000"]).0.status.success());
    let seen = ids(&server.events("impressions"), "ad_id");
    assert_eq!(printed.lines().count(), 10);
    assert!(seen.keys().all(|ad| printed.contains(ad)));
    assert_eq!(seen.iter().max_by_key(|(_, times)| **times).unwrap().0, printed.lines().next().unwrap());
}

#[test]
fn the_text_report_describes_the_run() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (_folder, config) = config("");
    let output = loadgen(&["-c", &config, "--day", "yesterday", "--impressions", "1000", "--clickthrough", "0"])
        .env("LOADGEN_TEST_URL", &server.url)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Complete: every event was acknowledged."), "{text}");
    assert!(text.contains("1,000"), "{text}");
}

/// Flags override the file. The other keys of a section keep their values.
#[test]
fn shares_can_be_given_on_the_command_line() {
    let malformed = |event: &Value| event["occurred_at"] == "yesterday" || event["ad_id"].is_null();
    let server = Server::start(move |_, request| {
        let own = if request.table == "clicks" { "click_id" } else { "impression_id" };
        let code =
            |event: &Value| (malformed(event) || event[own].as_str().unwrap().len() != 36).then_some("InvalidEvent");
        Reply::Records(request.events.iter().map(code).collect())
    });
    let (_folder, config) = config("Late: {Share: 0.9, By: 48h}\n");
    let arguments = ["--day", DAY, "--impressions", "1000", "--seed", "1", "--repeats", "0.1", "--late", "0.2"];
    let (output, report) = run(&server, &config, &[&arguments[..], &["--malformed", "0.05", "--bots", "1"]].concat());
    assert!(output.status.success(), "{output:?}");
    let of = |key: &str| report["events"]["impressions"][key].as_u64().unwrap();
    // Within 4.5 standard deviations of the shares.
    assert!((57..=143).contains(&of("repeats")), "{report}");
    assert!((19..=81).contains(&of("malformed")), "{report}");
    // Late views are late again when they are repeated.
    assert!((143..=330).contains(&of("late")), "{report}");
    assert_eq!(of("bots"), of("sent"));
    // A bot clicks every time.
    assert_eq!(report["clickthrough_rate"], 1.0);
    let late = server
        .events("impressions")
        .iter()
        .filter(|event| event["occurred_at"].as_str().unwrap().starts_with("2026-02-27"))
        .count();
    assert!(late > 100, "{late}");
}

/// A progress line is shown on a terminal only.
#[cfg(unix)]
#[test]
fn a_terminal_shows_the_progress_of_the_run() {
    use std::io::Read;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let server = Server::start(|n, request| {
        if n == 1 {
            // Longer than the interval at which the line is drawn.
            std::thread::sleep(std::time::Duration::from_millis(700));
        }
        if n == 0 { Reply::Status(503, vec![]) } else { Reply::stored(request) }
    });
    let (_folder, config) = config("");
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = std::fs::File::options().read(true).write(true).open(name).unwrap();
    let arguments = ["-c", &config, "--base-url", &server.url, "--json", "--day", DAY, "--impressions", "1000"];
    let mut command = loadgen(&arguments);
    command.env("TERM", "xterm").args(["--connections", "1"]).stdout(std::process::Stdio::piped()).stderr(terminal);
    let child = command.spawn().unwrap();
    // Only the child has the terminal open now, so reading ends when it exits.
    drop(command);
    let mut shown = Vec::new();
    // On Linux, reading from a terminal that no process has open is an error.
    let _ = std::fs::File::from(controller).read_to_end(&mut shown);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice::<Value>(&output.stdout).unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("0 of about 1,300 events") && shown.contains(", 500 retried"), "{shown}");
    // The last sequence clears the line (ECMA-48, erase in line).
    assert!(shown.trim_end().ends_with("\u{1b}[2K"), "{shown:?}");
}
