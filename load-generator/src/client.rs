//! Connections to the beacons.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use chrono::Utc;
use http_body_util::combinators::MapFrame;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tower_service::Service;

use crate::answer::{AttemptError, CONNECT_FAILED, NO_ANSWER, TIMEOUT, retry_after};
use crate::config::Requests;
use crate::event::Table;
use crate::types::Types;

/// The longest answer that is read. 500 records with a message each take a tenth of it.
const ANSWER_LIMIT: usize = 1 << 20;

/// The `User-Agent` of the requests.
const AGENT: &str = concat!("loadgen/", env!("CARGO_PKG_VERSION"));

/// A body with a callback for the moment when the connection sends it.
type Body = MapFrame<Full<Bytes>, Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send>>;

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
#[derive(Debug)]
pub struct Target {
    connector: HttpsConnector<HttpConnector>,
    /// The beacons, of each table.
    uris: Vec<Uri>,
    headers: HeaderMap,
    http2: bool,
    timeout: Duration,
    /// The first error of a connection that could not be made.
    error: OnceLock<String>,
}

impl Target {
    /// The beacons below `base_url`, say `https://example.org/v1`.
    pub fn new(base_url: &str, requests: &Requests, types: &Types) -> anyhow::Result<Self> {
        let base: Uri = base_url.parse().with_context(|| format!("\"{base_url}\" is not a URL"))?;
        let (Some(scheme), Some(authority)) = (base.scheme_str(), base.authority()) else {
            bail!("\"{base_url}\" is not a URL like https://example.org/v1");
        };
        if !["http", "https"].contains(&scheme) {
            bail!("\"{base_url}\": only http:// and https:// are possible");
        }
        if base.query().is_some() {
            bail!("\"{base_url}\" has a query; only a path can be before /impressions and /clicks");
        }
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let path = base.path().trim_end_matches('/');
        let uri = |table| format!("{scheme}://{host}{path}/{}", types.name(table)).parse();
        let uris = types.tables().map(uri).collect::<Result<_, _>>()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if requests.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if !requests.http2 {
            headers.insert(HOST, HeaderValue::from_str(host)?);
        }
        let connector = connector(scheme == "https", requests)?;
        Ok(Self { connector, uris, headers, http2: requests.http2, timeout: requests.timeout, error: OnceLock::new() })
    }

    fn request(&self, table: Table, body: Bytes, sent: impl Fn() + Send + 'static) -> Request<Body> {
        let length = body.len();
        let taken = move |frame| {
            sent();
            frame
        };
        let mut request = Request::new(Full::new(body).map_frame(Box::new(taken) as Box<_>));
        *request.method_mut() = Method::POST;
        let uri = &self.uris[table.index()];
        *request.uri_mut() = match uri.path_and_query() {
            Some(path) if !self.http2 => Uri::from(path.clone()),
            _ => uri.clone(),
        };
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
        request
    }

    /// The first error of a connection that could not be made.
    pub fn error(&self) -> Option<String> {
        self.error.get().cloned()
    }

    async fn connect(&self) -> anyhow::Result<Sender> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await.map_err(anyhow::Error::from_boxed)?;
        let io = connector.call(self.uris[0].clone()).await.map_err(anyhow::Error::from_boxed)?;
        // When the connection ends, its sender returns errors.
        if self.http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(io).await?;
            tokio::spawn(connection);
            Ok(Sender::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Ok(Sender::Http1(sender))
        }
    }
}

