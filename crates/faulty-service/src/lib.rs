#![doc = include_str!("../README.md")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is answered.
    Answer(Answer),
    /// It is read, and the connection is closed without an answer: the service may have done its work.
    LostAnswer,
    /// The connection is closed after the first line of the request: the service has not seen it.
    Cut,
    /// Half of the answer's body follows a head that promises the whole, and the connection is closed.
    Truncate(Answer),
    /// Half of the answer's body follows a head that promises the whole, and then nothing.
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
    /// An answer in the JSON that AWS speaks.
    pub fn json(status: u16, body: &str) -> Self {
        Self { status, content_type: "application/x-amz-json-1.1", body: body.as_bytes().to_vec(), headers: Vec::new() }
    }
}

/// A request that the service read to its end.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its headers, with names in lower case.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A service that gives each request the next fate of a script.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    left: Arc<Mutex<VecDeque<Fate>>>,
}

impl Service {
    /// Starts it. A request after the end of the script is cut; [`Self::requests`] shows it all the same if it was not the last.
    pub fn start(script: impl IntoIterator<Item = Fate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (received, left) = (Arc::default(), Arc::new(Mutex::new(script.into_iter().collect())));
        let service = Self { url, received: Arc::clone(&received), left: Arc::clone(&left) };
        // The threads end with the process of the test.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (received, left) = (Arc::clone(&received), Arc::clone(&left));
                // A client that goes away is what many tests are about.
                thread::spawn(move || serve(&connection?, &received, &left));
            }
        });
        service
    }

    /// What it read so far, in order.
    pub fn requests(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many fates no request has met.
    pub fn unused(&self) -> usize {
        self.left.lock().unwrap().len()
    }
}

fn serve(connection: &TcpStream, received: &Mutex<Vec<Received>>, left: &Mutex<VecDeque<Fate>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut first_line = String::new();
        if reader.read_line(&mut first_line)? == 0 {
            return Ok(());
        }
        let fate = left.lock().unwrap().pop_front().unwrap_or(Fate::Cut);
        if matches!(fate, Fate::Cut) {
            return connection.shutdown(Shutdown::Both);
        }
        let request = read(&mut reader)?;
        received.lock().unwrap().push(request);
        match fate {
            Fate::Answer(answer) => write(connection, &answer, answer.body.len())?,
            Fate::Truncate(answer) => {
                write(connection, &answer, answer.body.len() / 2)?;
                return connection.shutdown(Shutdown::Both);
            }
            Fate::Stall(answer) => {
                write(connection, &answer, answer.body.len() / 2)?;
                // Until the client goes away.
                reader.read_to_end(&mut Vec::new())?;
            }
            Fate::Silence => drop(reader.read_to_end(&mut Vec::new())?),
            Fate::LostAnswer | Fate::Cut => return connection.shutdown(Shutdown::Both),
        }
    }
}

/// The headers and the body of a request whose first line was read.
fn read(reader: &mut impl BufRead) -> std::io::Result<Received> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Received { headers, body })
}

/// The head of the whole answer, and so much of its body.
fn write(mut connection: &TcpStream, answer: &Answer, body: usize) -> std::io::Result<()> {
    let length = answer.body.len();
    let mut head = format!(
        "HTTP/1.1 {} .\r\nContent-Type: {}\r\nContent-Length: {length}\r\n",
        answer.status, answer.content_type
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    connection.write_all(&[head.as_bytes(), &answer.body[..body]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer::json(200, "0123456789")
    }

    /// What a client reads until the service closes the connection, or until an answer is complete.
    fn asked(service: &Service, connection: &mut TcpStream) -> String {
        connection.write_all(b"POST / HTTP/1.1\r\nX-Name: value\r\nContent-Length: 4\r\n\r\nbody").unwrap();
        let mut read = String::new();
        let mut buffer = [0; 1_024];
        while !read.ends_with("9") {
            match connection.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => read.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
            }
        }
        assert!(service.url.starts_with("http://127.0.0.1:"));
        read
    }

    fn connect(service: &Service) -> TcpStream {
        TcpStream::connect(service.url.trim_start_matches("http://")).unwrap()
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
        let head = "HTTP/1.1 200 .\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 10\r\n\r\n";
        let mut kept = connect(&service);
        assert_eq!(asked(&service, &mut kept), format!("{head}0123456789"));
        assert_eq!(asked(&service, &mut kept), format!("{head}01234"));
        assert_eq!(asked(&service, &mut connect(&service)), "");
        assert_eq!(asked(&service, &mut connect(&service)), "");
        // Whoever was cut has not been read.
        assert_eq!((service.requests().len(), service.unused()), (3, 1));
        assert_eq!(service.requests()[2].body, b"body");
        assert_eq!(service.requests()[2].headers["x-name"], "value");
    }

    #[test]
    fn silence_and_a_stalled_answer_last_until_the_client_goes_away() {
        let service = Service::start([Fate::Stall(answer()), Fate::Silence]);
        for expected in ["01234", ""] {
            let mut connection = connect(&service);
            connection.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
            assert!(asked(&service, &mut connection).ends_with(expected));
        }
        assert_eq!((service.requests().len(), service.unused()), (2, 0));
    }
}
