//! A server that answers as it's told and remembers what it was sent, and the binary that is tested.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "all of this is part of tests")]

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// `/impressions` or `/clicks`.
    pub path: String,
    /// The name of the table in the body.
    pub table: String,
    /// The events of the batch.
    pub events: Vec<Value>,
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The header `content-encoding`.
    pub encoding: Option<String>,
    /// HTTP/2.
    pub http2: bool,
}

/// What to say to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200, with the error code of each event that failed.
    Records(Vec<Option<&'static str>>),
    /// A status with headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// This body with a 200.
    Body(&'static str),
    /// No answer: the connection is closed, or with HTTP/2 the stream.
    Close,
    /// The beginning of a 200, then the same.
    Torn,
    /// No answer, but the connection stays.
    Hang,
}

impl Reply {
    /// Every event is stored.
    pub fn stored(request: &Received) -> Self {
        Self::Records(vec![None; request.events.len()])
    }
}

/// A server on a port of its own.
pub struct Server {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// A server that answers its `n`th request (from 0) with `reply(n, request)`.
    pub fn start(reply: impl FnMut(usize, &Received) -> Reply + Send + 'static) -> Self {
        Self::start_with(None, reply)
    }

    /// The same over https, as `localhost`; and its certificate, which nobody trusts by themselves.
    pub fn start_secure(reply: impl FnMut(usize, &Received) -> Reply + Send + 'static) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        (Self::start_with(Some(TlsAcceptor::from(Arc::new(config))), reply), made.cert.pem())
    }

    fn start_with(tls: Option<TlsAcceptor>, reply: impl FnMut(usize, &Received) -> Reply + Send + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let url = match &tls {
            None => format!("http://{address}/v1"),
            Some(_) => format!("https://localhost:{}/v1", address.port()),
        };
        let received = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(Mutex::new(reply));
        let log = Arc::clone(&received);
        runtime.spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (reply, log, tls) = (Arc::clone(&reply), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => {
                            // The preface of HTTP/2 (RFC 9113, section 3.4) begins with PRI.
                            let mut start = [0; 3];
                            let http2 = matches!(stream.peek(&mut start).await, Ok(3)) && &start == b"PRI";
                            serve(stream, connection, http2, reply, log).await;
                        }
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            serve(stream, connection, http2, reply, log).await;
                        }
                    }
                });
            }
        });
        Self { url, received, _runtime: runtime }
    }

    /// All requests so far, in the order in which they were answered.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// All events so far of a table.
    pub fn events(&self, table: &str) -> Vec<Value> {
        self.received()
            .into_iter()
            .filter(|request| request.table == table)
            .flat_map(|request| request.events)
            .collect()
    }
}

type Shared<T> = Arc<Mutex<T>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A body that breaks off.
struct Torn(Option<Bytes>);

impl Body for Torn {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or_else(|| "torn on purpose".into())))
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: usize,
    http2: bool,
    reply: Shared<impl FnMut(usize, &Received) -> Reply + Send + 'static>,
    log: Shared<Vec<Received>>,
) {
    let service = service_fn(move |request| answer(request, connection, http2, Arc::clone(&reply), Arc::clone(&log)));
    let io = TokioIo::new(stream);
    if http2 {
        let executor = hyper_util::rt::TokioExecutor::new();
        drop(hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service).await);
    } else {
        drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    http2: bool,
    reply: Shared<impl FnMut(usize, &Received) -> Reply>,
    log: Shared<Vec<Received>>,
) -> Result<Response<Either<Full<Bytes>, Torn>>, Failure> {
    let path = request.uri().path().trim_start_matches("/v1").to_owned();
    let encoding = request.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await?.to_bytes();
    let body: Value = if encoding.is_some() {
        serde_json::from_reader(flate2::read::GzDecoder::new(&body[..])).unwrap()
    } else {
        serde_json::from_slice(&body).unwrap()
    };
    let (table, events) = body.as_object().unwrap().iter().next().unwrap();
    let events = events.as_array().unwrap().clone();
    let received = Received { path, table: table.clone(), events, connection, encoding, http2 };
    let reply = {
        let mut log = log.lock().unwrap();
        let said = (reply.lock().unwrap())(log.len(), &received);
        log.push(received);
        said
    };
    let whole = |body: Bytes| Either::Left(Full::new(body));
    Ok(match reply {
        Reply::Records(codes) => Response::new(whole(records(&codes).to_string().into())),
        Reply::Body(body) => Response::new(whole(body.into())),
        Reply::Status(status, headers) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(whole(Bytes::new()))?
        }
        Reply::Close => return Err("closed on purpose".into()),
        Reply::Torn => Response::new(Either::Right(Torn(Some(r#"{"failed_count":0,"rec"#.into())))),
        Reply::Hang => std::future::pending().await,
    })
}

fn records(codes: &[Option<&str>]) -> Value {
    let records: Vec<Value> = codes
        .iter()
        .map(|code| match code {
            None => json!({"failed": false}),
            Some(code) => json!({"failed": true, "error_code": code, "error_message": "as told"}),
        })
        .collect();
    json!({"failed_count": codes.iter().flatten().count(), "records": records})
}

/// A configuration of 20 users, with more keys appended.
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

/// The binary, with arguments.
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

/// How often each id is among events.
pub fn ids(events: &[Value], key: &str) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for event in events {
        *ids.entry(event[key].as_str().unwrap().to_owned()).or_default() += 1;
    }
    ids
}