fn connector(secure: bool, requests: &Requests) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let builder = HttpsConnectorBuilder::new();
    // The machine's trusted certificates are read only if they are needed: small machines may have none.
    let builder = if secure {
        builder.with_native_roots().context("https needs root certificates on this machine")?
    } else {
        let none = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
        builder.with_tls_config(none.with_no_client_auth())
    };
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(requests.timeout));
    let builder = builder.https_or_http();
    Ok(if requests.http2 {
        builder.enable_http2().wrap_connector(tcp)
    } else {
        builder.enable_http1().wrap_connector(tcp)
    })
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Sender {
    /// Waits for the answer to the previous request. False when the connection is closed.
    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// A connection that is made when it is first needed, and again after it broke.
///
/// With HTTP/2, a clone is another stream of it. With HTTP/1.1, two requests at once take two connections.
#[derive(Debug, Clone)]
pub struct Connection {
    target: Arc<Target>,
    idle: Arc<Mutex<Option<Sender>>>,
}

impl Connection {
    /// A connection to a target, not yet made.
    pub fn new(target: Arc<Target>) -> Self {
        Self { target, idle: Arc::default() }
    }

    /// Posts a body to the beacon of a table. Calls `sent` when the request is being sent.
    pub async fn post(
        &self,
        table: Table,
        body: Bytes,
        sent: impl Fn() + Clone + Send + 'static,
    ) -> Result<Answer, AttemptError> {
        let exchange = self.exchange(table, body, sent);
        tokio::time::timeout(self.target.timeout, exchange).await.unwrap_or(Err(AttemptError::unknown(TIMEOUT)))
    }

    async fn exchange(
        &self,
        table: Table,
        body: Bytes,
        sent: impl Fn() + Clone + Send + 'static,
    ) -> Result<Answer, AttemptError> {
        loop {
            let (mut sender, kept) = self.sender().await?;
            let request = self.target.request(table, body.clone(), sent.clone());
            match sender.send(request).await {
                Ok(response) => {
                    let answer = read(response).await.map_err(|_| AttemptError::unknown(NO_ANSWER))?;
                    if matches!(sender, Sender::Http1(_)) {
                        *self.idle.lock().await = Some(sender);
                    }
                    return Ok(answer);
                }
                // A returned request was not sent. On a kept connection, the server had closed it while it was idle, which is
                // not a failure of this request.
                Err(mut error) => match error.take_message() {
                    Some(_) if kept => {}
                    Some(_) => return Err(AttemptError::not_stored(CONNECT_FAILED)),
                    None => return Err(AttemptError::unknown(NO_ANSWER)),
                },
            }
        }
    }

    /// A sender, and whether it was used before.
    async fn sender(&self) -> Result<(Sender, bool), AttemptError> {
        let mut idle = self.idle.lock().await;
        if let Some(mut sender) = idle.take()
            && sender.is_ready().await
        {
            if let Sender::Http2(sender) = &sender {
                *idle = Some(Sender::Http2(sender.clone()));
            }
            return Ok((sender, true));
        }
        let sender = self.target.connect().await.map_err(|error| {
            self.target.error.get_or_init(|| format!("{error:#}"));
            AttemptError::not_stored(CONNECT_FAILED)
        })?;
        if let Sender::Http2(sender) = &sender {
            *idle = Some(Sender::Http2(sender.clone()));
        }
        Ok((sender, false))
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

    fn target(url: &str) -> anyhow::Result<Target> {
        Target::new(url, &Requests::default(), &Types::new(Ads::new(1, 0.0), Vec::new()))
    }

    #[test]
    fn the_paths_of_the_beacons_are_below_the_base_url() {
        for (url, path) in [
            ("http://127.0.0.1:4566", "/impressions"),
            ("http://127.0.0.1:4566/", "/impressions"),
            ("http://user:password@127.0.0.1:4566/_aws/Prod/", "/_aws/Prod/impressions"),
        ] {
            let request = target(url).unwrap().request(Table::Impressions, Bytes::from_static(b"{}"), || ());
            assert_eq!(request.uri(), path);
            assert_eq!(request.headers()[HOST], "127.0.0.1:4566");
            assert_eq!(request.headers()[CONTENT_LENGTH], "2");
        }
    }

    #[test]
    fn a_url_that_no_beacon_can_have_is_an_error() {
        for (url, expected) in [
            ("", "is not a URL"),
            ("localhost", "is not a URL like https://"),
            ("/path", "is not a URL like https://"),
            ("ftp://host/", "only http:// and https://"),
            ("http://host/?q=1", "has a query"),
        ] {
            let error = target(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
