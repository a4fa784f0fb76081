//! A connection to the beacons.

use crate::answer::{CONNECT_FAILED, NO_ANSWER, TIMEOUT, Trouble, retry_after};
use crate::config::Requests;
use crate::event::Table;
use crate::http1::{Broken, Http1};
use crate::types::Types;
use anyhow::{Context, bail};
use bytes::Bytes;
use chrono::Utc;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tower_service::Service;

/// The longest answer that is read: 500 records with a message each take a tenth of it.
pub const ANSWER_LIMIT: usize = 1 << 20;

/// What requests say of who sends them.
const AGENT: &str = concat!("loadgen/", env!("CARGO_PKG_VERSION"));

type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Where requests go and how.
#[derive(Debug, Clone)]
pub struct Target {
    connector: HttpsConnector<HttpConnector>,
    base: Uri,
    /// The beacons, of each table.
    uris: Vec<Uri>,
    /// With HTTP/1.1, requests up to the length of the body, of each table.
    heads: Vec<Vec<u8>>,
    http2: bool,
    gzip: bool,
    timeout: Duration,
    /// Why a connection could not be made, the first time that one could not.
    error: Arc<OnceLock<String>>,
}

impl Target {
    /// The beacons below `base_url`, say `https://example.org/v1`.
    pub fn new(base_url: &str, requests: &Requests, types: &Types) -> anyhow::Result<Self> {
        let base: Uri = base_url.parse().with_context(|| format!("\"{base_url}\" is not a URL"))?;
        let Some(authority) = base.authority() else { bail!("\"{base_url}\" is not a URL with a host") };
        let secure = match base.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("\"{base_url}\": only http:// and https:// are possible"),
        };
        if base.query().is_some() {
            bail!("\"{base_url}\" has a query; only a path can be before /impressions and /clicks");
        }
        let host = &authority.as_str()[authority.as_str().find('@').map_or(0, |at| at + 1)..];
        let uri = |table: Table| {
            let path = base.path().trim_end_matches('/');
            let text = format!("{}://{authority}{path}/{}", if secure { "https" } else { "http" }, types.name(table));
            text.parse::<Uri>().with_context(|| format!("\"{text}\" is not a URL"))
        };
        let uris = types.tables().map(uri).collect::<anyhow::Result<Vec<_>>>()?;
        let encoding = if requests.gzip { "content-encoding: gzip\r\n" } else { "" };
        let heads = uris.iter().map(|uri| {
            format!(
                "POST {} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nuser-agent: {AGENT}\r\n\
                 {encoding}content-length: ",
                uri.path()
            )
            .into_bytes()
        });
        let heads = heads.collect();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(secure)?).https_or_http();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(requests.timeout));
        let connector = if requests.http2 {
            builder.enable_http2().wrap_connector(tcp)
        } else {
            builder.enable_http1().wrap_connector(tcp)
        };
        Ok(Self {
            connector,
            uris,
            heads,
            base,
            http2: requests.http2,
            gzip: requests.gzip,
            timeout: requests.timeout,
            error: Arc::default(),
        })
    }

    /// With HTTP/2, a request.
    fn request(&self, table: Table, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uris[table.index()].clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        request
    }

    /// Why a connection could not be made, the first time that one could not.
    pub fn error(&self) -> Option<String> {
        self.error.get().cloned()
    }

    fn no_connection(&self, error: &anyhow::Error) -> Trouble {
        self.error.get_or_init(|| format!("{error:#}"));
        Trouble::not_stored(CONNECT_FAILED)
    }

    async fn connect(&self) -> anyhow::Result<Io> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await.map_err(anyhow::Error::from_boxed)?;
        connector.call(self.base.clone()).await.map_err(anyhow::Error::from_boxed)
    }

    async fn connect_http2(&self) -> anyhow::Result<http2::SendRequest<Full<Bytes>>> {
        let io = self.connect().await?;
        let (mut sender, driver) = http2::Builder::new(TokioExecutor::new()).handshake(io).await?;
        // Its end shows in the sender.
        tokio::spawn(async move { drop(driver.await) });
        sender.ready().await?;
        Ok(sender)
    }
}

