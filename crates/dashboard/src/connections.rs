//! Connections to the page, within limits: a client that is slow or sends too much is disconnected.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// The largest head of a request. Browsers send one or two kilobytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections are open at once. Others wait.
    pub connections: usize,
    /// How long the head of a request may take; also how long a connection may wait for its next request.
    pub head: Duration,
    /// How long a connection lasts: the answer to its last request must be read within `head` after that.
    pub connection: Duration,
}

impl Limits {
    /// For browsers on this machine, which open six connections each.
    pub const DEFAULT: Self =
        Self { connections: 64, head: Duration::from_secs(10), connection: Duration::from_secs(300) };
}

/// Answers all connections.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits) -> Result<Infallible> {
    let open = Arc::new(Semaphore::new(limits.connections));
    loop {
        let permit = Arc::clone(&open).acquire_owned().await?;
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(answer(stream, app.clone(), limits, permit))),
            // The client has disconnected, or this process has no file descriptor left: neither ends the server.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(stream: TcpStream, app: Router, limits: Limits, _open: OwnedSemaphorePermit) {
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    // An error of a connection is its client's problem.
    if timeout(limits.connection, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.head, connection).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener as Listener, TcpStream as Stream};

    use axum::routing::get;

    use super::*;

    const LIMITS: Limits =
        Limits { connections: 4, head: Duration::from_millis(400), connection: Duration::from_millis(1_500) };

    /// The timeout of a test. A test that waits this long fails.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Much more than the buffers of a connection can hold.
    const LARGE: usize = 64 * 1024 * 1024;

    /// Starts a server. `/` returns "hello", and `/large` returns a large body.
    fn start() -> SocketAddr {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let app = Router::new().route("/", get(async || "hello")).route("/large", get(async || "x".repeat(LARGE)));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { serve(TcpListener::from_std(listener).unwrap(), app, LIMITS).await }).unwrap();
        });
        address
    }

    fn connect(address: SocketAddr) -> Stream {
        let stream = Stream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Reads until the server closes the connection.
    fn rest(mut stream: Stream) -> String {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        assert!(
            !read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "the server did not close the connection"
        );
        String::from_utf8(bytes).unwrap()
    }

    fn assert_says_hello(address: SocketAddr) {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        assert!(rest(stream).ends_with("\r\n\r\nhello"));
    }

    #[test]
    fn slow_request_heads_do_not_block_other_clients() {
        let address = start();
        let slow: Vec<Stream> = (0..LIMITS.connections * 3).map(|_| connect(address)).collect();
        for mut stream in &slow {
            stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
        }
        assert_says_hello(address);
        for stream in slow {
            let answer = rest(stream);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        }
    }

    #[test]
    fn connections_without_a_request_are_closed() {
        let address = start();
        let idle: Vec<Stream> = (0..LIMITS.connections).map(|_| connect(address)).collect();
        assert_says_hello(address);
        assert!(idle.into_iter().all(|stream| rest(stream).is_empty()));
    }

    #[test]
    fn a_large_head_is_refused() {
        let address = start();
        let mut stream = connect(address);
        let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: {}", "x".repeat(LARGE));
        assert!(stream.write_all(head.as_bytes()).is_err(), "all of it was read");
        assert_says_hello(address);
    }

    #[test]
    fn a_large_body_is_not_read() {
        let address = start();
        let mut stream = connect(address);
        stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1099511627776\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 405");
        assert!(stream.write_all(&vec![b'x'; LARGE]).is_err(), "all of it was read");
        assert_says_hello(address);
    }

    #[test]
    fn a_client_that_does_not_read_its_answer_is_disconnected() {
        let address = start();
        let deaf: Vec<Stream> = (0..LIMITS.connections).map(|_| connect(address)).collect();
        for mut stream in &deaf {
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        }
        assert_says_hello(address);
        // Only what is in the buffers still arrives.
        for stream in deaf {
            stream.shutdown(Shutdown::Write).unwrap();
            assert!(rest(stream).len() < LARGE);
        }
    }
}
