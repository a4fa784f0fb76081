//! Random events of other types, generated from their schemas in addition to the simulation.

#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{DAY, Reply, Server, config, ids, loadgen, run};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with the schemas of orders and returns. Orders refer to impressions, and returns to orders.
fn schemas() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["impressions.json", "clicks.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events").join(name);
        std::fs::copy(path, folder.path().join(name)).unwrap();
    }
    let schema = |title: &str, id: &str, more: Value| {
        let mut properties = json!({
            id: {"description": "Own id", "type": "string", "format": "uuid"},
            "occurred_at": {"description": "When", "type": "string", "format": "date-time"},
        });
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // Sorted, because another crate may enable the `preserve_order` feature of serde_json.
        let sorted: BTreeMap<String, Value> = serde_json::from_value(properties).unwrap();
        let properties = serde_json::to_value(sorted).unwrap();
        let required: Vec<&String> = properties.as_object().unwrap().keys().filter(|name| *name != id).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "description": "It happened.",
            "type": "object", "additionalProperties": false, "x-group": "shop", "x-id": id, "x-time": "occurred_at",
            "x-sort": ["occurred_at"], "required": required, "properties": properties
        })
    };
    let orders = json!({
        "impression_id": {
            "description": "What led to it", "type": "string", "format": "uuid",
            "x-references": "impressions.impression_id"
        },
        "customer": {"description": "Who", "type": "string", "maxLength": 20, "x-sample": "zipf"},
        "total": {"description": "Sum", "type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 999.99},
        "items": {"description": "Items", "type": "array", "minItems": 1, "maxItems": 3, "items":
            {"type": "string", "maxLength": 8}}
    });
    let returns = json!({
        "order_id": {
            "description": "Of which order", "type": "string", "format": "uuid", "x-references": "orders.order_id"
        }
    });
    for (name, schema) in
        [("orders", schema("Order", "order_id", orders)), ("returns", schema("Return", "return_id", returns))]
    {
        std::fs::write(folder.path().join(format!("{name}.json")), schema.to_string()).unwrap();
    }
    folder
}

fn with_schemas<'a>(schemas: &'a TempDir, arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--schemas", schemas.path().to_str().unwrap()], arguments].concat()
}

fn texts(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(Value::to_string).collect()
}

#[test]
fn other_types_go_to_their_own_paths_and_leave_the_simulation_as_it_was() {
    let server = Server::start(|_, request| Reply::stored(request));
    let (schemas, (_folder, config)) =
        (schemas(), config("Day: {Shape: [0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,3,0,0,0,0,0]}\n"));
    let simulated = ["--day", DAY, "--impressions", "2000", "--seed", "7"];
    let arguments = [&simulated[..], &["--events", "orders=1200,returns=30"]].concat();
    let (output, report) = run(&server, &config, &with_schemas(&schemas, &arguments));
    assert!(output.status.success(), "{output:?}");

    let (orders, returns) = (server.events("orders"), server.events("returns"));
    assert_eq!((ids(&orders, "order_id").len(), orders.len()), (1_200, 1_200));
    assert_eq!((ids(&returns, "return_id").len(), returns.len()), (30, 30));
    assert!(server.received().iter().all(|r| r.path == format!("/{}", r.table) && r.events.len() <= 500));

    let mut hours = BTreeMap::new();
    for order in &orders {
        let time = order["occurred_at"].as_str().unwrap();
        assert!(time.starts_with("2026-03-01 ") && time.len() == 23, "{time}");
        *hours.entry(time[11..13].to_owned()).or_insert(0) += 1;
        assert!((0.0..=999.99).contains(&order["total"].as_f64().unwrap()), "{order}");
        assert!((1..=3).contains(&order["items"].as_array().unwrap().len()), "{order}");
    }
    assert_eq!(hours, BTreeMap::from([("06".to_owned(), 300), ("18".to_owned(), 900)]));
    assert!(ids(&orders, "customer").values().any(|count| *count > 50), "some customers are frequent");

    let (impressions, clicks) = (server.events("impressions"), server.events("clicks"));
    let known = ids(&impressions, "impression_id");
    assert!(orders.iter().all(|order| known.contains_key(order["impression_id"].as_str().unwrap())));
    let known = ids(&orders, "order_id");
    assert!(returns.iter().all(|order| known.contains_key(order["order_id"].as_str().unwrap())));

    let counts: Vec<_> =
        report["events"].as_object().unwrap().iter().map(|(name, count)| (name.as_str(), count)).collect();
    for (name, count) in counts {
        let sent = server.events(name).len();
        assert_eq!((&count["sent"], &count["acknowledged"]), (&json!(sent), &json!(sent)), "{name}");
    }
    assert_eq!(report["events"].as_object().unwrap().len(), 4);

    let alone = Server::start(|_, request| Reply::stored(request));
    assert!(run(&alone, &config, &simulated).0.status.success());
    assert_eq!(texts(&alone.events("impressions")), texts(&impressions));
    assert_eq!(texts(&alone.events("clicks")), texts(&clicks));
}