/// Trust in what the machine trusts; only read when it's needed, as small machines may have nothing.
fn tls(secure: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if secure {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            bail!("no root certificates on this machine, which https needs: {:?}", found.errors);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// A connection that is made when it's first needed, and again when it broke.
#[derive(Debug)]
pub struct Connection {
    target: Arc<Target>,
    http1: Option<Http1<TokioIo<Io>>>,
    /// One for all streams of a connection.
    http2: Arc<Mutex<Option<http2::SendRequest<Full<Bytes>>>>>,
}

impl Connection {
    /// A connection to a target, not yet made.
    pub fn new(target: Arc<Target>) -> Self {
        Self { target, http1: None, http2: Arc::default() }
    }

    /// With HTTP/2, another stream of the same connection; of the same thread, as its runtime drives them all.
    pub fn another_stream(&self) -> Self {
        Self { target: Arc::clone(&self.target), http1: None, http2: Arc::clone(&self.http2) }
    }

    /// Posts a body to the beacon of a table; calls `sent` once the request is on its way.
    pub async fn post(
        &mut self,
        table: Table,
        body: &[u8],
        sent: &mut (dyn FnMut() + Send),
    ) -> Result<Answer, Trouble> {
        let timeout = self.target.timeout;
        let result = match tokio::time::timeout(timeout, self.exchange(table, body, sent)).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::unknown(TIMEOUT)),
        };
        if result.is_err() {
            self.http1 = None;
        }
        result
    }

    async fn exchange(
        &mut self,
        table: Table,
        body: &[u8],
        sent: &mut (dyn FnMut() + Send),
    ) -> Result<Answer, Trouble> {
        if self.target.http2 {
            return self.exchange_http2(table, body, sent).await;
        }
        loop {
            let mut connection = match self.http1.take() {
                Some(connection) => connection,
                None => {
                    let stream = self.target.connect().await.map_err(|error| self.target.no_connection(&error))?;
                    Http1::new(TokioIo::new(stream))
                }
            };
            match connection.exchange(&self.target.heads[table.index()], body, sent).await {
                Ok(answer) => {
                    self.http1 = Some(connection);
                    return Ok(answer);
                }
                // Closed by the server while it was idle, which is no failure of this request.
                Err(Broken { unsent: true }) if connection.used() => {}
                Err(Broken { unsent: true }) => return Err(Trouble::not_stored(CONNECT_FAILED)),
                Err(Broken { unsent: false }) => return Err(Trouble::unknown(NO_ANSWER)),
            }
        }
    }

    async fn exchange_http2(
        &mut self,
        table: Table,
        body: &[u8],
        sent: &mut (dyn FnMut() + Send),
    ) -> Result<Answer, Trouble> {
        let failed = || Trouble::not_stored(CONNECT_FAILED);
        let mut sender = {
            let mut shared = self.http2.lock().await;
            match shared.as_ref().filter(|sender| !sender.is_closed()) {
                Some(sender) => sender.clone(),
                None => {
                    let sender = self.target.connect_http2().await;
                    shared.insert(sender.map_err(|error| self.target.no_connection(&error))?).clone()
                }
            }
        };
        sender.ready().await.map_err(|_| failed())?;
        let response = sender.send_request(self.target.request(table, Bytes::copy_from_slice(body)));
        sent();
        let response =
            response.await.map_err(|error| if error.is_canceled() { failed() } else { Trouble::unknown(NO_ANSWER) })?;
        read(response).await.map_err(|_| Trouble::unknown(NO_ANSWER))
    }
}

async fn read(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = after.and_then(|value| retry_after(value, Utc::now().timestamp()));
    let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
    Ok(Answer { status: head.status, retry_after, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ads::Ads;
    use crate::config::Config;
    use std::path::Path;

    fn target(url: &str) -> anyhow::Result<Target> {
        let config = Config::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config.yaml")).unwrap();
        Target::new(url, &config.requests, &Types::new(Ads::new(1, 0.0), Vec::new()))
    }

    #[test]
    fn the_paths_of_the_beacons_are_below_the_base_url() {
        for (url, path) in [
            ("http://127.0.0.1:4566", "/impressions"),
            ("http://127.0.0.1:4566/", "/impressions"),
            ("http://127.0.0.1:4566/_aws/Prod/", "/_aws/Prod/impressions"),
        ] {
            let target = target(url).unwrap();
            assert_eq!(target.uris[0].path(), path);
            assert!(
                target.heads[0].starts_with(format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1:4566\r\n").as_bytes())
            );
        }
        let named = String::from_utf8(target("http://user:password@host:1/").unwrap().heads[1].clone()).unwrap();
        assert!(
            named.starts_with("POST /clicks HTTP/1.1\r\nhost: host:1\r\n") && !named.contains("password"),
            "{named}"
        );
    }

    #[test]
    fn what_is_no_url_of_a_beacon_is_said_to_be_none() {
        for (url, expected) in [
            ("", "is not a URL"),
            ("localhost", "only http:// and https://"),
            ("/path", "is not a URL with a host"),
            ("ftp://host/", "only http:// and https://"),
            ("http://host/?q=1", "has a query"),
        ] {
            let error = target(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
