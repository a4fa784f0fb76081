//! Checks the account of a run against a server with every kind of failure.

#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{DAY, Received, Reply, Server, config, ids, run};
use serde_json::{Value, json};

/// The name of the field with the own id.
fn own(table: &str) -> &'static str {
    if table == "clicks" { "click_id" } else { "impression_id" }
}

fn is_event(table: &str, event: &Value) -> bool {
    let id = |key: &str| event[key].as_str().is_some_and(|text| text.len() == 36);
    id("ad_id") && id(own(table)) && event["occurred_at"] != "yesterday"
}

fn journal(path: &Path) -> Vec<Value> {
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let text = std::io::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of the events that the server stored, by table.
type Store = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Reproducible pseudorandom numbers: the upper bits of Knuth's MMIX generator.
fn number(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// A server that stores all, some or none of the events of a batch. Its answer is true, or there is no usable answer.
fn unreliable(store: Store) -> Server {
    let mut state = 9;
    let mut since_refusal = 0;
    Server::start(move |_, request: &Received| {
        since_refusal += 1;
        let keep = |wanted: &dyn Fn(usize) -> bool| {
            for (index, event) in request.events.iter().enumerate() {
                if wanted(index) && is_event(&request.table, event) {
                    let id = event[own(&request.table)].as_str().unwrap().to_owned();
                    store.lock().unwrap().insert((request.table.clone(), id));
                }
            }
        };
        let failure = number(&mut state, 16);
        match failure {
            0 => Reply::Close,
            1 => {
                keep(&|_| true);
                Reply::Close
            }
            2 => Reply::Status(503, vec![("retry-after", "0")]),
            3 => Reply::Status(429, vec![]),
            4 => {
                keep(&|index: usize| index.is_multiple_of(2));
                Reply::Status(500, vec![])
            }
            5 => {
                keep(&|_| true);
                Reply::Body("{\"message\": \"fine, I think\"}")
            }
            6 => {
                keep(&|_| true);
                Reply::Torn
            }
            7 => {
                keep(&|index| index < 3);
                Reply::Hang
            }
            // Three of these in a row would end the run. Enough requests are between two, and some of them succeed.
            8 if since_refusal > 32 => {
                since_refusal = 0;
                Reply::Status(403, vec![])
            }
            _ => {
                // Store a part of the batch, and report the true result of each event.
                let fails = |index: usize| failure < 13 && index.is_multiple_of(3);
                keep(&|index| !fails(index));
                let code = |(index, event)| match is_event(&request.table, event) {
                    true => fails(index).then_some("NotStored"),
                    false => Some("InvalidEvent"),
                };
                Reply::Records(request.events.iter().enumerate().map(code).collect())
            }
        }
    })
}

/// For every line of the journal: an acknowledged event is stored, and a refused one is not. Every stored event is
/// acknowledged or unknown.
#[test]
fn no_failure_of_the_server_makes_the_account_wrong() {
    for http2 in [false, true] {
        let store = Store::default();
        let server = unreliable(Arc::clone(&store));
        let streams = if http2 { "Http2: true, Streams: 4, " } else { "" };
        let (folder, config) = config(&format!(
            "Malformed: {{Share: 0.05}}\nRequests: {{{streams}Connections: 4, BatchSize: 10, Tries: 3, Timeout: 300ms}}\n"
        ));
        let path = folder.path().join("journal.gz");
        let arguments = ["--day", DAY, "--impressions", "1500", "--seed", "6", "--journal", path.to_str().unwrap()];
        let (output, report) = run(&server, &config, &arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(report["stopped"], Value::Null, "{report}");

        let store = store.lock().unwrap();
        let mut fates: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut recorded = BTreeSet::new();
        for row in journal(&path) {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let (table, id, fate) = (text("table"), text("id"), text("fate"));
            let stored = store.contains(&(table.clone(), id.clone()));
            match fate.as_str() {
                "acknowledged" => assert!(stored, "{row}"),
                "refused" => assert!(!stored, "{row}"),
                _ => assert_eq!(fate, "unknown"),
            }
            *fates.entry((table.clone(), fate)).or_default() += 1;
            assert!(recorded.insert((table, id)), "recorded twice: {row}");
        }
        assert!(store.iter().all(|id| recorded.contains(id)));

        let causes = report["requests"]["causes"].as_object().unwrap();
        for cause in ["Http429", "Http500", "Http503", "NoAnswer", "NotStored", "Timeout", "UnreadableAnswer"] {
            assert!(causes.contains_key(cause), "{cause} never happened: {report}");
        }
        for table in ["impressions", "clicks"] {
            let count = |fate: &str| fates.get(&(table.to_owned(), fate.to_owned())).copied().unwrap_or(0);
            let refused: u64 =
                report["events"][table]["refused"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
            assert_eq!(report["events"][table]["acknowledged"], count("acknowledged"));
            assert_eq!(report["events"][table]["unknown"], count("unknown"));
            assert_eq!(refused, count("refused"));
            assert_eq!(report["events"][table]["sent"], count("acknowledged") + count("unknown") + count("refused"));
            // Every fate occurred many times.
            assert!(["acknowledged", "unknown", "refused"].iter().all(|fate| count(fate) > 10), "{fates:?}");
        }
    }
}

/// A refusal by status applies to its own request only. An earlier request may have stored the events.
#[test]
fn what_is_refused_after_it_may_have_been_stored_is_unknown() {
    let server = Server::start(|n, _| if n == 0 { Reply::Close } else { Reply::Status(403, vec![]) });
    let (folder, config) = config("Requests: {Connections: 1}\n");
    let path = folder.path().join("journal.gz");
    let arguments = ["--day", DAY, "--impressions", "10", "--clickthrough", "0", "--journal", path.to_str().unwrap()];
    let (output, report) = run(&server, &config, &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (&report["events"]["impressions"]["unknown"], &report["events"]["impressions"]["refused"]),
        (&json!(10), &json!({}))
    );
    assert!(journal(&path).iter().all(|row| row["fate"] == "unknown" && row["code"] == "Http403" && row["tries"] == 2));
}

/// Servers such as API Gateway close idle connections. That is not a failed request.
#[test]
fn a_connection_that_was_closed_while_idle_is_reopened() {
    let server = Server::start(|_, _| Reply::StoredAndClose);
    let (folder, _) = config("");
    let path = folder.path().join("slow.yaml");
    let text = "Duration: 1h\nAds: {Count: 3}\nUsers: {Count: 1, ClickthroughProbability: 0, ViewFrequency: 100ms, \
                ConsiderDuration: 20ms}\nRequests: {BatchAge: 1ms, BatchSize: 1, Connections: 1}\n";
    std::fs::write(&path, text).unwrap();
    let (output, report) = run(&server, path.to_str().unwrap(), &["--impressions", "10"]);
    assert!(output.status.success(), "{report}");
    let connections: BTreeSet<usize> = server.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 10);
    assert_eq!(
        (&report["events"]["impressions"]["acknowledged"], &report["requests"]["retries"]),
        (&json!(10), &json!(0))
    );
}

/// A batch is not retried before its `Retry-After` time. Other connections continue in the meantime.
#[test]
fn only_the_batch_with_retry_after_waits() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&times);
    let server = Server::start(move |n, request| {
        log.lock().unwrap().push((std::time::Instant::now(), request.events[0]["impression_id"].to_string()));
        if n == 0 { Reply::Status(503, vec![("retry-after", "2")]) } else { Reply::stored(request) }
    });
    let (_folder, config) = config("Requests: {Connections: 2, BatchSize: 10}\n");
    let arguments = ["--day", DAY, "--impressions", "1000", "--clickthrough", "0", "--seed", "2"];
    let (output, report) = run(&server, &config, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(report["requests"]["causes"], json!({"Http503": 1}));
    let times = times.lock().unwrap();
    let again = times.iter().rposition(|(_, id)| *id == times[0].1).unwrap();
    assert!(times[again].0 - times[0].0 >= std::time::Duration::from_secs(2));
    // All other batches were sent by then.
    assert_eq!(again, 100);
    assert_eq!(ids(&server.events("impressions"), "impression_id").len(), 1_000);
}
