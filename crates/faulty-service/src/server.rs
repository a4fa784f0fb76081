//! Connections over HTTP/1.1 and HTTP/2, with and without TLS.

use std::collections::VecDeque;
use std::future::pending;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::answer::{End, Failure, Sent, response};
use crate::{Decide, Fate, Received};

/// What all connections of a service share.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) received: Arc<Mutex<Vec<Received>>>,
    pub(crate) script: Arc<Mutex<VecDeque<Fate>>>,
    /// Instead of the script.
    pub(crate) decide: Option<Arc<Mutex<Decide>>>,
}

/// TLS with a self-signed certificate for `localhost`, and the certificate as PEM.
pub(crate) fn tls() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

impl Connections {
    pub(crate) async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (connections, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else {
                    // The preface of HTTP/2 (RFC 9113, section 3.4) begins with PRI.
                    let mut start = [0; 3];
                    let is_http2 = matches!(stream.peek(&mut start).await, Ok(3)) && &start == b"PRI";
                    return connections.serve(stream, number, is_http2).await;
                };
                // A client that does not trust the certificate goes away.
                let Ok(stream) = tls.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                connections.serve(stream, number, is_http2).await;
            });
        }
    }

    /// Serves a connection to its end. A client that goes away is what many tests are about, so errors are dropped.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, number: usize, is_http2: bool) {
        let close = Arc::new(Notify::new());
        let service = {
            let close = Arc::clone(&close);
            service_fn(move |request| self.clone().answer(request, number, is_http2, Arc::clone(&close)))
        };
        let io = TokioIo::new(stream);
        if is_http2 {
            drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
            return;
        }
        let mut connection = pin!(http1::Builder::new().serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return drop(ended),
            () = close.notified() => connection.as_mut().graceful_shutdown(),
        }
        drop(connection.await);
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        connection: usize,
        is_http2: bool,
        close: Arc<Notify>,
    ) -> Result<Response<Sent>, Failure> {
        let scripted = match &self.decide {
            None => Some(self.script.lock().unwrap().pop_front().unwrap_or(Fate::Cut)),
            Some(_) => None,
        };
        if matches!(scripted, Some(Fate::Cut)) {
            return Err("cut on purpose".into());
        }
        let received = read(request, connection, is_http2).await?;
        match self.keep(received, scripted) {
            Fate::Answer(answer) => response(answer, End::Keep),
            Fate::AnswerAndClose(answer) => response(answer, End::Close(close)),
            Fate::Truncate(answer) => response(answer, End::Break),
            Fate::Stall(answer) => response(answer, End::Stall),
            Fate::Silence => pending().await,
            Fate::LostAnswer | Fate::Cut => Err("closed on purpose".into()),
        }
    }

    /// Keeps a request and decides its fate, one request at a time.
    fn keep(&self, request: Received, scripted: Option<Fate>) -> Fate {
        let mut received = self.received.lock().unwrap();
        let fate = match (scripted, &self.decide) {
            (Some(fate), _) => fate,
            (None, Some(decide)) => (decide.lock().unwrap())(received.len(), &request),
            (None, None) => Fate::Cut,
        };
        received.push(request);
        fate
    }
}

async fn read(request: Request<Incoming>, connection: usize, is_http2: bool) -> Result<Received, Failure> {
    let (head, body) = request.into_parts();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(Received {
        path: head.uri.path().to_owned(),
        headers: head.headers.iter().map(header).collect(),
        body: body.collect().await?.to_bytes().to_vec(),
        connection,
        is_http2,
    })
}