#[test]
fn the_same_seed_and_day_send_the_same_orders() {
    let schemas = schemas();
    let orders = |arguments: &[&str]| -> BTreeSet<String> {
        let server = Server::start(|_, request| Reply::stored(request));
        let (_folder, config) = config("");
        let arguments = [&["--day", DAY, "--impressions", "500"], arguments].concat();
        assert!(run(&server, &config, &with_schemas(&schemas, &arguments)).0.status.success());
        texts(&server.events("orders"))
    };
    let once = orders(&["--seed", "1", "--events", "orders=300", "--connections", "1"]);
    assert_eq!(once.len(), 300);
    let again = ["--seed", "1", "--events", "returns=5", "--events", "orders=300", "--batch-size", "7"];
    assert_eq!(once, orders(&again));
    assert_eq!(once, orders(&["--seed", "1", "--events", "orders=300", "--batch-size", "7"]));
    assert_eq!(once.intersection(&orders(&["--seed", "2", "--events", "orders=300"])).count(), 0);
}

#[test]
fn a_resent_order_is_identical() {
    let mut failed = BTreeSet::new();
    let server = Server::start(move |_, request| {
        let mut fails =
            |event: &Value| (failed.insert(event.to_string()) && failed.len() % 3 == 0).then_some("NotStored");
        Reply::Records(request.events.iter().map(&mut fails).collect())
    });
    let (schemas, (_folder, config)) = (schemas(), config(""));
    let arguments = ["--day", DAY, "--impressions", "0", "--events", "orders=300"];
    let (output, report) = run(&server, &config, &with_schemas(&schemas, &arguments));
    assert!(output.status.success(), "{output:?}");
    let orders = server.events("orders");
    assert_eq!((orders.len(), texts(&orders).len(), ids(&orders, "order_id").len()), (400, 300, 300));
    assert_eq!(
        (&report["events"]["orders"]["acknowledged"], &report["events"]["orders"]["retried"]),
        (&json!(300), &json!(100))
    );
    assert_eq!((&report["events"]["impressions"]["sent"], &report["clickthrough_rate"]), (&json!(0), &Value::Null));
}

#[test]
fn orders_are_repeated_late_and_malformed_as_configured_and_journalled() {
    let server = Server::start(|_, request| {
        let is_wrong =
            |event: &Value| event["order_id"].as_str().unwrap().len() != 36 || event["occurred_at"] == "yesterday";
        Reply::Records(request.events.iter().map(|event| is_wrong(event).then_some("InvalidEvent")).collect())
    });
    let (schemas, (folder, config)) =
        (schemas(), config("Repeats: {Share: 0.1}\nMalformed: {Share: 0.1}\nLate: {Share: 0.2, By: 26h}\n"));
    let journal = folder.path().join("journal.gz");
    let arguments = ["--day", DAY, "--impressions", "0", "--events", "orders=2000", "--seed", "3", "--journal"];
    let arguments = [&with_schemas(&schemas, &arguments)[..], &[journal.to_str().unwrap()]].concat();
    let (output, report) = run(&server, &config, &arguments);
    assert!(output.status.success(), "{output:?}");

    let count = |key: &str| report["events"]["orders"][key].as_u64().unwrap();
    assert_eq!(count("sent"), 2_000 + count("repeats") + count("malformed"));
    for (key, expected) in [("repeats", 150..250), ("malformed", 150..250), ("late", 380..560)] {
        assert!(expected.contains(&count(key)), "{key}: {}", count(key));
    }
    assert_eq!(report["events"]["orders"]["refused"], json!({"InvalidEvent": count("malformed")}));
    assert_eq!(count("bots"), 0);

    let text = std::io::read_to_string(GzDecoder::new(std::fs::File::open(journal).unwrap())).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count() as u64;
    assert!(lines.iter().all(|line| line["table"] == "orders"));
    assert_eq!((of_kind("fresh"), of_kind("repeat")), (2_000, count("repeats")));
    assert_eq!(of_kind("malformed_short_id") + of_kind("malformed_no_time"), count("malformed"));
    let journalled: BTreeSet<&str> =
        lines.iter().filter(|line| line["fate"] == "acknowledged").map(|line| line["id"].as_str().unwrap()).collect();
    let sent = server.events("orders");
    let sent = ids(&sent, "order_id");
    assert_eq!(journalled.len(), 2_000);
    assert!(journalled.iter().all(|id| sent.contains_key(*id)));
}

