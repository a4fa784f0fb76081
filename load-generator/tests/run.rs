//! Runs the real binary against a server in this process.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use common::{DAY, Reply, Server, config, ids, loadgen, run};
use serde_json::{Value, json};

#[test]
fn a_day_is_sent_to_the_last_click_and_accounted_for() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (_folder, config) = config("");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "5000", "--seed", "7"]);
    assert!(output.status.success(), "{output:?}");

    let (impressions, clicks) = (server.events("impressions"), server.events("clicks"));
    assert_eq!(impressions.len(), 5_000);
    assert_eq!(ids(&impressions, "impression_id").len(), 5_000);
    // Within 4.5 standard deviations of 0.3.
    assert!((1_354..=1_646).contains(&clicks.len()), "{}", clicks.len());
    assert_eq!(ids(&clicks, "click_id").len(), clicks.len());
    let shown: BTreeMap<&str, &Value> = impressions.iter().map(|i| (i["impression_id"].as_str().unwrap(), i)).collect();
    for click in &clicks {
        let impression = shown[click["impression_id"].as_str().unwrap()];
        assert_eq!(click["ad_id"], impression["ad_id"]);
        assert!(click["occurred_at"].as_str() > impression["occurred_at"].as_str());
    }
    let times = impressions.iter().chain(&clicks).map(|event| event["occurred_at"].as_str().unwrap());
    assert!(times.clone().all(|time| time.starts_with("2026-03-01 ") && time.len() == 23));
    let hours: BTreeSet<&str> = times.map(|time| &time[11..13]).collect();
    assert_eq!(hours.len(), 24);
    assert!(server.received().iter().all(|r| r.path == format!("/{}", r.table) && r.events.len() <= 500));

    assert_eq!(report["complete"], true);
    assert_eq!((&report["day"], &report["seed"]), (&json!(DAY), &json!(7)));
    for (table, count) in [("impressions", 5_000), ("clicks", clicks.len())] {
        assert_eq!(report["events"][table]["sent"], count);
        assert_eq!(report["events"][table]["acknowledged"], count);
        assert_eq!(report["events"][table]["unknown"], 0);
        assert_eq!(report["events"][table]["refused"], json!({}));
    }
    assert_eq!(report["requests"]["count"], server.received().len());
    assert_eq!(report["requests"]["retries"], 0);
    // 5,000 impressions: four decimals are exact.
    assert_eq!(report["clickthrough_rate"].as_f64().unwrap(), clicks.len() as f64 / 5_000.0);
}

#[test]
fn the_same_seed_and_day_send_the_same_events_whatever_the_connections() {
    let events = |arguments: &[&str]| -> BTreeSet<String> {
        let server = Server::start(|_, request| Reply::stored(request));
        let (_folder, config) = config("");
        let arguments = [&["--day", DAY, "--impressions", "3000"], arguments].concat();
        assert!(run(&server, &config, &arguments).0.status.success());
        ["impressions", "clicks"].iter().flat_map(|table| server.events(table)).map(|event| event.to_string()).collect()
    };
    let once = events(&["--seed", "1", "--connections", "1"]);
    assert_eq!(once, events(&["--seed", "1", "--connections", "8", "--batch-size", "7"]));
    assert_eq!(once.intersection(&events(&["--seed", "2"])).count(), 0);
}

#[test]
fn a_click_is_sent_after_its_impression() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (_folder, config) = config("");
    let arguments = ["--day", DAY, "--impressions", "2000", "--connections", "1", "--batch-size", "50"];
    assert!(run(&server, &config, &arguments).0.status.success());
    let mut shown = BTreeSet::new();
    let mut clicks_before_the_end = false;
    for request in server.received() {
        for event in request.events {
            let impression = event["impression_id"].as_str().unwrap().to_owned();
            if request.table == "impressions" {
                shown.insert(impression);
            } else {
                assert!(shown.contains(&impression));
                clicks_before_the_end |= shown.len() < 1_000;
            }
        }
    }
    assert!(clicks_before_the_end);
}

