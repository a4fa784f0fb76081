//! A server with scripted answers that records its requests, and helpers to run the program under test.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use faulty_service::{Answer, Fate, Service};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A request that the server received.
#[derive(Debug, Clone)]
pub struct Received {
    /// `/impressions` or `/clicks`.
    pub path: String,
    /// The name of the table in the body.
    pub table: String,
    /// The events of the batch.
    pub events: Vec<Value>,
    /// The number of the connection, starting at 0.
    pub connection: usize,
    /// The header `content-encoding`.
    pub encoding: Option<String>,
    /// Whether it was sent over HTTP/2.
    pub http2: bool,
}

impl Received {
    fn read(request: &faulty_service::Received) -> Self {
        let encoding = request.headers.get("content-encoding").cloned();
        let body: Value = if encoding.is_some() {
            serde_json::from_reader(flate2::read::GzDecoder::new(&request.body[..])).unwrap()
        } else {
            serde_json::from_slice(&request.body).unwrap()
        };
        let (table, events) = body.as_object().unwrap().iter().next().unwrap();
        Self {
            path: request.path.trim_start_matches("/v1").to_owned(),
            table: table.clone(),
            events: events.as_array().unwrap().clone(),
            connection: request.connection,
            encoding,
            http2: request.is_http2,
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200, with the error code of each event that failed.
    Records(Vec<Option<&'static str>>),
    /// A status with headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// 200 with this body.
    Body(&'static str),
    /// No answer. The connection is closed, or the stream with HTTP/2.
    Close,
    /// The beginning of a 200, and then as with `Close`.
    Torn,
    /// No answer, but the connection stays open.
    Hang,
    /// Every event is stored. Then the connection is closed.
    StoredAndClose,
}

impl Reply {
    /// Every event is stored.
    pub fn stored(request: &Received) -> Self {
        Self::Records(vec![None; request.events.len()])
    }

    fn fate(self, request: &Received) -> Fate {
        match self {
            Self::Records(codes) => Fate::Answer(Answer::json(200, &records(&codes).to_string())),
            Self::Body(body) => Fate::Answer(Answer::json(200, body)),
            Self::Status(status, headers) => Fate::Answer(Answer { headers, ..Answer::json(status, "") }),
            Self::Close => Fate::LostAnswer,
            Self::Torn => Fate::Truncate(Answer::json(200, &records(&[None]).to_string())),
            Self::Hang => Fate::Silence,
            Self::StoredAndClose => {
                let codes = vec![None; request.events.len()];
                Fate::AnswerAndClose(Answer::json(200, &records(&codes).to_string()))
            }
        }
    }
}

/// A server on its own port.
pub struct Server {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    _service: Service,
}

impl Server {
    /// A server that answers its `n`th request (from 0) with `reply(n, request)`.
    pub fn start(reply: impl FnMut(usize, &Received) -> Reply + Send + 'static) -> Self {
        let received = Arc::default();
        Self::of(Service::start_with(decide(reply, &received)), received)
    }

    /// Like `start`, but over https as `localhost`. Also returns the certificate, which no client trusts by default.
    pub fn start_secure(reply: impl FnMut(usize, &Received) -> Reply + Send + 'static) -> (Self, String) {
        let received = Arc::default();
        let (service, certificate) = Service::start_secure(decide(reply, &received));
        (Self::of(service, received), certificate)
    }

    fn of(service: Service, received: Arc<Mutex<Vec<Received>>>) -> Self {
        Self { url: format!("{}/v1", service.url), received, _service: service }
    }

    /// All requests so far, in the order in which they were answered.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// All events of a table so far.
    pub fn events(&self, table: &str) -> Vec<Value> {
        self.received()
            .into_iter()
            .filter(|request| request.table == table)
            .flat_map(|request| request.events)
            .collect()
    }
}

/// Reads and records each request, and decides on the reply.
fn decide(
    mut reply: impl FnMut(usize, &Received) -> Reply + Send + 'static,
    received: &Arc<Mutex<Vec<Received>>>,
) -> impl FnMut(usize, &faulty_service::Received) -> Fate + Send + 'static {
    let received = Arc::clone(received);
    move |number, request| {
        let request = Received::read(request);
        let fate = reply(number, &request).fate(&request);
        received.lock().unwrap().push(request);
        fate
    }
}

fn records(codes: &[Option<&str>]) -> Value {
    let records: Vec<Value> = codes
        .iter()
        .map(|code| match code {
            None => json!({"failed": false}),
            Some(code) => json!({"failed": true, "error_code": code, "error_message": "as scripted"}),
        })
        .collect();
    json!({"failed_count": codes.iter().flatten().count(), "records": records})
}

/// Writes a configuration with 20 users and these additional keys.
pub fn config(more: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.yaml");
    let mut file = std::fs::File::create(&path).unwrap();
    let text = "\
BaseURL: ${LOADGEN_TEST_URL}
Duration: 1m
Ads: {Count: 10}
Users: {Count: 20, ClickthroughProbability: 0.3, ViewFrequency: 1s, ViewVariance: 250ms, ConsiderDuration: 5s, \
ConsiderVariance: 2s}
";
    write!(file, "{text}{more}").unwrap();
    (folder, path.display().to_string())
}

/// The command to run the binary with these arguments.
pub fn loadgen(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(arguments).env_remove("LOADGEN_TEST_URL").stdin(Stdio::null());
    command
}

/// Runs the binary with `--json` against a server.
pub fn run(server: &Server, config: &str, arguments: &[&str]) -> (Output, Value) {
    let output = loadgen(&["run", "-c", config, "--base-url", &server.url, "--json"]).args(arguments).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, report)
}

/// The day on which the tests' events occur.
pub const DAY: &str = "2026-03-01";

/// How often each id occurs among events.
pub fn ids(events: &[Value], key: &str) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for event in events {
        *ids.entry(event[key].as_str().unwrap().to_owned()).or_default() += 1;
    }
    ids
}
