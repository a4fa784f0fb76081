//! The `events` commands of the real binary, in a copy of the files that they read and write.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The files that the commands read and write, apart from the crates of event types.
const PATHS: [&str; 7] =
    ["template.yaml", "api.yaml", "Cargo.lock", "stacks", "events", "docs/events.md", "tools/costs/sizes.json"];

/// The types of the example.
const EXAMPLE: [&str; 2] = ["clicks", "impressions"];

/// A separate checkout with one commit. It has only the types of the example; other types of the repository are removed.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for path in PATHS {
            copy(&root.join(path), &checkout.path(path));
        }
        let mut others = Vec::new();
        for event_type in event_types::read_all(&root.join("events")).unwrap() {
            let folder = format!("crates/capture-{}", event_type.kebab_case());
            copy(&root.join(&folder), &checkout.path(&folder));
            others.extend((!EXAMPLE.contains(&&*event_type.name)).then_some(event_type.name));
        }
        // The command line recognises a checkout by this folder.
        fs::create_dir_all(checkout.path("crates/dataless")).unwrap();
        fs::write(checkout.path("crates/dataless/Cargo.toml"), "").unwrap();
        // A type can be removed only after the types that refer to it.
        while !others.is_empty() {
            let count = others.len();
            others.retain(|name| !checkout.events(&["remove", name]).status.success());
            assert!(others.len() < count, "{others:?} can't be removed");
        }
        checkout.git(&["init", "--quiet", "--initial-branch", "main"]);
        checkout.commit();
        checkout
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    /// Replaces a text that must occur exactly once.
    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "{path}: {from}");
        self.write(path, &text.replace(from, to));
    }

    fn git(&self, args: &[&str]) -> String {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.arg("-C").arg(self.0.path()).args(identity).args(args);
        let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn commit(&self) {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    /// The changed files according to Git.
    fn status(&self) -> String {
        self.git(&["status", "--porcelain", "--ignored", "--untracked-files=all"])
    }

    fn events(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dataless"));
        command.current_dir(self.0.path()).arg("events").args(args).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its output.
    fn run(&self, args: &[&str]) -> String {
        let output = self.events(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail, and returns all of its output.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.events(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output));
        text(&output)
    }

    fn samples(&self, text: &str) {
        fs::create_dir_all(self.path("target")).unwrap();
        self.write("target/samples.ndjson", text);
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

const ORDER: &str = r#"{"order_id": "0b7c2e9a-3f64-4d0f-9a53-6e1b8f0c2d47", "ordered_at": "2026-11-21 08:15:30", "customer": "京都 <b>|</b>", "total": 19.90, "on": true, "items": [{"sku": "a", "price": 9.95}]}"#;

#[test]
fn derived_files_of_the_repository_are_up_to_date() {
    let checkout = Checkout::new();
    assert_eq!(checkout.run(&["check"]), "2 event types: well formed, derived files up to date\n");
    assert_eq!(checkout.run(&["sync"]), "Everything is up to date.\n");
    assert_eq!(checkout.status(), "");
}

#[test]
fn removing_a_new_type_restores_all_files() {
    let checkout = Checkout::new();
    checkout.samples(&format!("{ORDER}\n"));
    checkout.git(&["add", "--force", "target"]);
    checkout.commit();
    for (name, options) in
        [("orders", &["--from", "target/samples.ndjson", "--group", "shop"][..]), ("order_items", &["--id", "on"])]
    {
        let args: Vec<&str> = ["new", name].iter().chain(options).copied().collect();
        let printed = checkout.run(&args);
        assert!(printed.contains(&format!("wrote   events/{name}.json")), "{printed}");
        let changed: Vec<String> = checkout.status().lines().map(|line| line[3..].to_owned()).collect();
        let kebab = name.replace('_', "-");
        // Changed files come first, then new ones.
        let derived = ["Cargo.lock", "api.yaml", "docs/events.md", "events/lock.json"].map(str::to_owned);
        let stacks = ["dashboards", "data-pipeline", "tables"].map(|stack| format!("stacks/{stack}.yaml"));
        let others = ["template.yaml", "tools/costs/sizes.json"].map(str::to_owned);
        let new = ["Cargo.toml", "README.md", "src/main.rs"].map(|file| format!("crates/capture-{kebab}/{file}"));
        let schema = [format!("events/{name}.json")];
        let expected = [&derived[..], &stacks, &others, &new, &schema].concat();
        assert_eq!(changed, expected);
        assert_eq!(checkout.run(&["check"]), "3 event types: well formed, derived files up to date\n");
        assert!(checkout.run(&["list"]).contains(name));
        for path in
            ["api.yaml", "stacks/dashboards.yaml", "stacks/data-pipeline.yaml", "stacks/tables.yaml", "template.yaml"]
        {
            serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&checkout.read(path)).unwrap();
        }
        assert!(checkout.run(&["check", "--against", "main"]).contains("compatible with main"));
        let removed = checkout.run(&["remove", name]);
        assert!(removed.contains(&format!("deleted events/{name}.json")), "{removed}");
        assert_eq!(checkout.status(), "", "{name}");
    }
}

#[test]
fn a_type_from_samples_is_in_api_tables_and_templates() {
    let checkout = Checkout::new();
    checkout.samples(&format!("{ORDER}\n"));
    let report: Value =
        serde_json::from_str(&checkout.run(&["new", "shop_orders", "--from", "target/samples.ndjson", "--json"]))
            .unwrap();
    let abouts: Vec<&str> =
        report["assumptions"].as_array().unwrap().iter().map(|one| one["about"].as_str().unwrap()).collect();
    assert!(["x-id", "x-time", "total", "customer"].iter().all(|about| abouts.contains(about)), "{abouts:?}");

    let yaml = |path: &str| serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&checkout.read(path)).unwrap();
    let api = yaml("api.yaml");
    assert_eq!(api["paths"]["/shop_orders"]["post"]["operationId"], "captureShopOrders");
    let model = &api["components"]["schemas"]["ShopOrdersEvent"];
    assert_eq!(model["properties"]["on"]["type"], "boolean");
    assert_eq!(model["properties"]["total"]["multipleOf"], 0.01);
    let beacon = &api["paths"]["/shop_orders"]["post"]["requestBody"]["content"]["text/plain"]["examples"]["beacon"];
    let beacon: Value = serde_json::from_str(beacon["value"].as_str().unwrap()).unwrap();
    assert_eq!(beacon["shop_orders"][0]["items"][0]["price"], 12.5);

    let tables = yaml("stacks/tables.yaml");
    let table = &tables["Resources"]["ShopOrdersTable"]["Properties"]["TableInput"];
    assert_eq!(table["Parameters"]["event.required"], "order_id,ordered_at,customer,total,on,items");
    let columns: Vec<String> = table["StorageDescriptor"]["Columns"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|column| format!("{} {}", column["Name"].as_str().unwrap(), column["Type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        columns,
        [
            "order_id string",
            "ordered_at timestamp",
            "customer string",
            "total decimal(9,2)",
            "on boolean",
            "items array<struct<sku:string,price:decimal(9,2)>>",
            "arrived_at timestamp",
        ]
    );
    let raw = &tables["Resources"]["RawShopOrdersTable"]["Properties"]["TableInput"];
    assert_eq!(raw["StorageDescriptor"]["Columns"][5]["Type"], "array<struct<sku:string,price:string>>");

    let root = yaml("template.yaml");
    let function = &root["Resources"]["CaptureShopOrdersFunction"]["Properties"];
    assert_eq!(function["CodeUri"], "crates/capture-shop-orders");
    let parameters = &root["Resources"]["ShopOrdersEvents"]["Properties"]["Parameters"];
    assert_eq!((&parameters["EventType"], &parameters["NameSuffix"]), (&"shop_orders".into(), &"shop-orders".into()));
    assert_eq!(
        root["Resources"]["PipelineStack"]["Properties"]["Parameters"]["EventTypes"],
        "clicks,impressions,shop_orders"
    );
    assert!(checkout.read("crates/capture-shop-orders/src/main.rs").contains("SHOP_ORDERS"));
}

#[test]
fn a_third_type_leaves_the_root_template_below_its_limit() {
    let checkout = Checkout::new();
    checkout.run(&["new", "shop_orders", "--group", "shop"]);
    let lines = checkout.read("template.yaml").lines().count();
    assert!(lines < 1_500, "{lines} lines");
}

#[test]
fn a_type_without_handwritten_charts_has_its_own_widgets() {
    let checkout = Checkout::new();
    let titles = || -> Vec<(String, u64, u64, u64, u64)> {
        let yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(&checkout.read("stacks/dashboards.yaml")).unwrap();
        let body =
            &yaml["Resources"]["RealTimeAdvertisingDashboard"]["Properties"]["DashboardBody"]["Fn::ToJsonString"];
        let number = |widget: &serde_yaml_ng::Value, key: &str| widget[key].as_u64().unwrap();
        let widget = |widget: &serde_yaml_ng::Value| {
            let title = widget["properties"]["title"].as_str().unwrap_or_default().to_owned();
            (title, number(widget, "x"), number(widget, "y"), number(widget, "width"), number(widget, "height"))
        };
        body["widgets"].as_sequence().unwrap().iter().map(widget).collect()
    };
    let before = titles();
    let below = before.iter().map(|(_, _, y, _, height)| y + height).max().unwrap();
    checkout.run(&["new", "shop_orders", "--group", "shop"]);
    checkout.run(&["new", "alerts", "--group", "shop"]);
    let added: Vec<_> = titles().into_iter().skip(before.len()).collect();
    let expected = [
        ("Alerts: the latest minute", 0, below, 6),
        ("Alerts by minute", 6, below, 18),
        ("Shop orders: the latest minute", 0, below + 6, 6),
        ("Shop orders by minute", 6, below + 6, 18),
    ];
    assert_eq!(added, expected.map(|(title, x, y, width)| (title.to_owned(), x, y, width, 6)));
    // A type with handwritten charts gets no generated ones.
    checkout.edit(
        "stacks/dashboards.yaml",
        "            # begin: real time of event types\n",
        "            - { type: metric, x: 0, \"y\": 90, width: 6, height: 4, properties: { metrics: [\n              \
         [!Ref MetricNamespace, ShopOrders, Stack, !Ref StackName] ] } }\n            # begin: real time of event types\n",
    );
    checkout.run(&["sync"]);
    assert!(!titles().iter().any(|(title, ..)| title.starts_with("Shop orders")));
}

#[test]
fn a_failed_command_changes_nothing() {
    let checkout = Checkout::new();
    let good = ORDER;
    let bare = r#"{"order_id": "0b7c2e9a-3f64-4d0f-9a53-6e1b8f0c2d47", "ordered_at": "2026-11-21 08:15:30"}"#;
    for (name, samples, expected) in [
        ("clicks", good, "there is an event type `clicks`"),
        ("ledger", good, "`ledger` is the name of something else in the warehouse"),
        ("raw_orders", good, "`raw_orders` is the name of something else"),
        ("traffic", good, "`traffic` is the name of something else"),
        ("order", good, "`order` is a word of SQL: use a plural, such as `orders`"),
        ("c_licks", good, "`c_licks` and `clicks` would have the same names in the templates"),
        ("Orders", good, "`Orders` can't name an event type"),
        ("../orders", good, "`../orders` can't name an event type"),
        ("a_name_with_more_than_32_characters", good, "at most 32 characters"),
        ("orders", &format!("{bare}\n{{\"a\": \n"), "line 2: it is not JSON"),
        ("orders", "[]", "line 1: it is an array"),
        ("orders", "\n", "there are no samples"),
        ("orders", r#"{"ordered_at": "2026-11-21 08:15:30"}"#, "no field has a uuid of its own in every sample"),
        ("orders", r#"{"order_id": "0b7c2e9a-3f64-4d0f-9a53-6e1b8f0c2d47"}"#, "no field has a time in every sample"),
        ("orders", &bare.replace('}', r#", "note": null}"#), "line 1: `note` is never anything but null"),
        ("orders", &bare.replace('}', r#", "orderTotal": 1}"#), "properties.orderTotal: the name must be"),
        ("orders", &bare.replace('}', r#", "year": 1}"#), "properties.year: the lake has a column"),
    ] {
        checkout.samples(samples);
        let before = checkout.status();
        let printed = checkout.refused(&["new", name, "--from", "target/samples.ndjson"]);
        assert!(printed.contains(expected), "{name}: {printed}");
        assert_eq!(checkout.status(), before, "{name}");
    }
    fs::write(checkout.path("target/samples.ndjson"), [0xff, b'\n']).unwrap();
    assert!(checkout.refused(&["new", "orders", "--from", "target/samples.ndjson"]).contains("is not UTF-8"));
    assert!(checkout.refused(&["new", "orders", "--from", "none.ndjson"]).contains("failed to read none.ndjson"));
    assert!(checkout.refused(&["new", "orders", "--group", "a/b"]).contains("x-group: it must be a lower-case word"));
    assert!(checkout.refused(&["remove", "orders"]).contains("there is no event type `orders`"));
    assert!(checkout.refused(&["remove", "impressions"]).contains("another type refers to it"));
    fs::create_dir(checkout.path("crates/capture-orders")).unwrap();
    assert!(checkout.refused(&["new", "orders"]).contains("crates/capture-orders already exists"));
    fs::remove_dir(checkout.path("crates/capture-orders")).unwrap();
    fs::remove_dir_all(checkout.path("target")).unwrap();
    assert_eq!(checkout.status(), "");
}

#[test]
fn an_outdated_file_is_named_and_written() {
    let checkout = Checkout::new();
    checkout.edit("events/clicks.json", "UUID of the ad", "The ad's UUID");
    fs::remove_file(checkout.path("docs/events.md")).unwrap();
    let printed = checkout.refused(&["check"]);
    for path in ["docs/events.md", "api.yaml", "stacks/tables.yaml"] {
        assert!(
            printed.contains(&format!("derived: {path} does not match the schemas: run `cargo dataless events sync`")),
            "{printed}"
        );
    }
    assert!(!printed.contains("template.yaml"), "{printed}");
    assert!(
        checkout
            .refused(&["new", "orders"])
            .contains("not up to date with the schemas: api.yaml, docs/events.md, stacks/tables.yaml")
    );
    let report: Value = serde_json::from_str(&text(&checkout.events(&["check", "--json"]))).unwrap();
    assert_eq!(report["problems"][0]["kind"], "derived");
    checkout.run(&["sync"]);
    checkout.run(&["check"]);

    checkout.edit("api.yaml", "# end: paths of event types", "");
    assert!(
        checkout.refused(&["sync"]).contains("`# begin: paths of event types` has no `# end: paths of event types`")
    );
    checkout.edit("events/clicks.json", "\"ad_id\": {", "\"adId\": {");
    checkout.edit("events/impressions.json", "\"x-time\"", "\"x-tyme\"");
    let printed = checkout.refused(&["check"]);
    assert!(printed.contains("schema: events/clicks.json: "), "{printed}");
    assert!(printed.contains("schema: events/impressions.json: x-tyme: it is not allowed here"), "{printed}");
}

#[test]
fn samples_are_valid_and_the_same_each_time() {
    let checkout = Checkout::new();
    let sample = |seed: &str| checkout.run(&["sample", "clicks", "-n", "3", "--seed", seed]);
    let ids = |lines: &str| -> Vec<String> {
        let id = |line| serde_json::from_str::<Value>(line).unwrap()["click_id"].as_str().unwrap().to_owned();
        lines.lines().map(id).collect()
    };
    let first = sample("7");
    assert_eq!(ids(&first).len(), 3);
    assert_eq!(ids(&first), ids(&sample("7")));
    assert_ne!(ids(&first), ids(&sample("8")));
    assert!(checkout.refused(&["sample", "clicks", "-n", "501", "--batch"]).contains("1 to 500 events"));
    let batch = checkout.run(&["sample", "clicks", "-n", "500", "--batch"]);
    let batch = events::Batch::parse(&events::CLICKS, batch.as_bytes(), chrono::Utc::now(), uuid::Uuid::now_v7);
    let batch = batch.unwrap();
    assert!(batch.events().len() == 500 && batch.events().iter().all(Result::is_ok));
    assert!(checkout.refused(&["sample", "orders"]).contains("there is no event type `orders`"));
}

#[test]
fn the_lock_refuses_a_reordering_without_git() {
    let checkout = Checkout::new();
    checkout.run(&["new", "orders"]);
    let schema = checkout.read("events/orders.json");
    let field = "    \"note\": {\n      \"description\": \"Note\",\n      \"type\": \"boolean\"\n    }";
    let first = schema.replace("\"properties\": {\n", &format!("\"properties\": {{\n{field},\n"));
    checkout.write("events/orders.json", &first);
    for command in ["check", "sync"] {
        let printed = checkout.refused(&[command]);
        assert!(printed.contains("properties.order_id: it was field number 1 and is number 2"), "{printed}");
    }
    checkout.run(&["sync", "--allow", "orders"]);
    checkout.run(&["check"]);

    let last = schema.replace("    }\n  }\n}\n", &format!("    }},\n{field}\n  }}\n}}\n"));
    checkout.write("events/orders.json", &last);
    assert!(checkout.refused(&["sync"]).contains("--allow orders"));
    checkout.run(&["sync", "--allow", "orders"]);
    fs::remove_file(checkout.path("events/orders.json")).unwrap();
    assert!(checkout.refused(&["sync", "--allow", "orders"]).contains("the type is gone"));
    assert!(checkout.refused(&["check"]).contains("lock: events/orders.json: the type is gone"));
    assert!(checkout.read("events/lock.json").contains("\"occurred_at timestamp\",\n      \"note boolean\"\n"));
}

#[test]
fn a_change_is_compared_with_a_revision() {
    let checkout = Checkout::new();
    checkout.run(&["new", "orders"]);
    checkout.commit();
    checkout.git(&["tag", "deployed"]);
    let field = "    \"note\": {\n      \"description\": \"Note\",\n      \"type\": \"string\",\n      \"maxLength\": 20\n    }";
    let schema = checkout.read("events/orders.json");
    checkout.write("events/orders.json", &schema.replace("    }\n  }\n}\n", &format!("    }},\n{field}\n  }}\n}}\n")));
    checkout.run(&["sync"]);
    assert_eq!(
        checkout.run(&["check", "--against", "deployed"]),
        "3 event types: well formed, derived files up to date, compatible with deployed\n"
    );
    checkout.commit();

    checkout.edit("events/orders.json", "\"maxLength\": 20", "\"maxLength\": 10");
    checkout.run(&["sync"]);
    checkout.run(&["check", "--against", "deployed"]);
    let printed = checkout.refused(&["check", "--against", "HEAD"]);
    assert!(
        printed.contains("incompatible: events/orders.json: properties.note.maxLength: the limit was 20 and is 10"),
        "{printed}"
    );
    assert!(printed.contains("or add a new type"), "{printed}");

    // A folder works as well, without Git.
    fs::create_dir_all(checkout.path("target/earlier")).unwrap();
    checkout.run(&["check", "--against", "target/earlier"]);
    checkout.write("target/earlier/orders.json", &checkout.git(&["show", "HEAD:events/orders.json"]));
    checkout.write("target/earlier/lock.json", "");
    assert!(checkout.refused(&["check", "--against", "target/earlier"]).contains("the limit was 20 and is 10"));
    checkout.write("target/earlier/orders.json", "{}");
    assert!(
        checkout
            .refused(&["check", "--against", "target/earlier"])
            .contains("a schema of target/earlier is not well formed")
    );

    checkout.run(&["remove", "orders"]);
    assert!(checkout.refused(&["check", "--against", "deployed"]).contains("the type is gone"));
    checkout.run(&["check", "--against", "deployed", "--allow", "orders"]);
    checkout.run(&["check", "--against", "deployed~1"]);
    for revision in ["nothing", "--output=x", ""] {
        let printed = checkout.refused(&["check", &format!("--against={revision}")]);
        assert!(printed.contains("is not a folder, nor a revision that this checkout has"), "{printed}");
    }
}