/// Every third event of each batch that the server sees for the first time fails twice with `NotStored`.
#[test]
fn only_what_failed_is_sent_again() {
    let mut failures: BTreeMap<String, u32> = BTreeMap::new();
    let server = Server::start(move |_, request| {
        let key = if request.table == "clicks" { "click_id" } else { "impression_id" };
        let fails = |(index, event): (usize, &Value)| {
            let id = event[key].as_str().unwrap().to_owned();
            let known = failures.get(&id).copied();
            let fails = known.map_or(index % 3 == 0, |times| times < 2);
            *failures.entry(id).or_default() += 1;
            fails.then_some("NotStored")
        };
        Reply::Records(request.events.iter().enumerate().map(fails).collect())
    });
    let (_folder, config) = config("");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "900", "--seed", "3"]);
    assert!(output.status.success(), "{output:?}");
    for (table, key) in [("impressions", "impression_id"), ("clicks", "click_id")] {
        let times = ids(&server.events(table), key);
        let sent_once = times.values().filter(|&&times| times == 1).count();
        let sent_thrice = times.values().filter(|&&times| times == 3).count();
        assert_eq!(sent_once + sent_thrice, times.len());
        assert!(sent_thrice >= times.len() / 3);
        assert_eq!(report["events"][table]["sent"], times.len());
        assert_eq!(report["events"][table]["acknowledged"], times.len());
        assert_eq!(report["events"][table]["retried"], 2 * sent_thrice);
    }
    assert!(report["requests"]["causes"]["NotStored"].as_u64() > Some(0));
}

#[test]
fn a_final_refusal_is_counted_by_its_code_and_not_sent_again() {
    let server = Server::start(|_, request| {
        let code = |index| (index % 10 == 0).then_some("InvalidEvent");
        Reply::Records((0..request.events.len()).map(code).collect())
    });
    let (_folder, config) = config("");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "1000", "--clickthrough", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(server.events("impressions").len(), 1_000);
    assert_eq!(report["complete"], false);
    assert_eq!(report["events"]["impressions"]["refused"], json!({"InvalidEvent": 100}));
    assert_eq!(report["events"]["impressions"]["acknowledged"], 900);
    assert_eq!(report["events"]["clicks"]["sent"], 0);
}

#[test]
fn a_batch_is_retried_after_the_requested_delay() {
    let server = Server::start(|n, request| match n {
        0 => Reply::Status(503, vec![("retry-after", "1")]),
        1 => Reply::Status(429, vec![]),
        2 => Reply::Status(502, vec![]),
        _ => Reply::stored(request),
    });
    let (_folder, config) = config("");
    let arguments = ["--day", DAY, "--impressions", "100", "--clickthrough", "0", "--connections", "1"];
    let (output, report) = run(&server, &config, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.events("impressions").len(), 400);
    assert_eq!(ids(&server.events("impressions"), "impression_id").len(), 100);
    assert_eq!(report["requests"]["causes"], json!({"Http429": 1, "Http502": 1, "Http503": 1}));
    assert_eq!(report["requests"]["retries"], 3);
    assert!(report["seconds"].as_f64().unwrap() >= 1.0);
    assert!(report["events"]["impressions"]["latency_ms"]["max"].as_f64().unwrap() >= 1_000.0);
    assert!(report["requests"]["service_ms"]["count"] == 4);
}

/// After a broken connection or an unreadable answer, it is not known what the server did. The event is then unknown,
/// not refused, unless a later answer settles it.
#[test]
fn what_the_server_may_have_stored_is_unknown() {
    for (reply, code) in [
        (Reply::Close, "NoAnswer"),
        (Reply::Body("{}"), "UnreadableAnswer"),
        (Reply::Body(r#"{"failed_count":0,"records":[]}"#), "UnreadableAnswer"),
        (Reply::Status(500, vec![]), "Http500"),
    ] {
        let server = Server::start(move |n, _| if n == 0 { reply.clone() } else { Reply::Status(503, vec![]) });
        let (_folder, config) = config("Requests: {Tries: 2, Connections: 1}\n");
        let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "10", "--clickthrough", "0"]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(report["events"]["impressions"]["unknown"], 10, "{report}");
        assert_eq!(report["requests"]["causes"], json!({code: 1, "Http503": 1}));
    }
}

#[test]
fn what_was_certainly_not_stored_is_refused() {
    let server = Server::start(|_, _| Reply::Status(503, vec![]));
    let (_folder, config) = config("Requests: {Tries: 3}\n");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "10", "--clickthrough", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["events"]["impressions"]["refused"], json!({"Http503": 10}));
    assert_eq!(server.received().len(), 3);
}

