#![doc = include_str!("../README.md")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answer;
pub mod function;
mod server;

use std::collections::{HashMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::server::Connections;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is answered.
    Answer(Answer),
    /// It is answered as if the connection were kept, and then the connection is closed.
    AnswerAndClose(Answer),
    /// It is read, and the connection (with HTTP/2 the stream) is closed without an answer: the service may have done its work.
    LostAnswer,
    /// The connection is closed after the head of the request: the service has not seen it.
    Cut,
    /// Half of the answer's body follows a head that promises all of it, and the connection is closed.
    Truncate(Answer),
    /// Half of the answer's body follows a head that promises all of it, and then nothing.
    Stall(Answer),
    /// It is read, and no answer comes.
    Silence,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its body.
    pub body: Vec<u8>,
    /// Further headers.
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Answer {
    /// An answer in the JSON that AWS services use.
    pub fn json(status: u16, body: &str) -> Self {
        Self { status, content_type: "application/x-amz-json-1.1", body: body.as_bytes().to_vec(), headers: Vec::new() }
    }
}

/// A request that the service read to its end.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its headers, with names in lower case.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
    /// The number of its connection, from 0.
    pub connection: usize,
    /// Whether it came with HTTP/2.
    pub is_http2: bool,
}

/// An HTTP service on the loopback interface that decides the fate of each request. It stops when it is dropped.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<VecDeque<Fate>>>,
    _stop: oneshot::Sender<()>,
}

/// Decides the fate of a request from its number, from 0, and its content.
pub(crate) type Decide = Box<dyn FnMut(usize, &Received) -> Fate + Send>;

impl Service {
    /// A service that gives each request the next fate of a script. A request after the end of the script is cut.
    pub fn start(script: impl IntoIterator<Item = Fate>) -> Self {
        Self::run(script.into_iter().collect(), None, None)
    }

    /// A service that decides the fate of each request once it has read it.
    pub fn start_with(decide: impl FnMut(usize, &Received) -> Fate + Send + 'static) -> Self {
        Self::run(VecDeque::new(), Some(Box::new(decide)), None)
    }

    /// The same over https, as `localhost`. It also returns its self-signed certificate, as PEM.
    pub fn start_secure(decide: impl FnMut(usize, &Received) -> Fate + Send + 'static) -> (Self, String) {
        let (tls, certificate) = server::tls();
        (Self::run(VecDeque::new(), Some(Box::new(decide)), Some(tls)), certificate)
    }

    fn run(script: VecDeque<Fate>, decide: Option<Decide>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = match &tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let (received, script) = (Arc::default(), Arc::new(Mutex::new(script)));
        let connections = Connections {
            received: Arc::clone(&received),
            script: Arc::clone(&script),
            decide: decide.map(|decide| Arc::new(Mutex::new(decide))),
        };
        let (stop, stopped) = oneshot::channel();
        // A thread of its own: it answers whatever the test's own runtime is doing, and in real time.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = connections.accept(listener, tls) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { url, received, script, _stop: stop }
    }

    /// The requests that it read so far, in order.
    pub fn requests(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many fates of the script no request has met.
    pub fn unused(&self) -> usize {
        self.script.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn answer() -> Answer {
        Answer::json(200, "0123456789")
    }

    /// Sends a request. Reads until the service closes the connection or the answer is complete.
    fn asked(connection: &mut TcpStream) -> String {
        connection.write_all(b"POST /path HTTP/1.1\r\nX-Name: value\r\nContent-Length: 4\r\n\r\nbody").unwrap();
        let mut read = String::new();
        let mut buffer = [0; 1_024];
        while !read.ends_with("9") {
            match connection.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => read.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
            }
        }
        read
    }

    fn connect(service: &Service) -> TcpStream {
        TcpStream::connect(service.url.strip_prefix("http://").unwrap()).unwrap()
    }

    /// Whether the text has the head of the answer and exactly this part of its body.
    fn is_answer(read: &str, body: &str) -> bool {
        let (head, read_body) = read.split_once("\r\n\r\n").unwrap();
        head.starts_with("HTTP/1.1 200 OK\r\n")
            && head.contains("content-type: application/x-amz-json-1.1\r\n")
            && head.contains("content-length: 10\r\n")
            && !head.contains("connection:")
            && read_body == body
    }

    #[test]
    fn each_request_meets_its_fate() {
        let service = Service::start([
            Fate::Answer(answer()),
            Fate::Truncate(answer()),
            Fate::LostAnswer,
            Fate::Cut,
            Fate::Answer(answer()),
        ]);
        let mut kept = connect(&service);
        assert!(is_answer(&asked(&mut kept), "0123456789"));
        assert!(is_answer(&asked(&mut kept), "01234"));
        assert_eq!(asked(&mut connect(&service)), "");
        assert_eq!(asked(&mut connect(&service)), "");
        // The request that met `Fate::Cut` was not read.
        assert_eq!((service.requests().len(), service.unused()), (3, 1));
    }

    #[test]
    fn a_request_is_recorded_unchanged() {
        let service = Service::start([Fate::LostAnswer, Fate::LostAnswer]);
        asked(&mut connect(&service));
        asked(&mut connect(&service));
        let requests = service.requests();
        assert_eq!((requests[1].path.as_str(), requests[1].body.as_slice()), ("/path", b"body".as_slice()));
        assert_eq!(requests[1].headers["x-name"], "value");
        assert!(!requests[1].is_http2);
        assert_ne!(requests[0].connection, requests[1].connection);
    }

    #[test]
    fn silence_and_a_stalled_answer_last_until_the_client_goes_away() {
        let service = Service::start([Fate::Stall(answer()), Fate::Silence]);
        for expected in ["01234", ""] {
            let mut connection = connect(&service);
            connection.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
            assert!(asked(&mut connection).ends_with(expected));
        }
        assert_eq!((service.requests().len(), service.unused()), (2, 0));
    }

    #[test]
    fn a_connection_is_closed_without_notice_after_a_complete_answer() {
        let service = Service::start([Fate::AnswerAndClose(answer()), Fate::Answer(answer())]);
        let mut connection = connect(&service);
        assert!(is_answer(&asked(&mut connection), "0123456789"));
        assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
        assert!(is_answer(&asked(&mut connect(&service)), "0123456789"));
    }

    #[test]
    fn a_fate_can_depend_on_the_request_and_its_number() {
        let service = Service::start_with(|number, request| {
            Fate::Answer(Answer::json(200, &format!("{number} {} 9", request.path)))
        });
        let mut connection = connect(&service);
        assert!(asked(&mut connection).ends_with("\r\n\r\n0 /path 9"));
        assert!(asked(&mut connection).ends_with("\r\n\r\n1 /path 9"));
    }
}