#[test]
fn a_live_run_without_impressions_sends_at_once_and_one_with_them_spreads() {
    let (schemas, (_folder, config)) = (schemas(), config("Requests: {BatchAge: 100ms}\n"));
    let started = chrono::Utc::now();
    let server = Server::start(|_, request| Reply::stored(request));
    let arguments = ["--impressions", "0", "--events", "orders=40"];
    assert!(run(&server, &config, &with_schemas(&schemas, &arguments)).0.status.success());
    assert_eq!(server.events("orders").len(), 40);
    for order in server.events("orders") {
        let time =
            chrono::NaiveDateTime::parse_from_str(order["occurred_at"].as_str().unwrap(), "%Y-%m-%d %H:%M:%S%.f");
        let after = time.unwrap().and_utc() - started;
        assert!((-1..60_000).contains(&after.num_milliseconds()), "{order}");
    }

    let server = Server::start(|_, request| Reply::stored(request));
    let arguments = ["--duration", "1s", "--clickthrough", "0", "--events", "orders=40"];
    assert!(run(&server, &config, &with_schemas(&schemas, &arguments)).0.status.success());
    let batches = server.received().iter().filter(|request| request.table == "orders").count();
    assert_eq!(server.events("orders").len(), 40);
    assert!(batches >= 5, "{batches} batches in a second");
}

/// Writes files. Returns the report and the files of orders by path.
fn files(config: &str, out: &Path, arguments: &[&str]) -> (Value, BTreeMap<String, Vec<u8>>) {
    let output = loadgen(&["files", "-c", config, "--day", DAY, "--out", out.to_str().unwrap(), "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut files = BTreeMap::new();
    for hour in std::fs::read_dir(out.join("data/raw/shop/orders/year=2026/month=03/day=01")).unwrap() {
        for file in std::fs::read_dir(hour.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            files.insert(path.strip_prefix(out).unwrap().display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    (serde_json::from_slice(&output.stdout).unwrap(), files)
}

#[test]
fn files_have_the_orders_that_a_run_sends_in_the_folder_of_their_group() {
    let schemas = schemas();
    let (folder, config) = config("Repeats: {Share: 0.1}\n");
    let arguments = ["--impressions", "100", "--events", "orders=2000,returns=10", "--seed", "5"];
    let arguments = with_schemas(&schemas, &arguments);
    let (report, files) = files(&config, &folder.path().join("out"), &arguments);
    let text = |file: &Vec<u8>| std::io::read_to_string(GzDecoder::new(&file[..])).unwrap();
    let lines: Vec<String> =
        files.values().flat_map(|file| text(file).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let count = |key: &str| report["events"]["orders"][key].as_u64().unwrap();
    assert_eq!((lines.len() as u64, count("files")), (count("lines"), files.len() as u64));
    assert_eq!(count("lines") - count("repeats"), 2_000);
    assert_eq!(report["events"]["returns"]["lines"].as_u64().unwrap() / 10, 1);
    // Keys are in schema order, without spaces around them.
    assert!(lines.iter().all(|line| line.starts_with(r#"{"customer":""#) && !line.contains("\": ")));

    let server = Server::start(|_, request| Reply::stored(request));
    assert!(run(&server, &config, &[&arguments[..], &["--day", DAY]].concat()).0.status.success());
    let normal: BTreeSet<String> =
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap().to_string()).collect();
    assert_eq!(normal, texts(&server.events("orders")));
}

#[test]
fn files_of_orders_are_the_same_to_the_byte_whatever_the_number_of_threads() {
    let schemas = schemas();
    let (folder, config) = config("");
    let arguments = ["--impressions", "100", "--events", "orders=100000", "--seed", "5", "--threads"];
    let files = |threads: &str| {
        let arguments = [&with_schemas(&schemas, &arguments)[..], &[threads]].concat();
        files(&config, &folder.path().join(threads), &arguments)
    };
    let (report, one) = files("1");
    assert_eq!(report["events"]["orders"]["lines"], 100_000);
    // With this many events, the users are split into two parts.
    let is_of = |part: &str| one.keys().any(|name| name.ends_with(part));
    assert!(is_of("-000.gz") && is_of("-001.gz"));
    assert!(files("2").1 == one);
}

#[test]
fn events_that_cannot_be_made_are_refused_before_anything_is_sent() {
    let schemas = schemas();
    std::fs::write(schemas.path().join("broken.json"), "{}").unwrap();
    let (_folder, config) = config("");
    let error = |schemas: &str, events: &str| {
        let output = loadgen(&["-c", &config, "--base-url", "http://127.0.0.1:1", "--day", DAY, "--schemas", schemas])
            .args(["--events", events])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let folder = schemas.path().to_str().unwrap();
    let broken = error(folder, "orders=1");
    assert!(broken.contains("failed to read the schemas") && broken.contains("broken.json"), "{broken}");
    std::fs::remove_file(schemas.path().join("broken.json")).unwrap();
    for (events, expected) in [
        ("carts=1", "could not find carts.json in "),
        ("carts=1", "it has clicks, impressions, orders, returns"),
        ("orders=1,orders=2", "orders is there twice"),
        ("clicks=1", "clicks are made by the simulation"),
        ("orders", "not a type and a count like orders=200"),
        ("orders=0", "not a type and a count like orders=200"),
    ] {
        let message = error(folder, events);
        assert!(message.contains(expected), "{events}: {message}");
    }
    assert!(error("/nonexistent", "orders=1").contains("failed to read the schemas in /nonexistent"));
}