#[test]
fn a_run_stops_when_the_server_is_unreachable() {
    // A free port on which nothing listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, config) = config("Requests: {Tries: 2, BatchSize: 10}\n");
    let output = loadgen(&["-c", &config, "--day", DAY, "--impressions", "100000", "--json"])
        .env("LOADGEN_TEST_URL", format!("http://{free}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped"], "unreachable");
    let sent = report["events"]["impressions"]["sent"].as_u64().unwrap();
    assert!(sent <= 100, "{sent}");
    assert_eq!(report["events"]["impressions"]["refused"], json!({"ConnectFailed": sent}));
    assert!(report["requests"]["connection_error"].as_str().unwrap().to_lowercase().contains("refused"), "{report}");
    assert_eq!(report["requests"]["bytes_sent"], 0);
}

#[test]
fn a_run_stops_when_the_server_refuses_everything() {
    let server = Server::start(|_, _| Reply::Status(403, vec![]));
    let (_folder, config) = config("Requests: {BatchSize: 10, Connections: 1}\n");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "100000"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&report["stopped"], server.received().len()), (&json!("refused"), 3));
    assert_eq!(report["events"]["impressions"]["refused"], json!({"Http403": report["events"]["impressions"]["sent"]}));
}

#[test]
fn connections_are_kept_and_bounded() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (_folder, config) = config("");
    let arguments = ["--day", DAY, "--impressions", "1000", "--batch-size", "5", "--connections", "3"];
    assert!(run(&server, &config, &arguments).0.status.success());
    let connections: BTreeSet<usize> = server.received().iter().map(|request| request.connection).collect();
    assert!((1..=3).contains(&connections.len()), "{connections:?}");
    assert!(server.received().len() >= 250);
}

#[test]
fn a_live_run_makes_exactly_the_impressions_asked_for() {
    let server = Server::start(|_, request| Reply::stored(request));
    // Views every 10 ms and clicks 20 ms later.
    let (folder, _) = config("");
    let path = folder.path().join("quick.yaml");
    let text = "Duration: 1h\nAds: {Count: 3}\nUsers: {Count: 50, ClickthroughProbability: 1, ViewFrequency: 10ms, \
                ViewVariance: 5ms, ConsiderDuration: 20ms, ConsiderVariance: 10ms}\nRequests: {BatchAge: 20ms}\n";
    std::fs::write(&path, text).unwrap();
    let before = chrono::Utc::now().naive_utc();
    let (output, report) = run(&server, &path.display().to_string(), &["--impressions", "777"]);
    let after = chrono::Utc::now().naive_utc();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.events("impressions").len(), 777);
    assert_eq!(server.events("clicks").len(), 777);
    assert_eq!(report["day"], Value::Null);
    for event in server.events("impressions").iter().chain(&server.events("clicks")) {
        let time = event["occurred_at"].as_str().unwrap();
        let time = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.3f").unwrap();
        assert!(time >= before - chrono::TimeDelta::milliseconds(1) && time <= after, "{before} {time} {after}");
    }
}

/// The server answers the first request only after the signal, so the request is in flight when the signal arrives.
#[cfg(unix)]
#[test]
fn an_interrupt_finishes_requests_in_flight_and_reports() {
    let (arrived, arrival) = mpsc::channel();
    let (allow, allowed) = mpsc::channel::<()>();
    let server = Server::start(move |n, request| {
        arrived.send(n).unwrap();
        if n == 0 {
            allowed.recv().unwrap();
        }
        Reply::stored(request)
    });
    let (_folder, config) = config("");
    let arguments = ["-c", &config, "--base-url", &server.url, "--json", "--day", DAY, "--impressions", "1000000"];
    let child = loadgen(&arguments)
        .args(["--connections", "1"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(arrival.recv().unwrap(), 0);
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(killed.success());
    allow.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped"], "interrupted");
    assert_eq!(report["complete"], false);
    let sent = report["events"]["impressions"]["sent"].as_u64().unwrap();
    assert!(sent >= 500);
    assert_eq!(report["events"]["impressions"]["acknowledged"], sent);
    assert_eq!(server.events("impressions").len() as u64, sent);
}

/// Every row of the journal is compared with what the server received and answered.
#[test]
fn the_journal_has_every_event_and_its_fate() {
    let server = Server::start(|n, request| {
        let malformed = |event: &Value| {
            let right = |key: &str| event[key].as_str().is_some_and(|text| text.len() == 36);
            let own = if request.table == "clicks" { "click_id" } else { "impression_id" };
            !right("ad_id") || !right(own) || event["occurred_at"] == "yesterday"
        };
        let code = |(index, event)| match event {
            event if malformed(event) => Some("InvalidEvent"),
            _ if n % 2 == 0 && index % 5 == 0 => Some("NotStored"),
            _ => None,
        };
        Reply::Records(request.events.iter().enumerate().map(code).collect())
    });
    let (folder, config) = config(
        "Repeats: {Share: 0.1}\nMalformed: {Share: 0.05}\nLate: {Share: 0.1, By: 48h}\nBots: {Share: 0.2}\n\
         Requests: {BatchSize: 50, Connections: 2, Tries: 20}\n",
    );
    let path = folder.path().join("journal.gz").display().to_string();
    let arguments = ["--day", DAY, "--impressions", "2000", "--seed", "4", "--journal", &path];
    let (output, report) = run(&server, &config, &arguments);
    assert!(output.status.success(), "{output:?}");

    let journal = std::io::read_to_string(flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())).unwrap();
    let rows: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (table, key) in [("impressions", "impression_id"), ("clicks", "click_id")] {
        let of = |wanted: &dyn Fn(&Value) -> bool| rows.iter().filter(|r| r["table"] == table && wanted(r)).count();
        let kind = |kind: &'static str| move |row: &Value| row["kind"].as_str().unwrap().starts_with(kind);
        assert_eq!(report["events"][table]["sent"], of(&|_| true));
        assert_eq!(report["events"][table]["repeats"], of(&kind("repeat")));
        assert_eq!(report["events"][table]["malformed"], of(&kind("malformed")));
        assert_eq!(report["events"][table]["late"], of(&|row| row["late"] == true));
        assert_eq!(report["events"][table]["bots"], of(&|row| row["bot"] == true));
        assert_eq!(report["events"][table]["refused"], json!({"InvalidEvent": of(&kind("malformed"))}));
        assert!(rows.iter().all(|row| (row["fate"] == "refused") == kind("malformed")(row)));
        // The number of attempts is the number of times that the server received the event.
        let seen = ids(&server.events(table), key);
        let mut tries: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row["table"] == table && row["kind"] != "malformed_short_id") {
            *tries.entry(row["id"].as_str().unwrap().to_owned()).or_default() +=
                row["tries"].as_u64().unwrap() as usize;
        }
        assert_eq!(tries, seen.into_iter().filter(|(id, _)| id.len() == 36).collect());
    }
    assert_eq!(of_kind(&rows, "impressions", "fresh"), 2_000);
}

fn of_kind(rows: &[Value], table: &str, kind: &str) -> usize {
    rows.iter().filter(|row| row["table"] == table && row["kind"] == kind).count()
}

#[test]
fn http2_and_gzip_are_sent_when_configured() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (_folder, config) = config("Requests: {Http2: true, Streams: 4, Connections: 2, Gzip: true, BatchSize: 20}\n");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "2000"]);
    assert!(output.status.success(), "{output:?}");
    let received = server.received();
    assert!(received.iter().all(|request| request.http2 && request.encoding.as_deref() == Some("gzip")));
    let connections: BTreeSet<usize> = received.iter().map(|request| request.connection).collect();
    assert!(connections.len() <= 2, "{connections:?}");
    assert_eq!(ids(&server.events("impressions"), "impression_id").len(), 2_000);
    assert!(report["requests"]["bytes_sent"].as_u64() < Some(2_000 * 144));
}

#[test]
fn https_works_with_servers_that_the_machine_trusts() {
    for more in ["Requests: {Tries: 2}\n", "Requests: {Tries: 2, Http2: true, Streams: 2}\n"] {
        let (server, certificate) = Server::start_secure(|_, request| Reply::stored(request));
        let (folder, config) = config(more);
        let trusted = folder.path().join("trusted.pem");
        std::fs::write(&trusted, certificate).unwrap();
        let send = |trusted: &std::path::Path| {
            let arguments = ["run", "-c", &config, "--base-url", &server.url, "--day", DAY, "--json", "--seed", "1"];
            let output =
                loadgen(&arguments).args(["--impressions", "2000"]).env("SSL_CERT_FILE", trusted).output().unwrap();
            (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
        };
        let (status, report) = send(&trusted);
        assert_eq!((status, &report["events"]["impressions"]["acknowledged"]), (Some(0), &json!(2_000)), "{report}");
        assert!(server.received().iter().all(|request| request.http2 == more.contains("Http2")));

        // Another server's certificate.
        let (_other, certificate) = Server::start_secure(|_, request| Reply::stored(request));
        std::fs::write(&trusted, certificate).unwrap();
        let before = server.received().len();
        let (status, report) = send(&trusted);
        assert_eq!((status, &report["stopped"]), (Some(1), &json!("unreachable")), "{report}");
        let error = report["requests"]["connection_error"].as_str().unwrap();
        assert!(error.contains("certificate"), "{error}");
        assert_eq!(server.received().len(), before);
    }
}

/// With a rate, the schedule continues while the server stalls. The delay counts in the latency of later batches.
#[test]
fn with_a_rate_latency_counts_from_when_a_batch_was_to_be_sent() {
    let stall = std::time::Duration::from_millis(500);
    let server = Server::start(move |n, request| {
        if n == 0 {
            std::thread::sleep(stall);
        }
        Reply::stored(request)
    });
    let (_folder, config) = config("Requests: {BatchAge: 1ms, Connections: 1, BatchSize: 10}\n");
    let arguments = ["--rate", "1000/s", "--impressions", "1000", "--clickthrough", "0"];
    let (output, report) = run(&server, &config, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.events("impressions").len(), 1_000);
    let at = |times: &Value, quantile| times[quantile].as_f64().unwrap();
    // One request in a hundred was slow, but a quarter of the batches was due in that time.
    assert!(at(&report["events"]["impressions"]["latency_ms"], "p90") > 100.0, "{report}");
    assert!(
        at(&report["requests"]["service_ms"], "p90") < at(&report["events"]["impressions"]["latency_ms"], "p90"),
        "{report}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_users_fit_in_300_megabytes() {
    let (arrived, arrival) = mpsc::channel();
    let server = Server::start(move |n, request| {
        arrived.send(n).unwrap();
        Reply::stored(request)
    });
    let (folder, _) = config("");
    let path = folder.path().join("crowd.yaml");
    let text = "Duration: 1h\nAds: {Count: 1000}\nUsers: {Count: 100000, ClickthroughProbability: 0.3, \
                ViewFrequency: 1s, ViewVariance: 500ms, ConsiderDuration: 2s}\nRequests: {Connections: 64}\n";
    std::fs::write(&path, text).unwrap();
    let child = loadgen(&["-c", &path.display().to_string(), "--base-url", &server.url, "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    arrival.iter().find(|&n| n == 300);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let kilobytes: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    std::process::Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(kilobytes < 300_000, "{kilobytes} kB");
}

#[test]
fn only_refusals_in_a_row_end_a_run() {
    let server = Server::start(|n, request| match n % 3 {
        2 => Reply::stored(request),
        _ => Reply::Status(403, vec![]),
    });
    let (_folder, config) = config("Requests: {BatchSize: 10, Connections: 1}\n");
    let (_, report) = run(&server, &config, &["--day", DAY, "--impressions", "120", "--clickthrough", "0"]);
    assert_eq!((&report["stopped"], server.received().len()), (&Value::Null, 12));
    let impressions = &report["events"]["impressions"];
    assert_eq!((&impressions["acknowledged"], &impressions["refused"]), (&json!(40), &json!({"Http403": 80})));
    assert_eq!(report["requests"]["causes"], json!({}));
}

#[test]
fn byte_counts_are_those_of_the_bodies() {
    const ANSWER: &str = r#"{"failed_count":0,"records":[{"failed":false}]}"#;
    let server = Server::start(|_, _| Reply::Body(ANSWER));
    let (_folder, config) = config("Requests: {BatchSize: 1, Connections: 1}\n");
    let (output, report) = run(&server, &config, &["--day", DAY, "--impressions", "5", "--clickthrough", "0"]);
    assert!(output.status.success(), "{output:?}");
    let sent = server.events("impressions").into_iter().map(|event| json!({"impressions": [event]}).to_string().len());
    assert_eq!(report["requests"]["bytes_sent"], sent.sum::<usize>());
    assert_eq!(report["requests"]["bytes_received"], 5 * ANSWER.len());
}
