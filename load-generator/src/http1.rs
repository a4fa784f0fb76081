//! HTTP/1.1 (RFC 9112) as far as posting to a beacon needs it: one request at a time on a connection that is kept.
//!
//! A general client hands each request through channels to a task that drives the connection. With one event a request
//! that took more time than the event and the system calls; here the caller drives the connection itself, a request is
//! one write, and what is allocated is kept.

use crate::answer::retry_after;
use crate::client::{ANSWER_LIMIT, Answer};
use bytes::{Buf, Bytes, BytesMut};
use chrono::Utc;
use hyper::StatusCode;
use std::future::{Future, poll_fn};
use std::io::{Error, ErrorKind, Result};
use std::mem::MaybeUninit;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most header fields of an answer.
const HEADERS_LIMIT: usize = 100;
/// The longest head of an answer, and the longest line or trailer of its chunks.
const HEAD_LIMIT: usize = 1 << 16;
/// How much is read at once.
const READ: usize = 1 << 14;

/// A request that brought no answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// None of it was sent.
    pub unsent: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Http1<S> {
    stream: S,
    input: BytesMut,
    output: Vec<u8>,
    /// Requests were answered on it, so that it may have been closed for being idle.
    used: bool,
    /// No further request can be sent.
    ended: bool,
}

/// How the end of an answer's body is known (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks,
    Close,
}

/// What is needed of an answer's head.
#[derive(Debug)]
struct Head {
    length: usize,
    status: StatusCode,
    retry_after: Option<Duration>,
    framing: Framing,
    /// The connection is not for another request.
    last: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    /// A connection on which nothing was sent.
    pub fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: Vec::new(), used: false, ended: false }
    }

    /// Requests were answered on it.
    pub fn used(&self) -> bool {
        self.used
    }

    /// Sends a request whose `head` ends where the length of its body goes, and reads the answer; calls `sent` once all
    /// of the request is on its way.
    pub async fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        sent: &mut (dyn FnMut() + Send),
    ) -> std::result::Result<Answer, Broken> {
        if self.ended || self.has_ended().await {
            return Err(Broken { unsent: true });
        }
        // Until the answer is whole, so that nothing follows on it if this is not waited for.
        self.ended = true;
        self.output.clear();
        self.output.extend_from_slice(head);
        append_number(body.len(), &mut self.output);
        self.output.extend_from_slice(b"\r\n\r\n");
        self.output.extend_from_slice(body);
        match self.send().await {
            Ok(()) => sent(),
            Err(Broken { unsent: true }) => return Err(Broken { unsent: true }),
            // A server that wants no more of it may have said why.
            Err(Broken { unsent: false }) => {}
        }
        let (answer, last) = self.receive().await.map_err(|_| Broken { unsent: false })?;
        self.used = true;
        self.ended = last || !self.input.is_empty();
        Ok(answer)
    }

    /// Whether the server has closed the connection, or said something that was not asked for, since the last answer.
    async fn has_ended(&mut self) -> bool {
        self.input.reserve(READ);
        let mut read = pin!(self.stream.read_buf(&mut self.input));
        poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_ready())).await
    }

    async fn send(&mut self) -> std::result::Result<(), Broken> {
        let mut rest = &self.output[..];
        let mut unsent = true;
        while !rest.is_empty() {
            match self.stream.write(rest).await {
                Ok(0) | Err(_) => return Err(Broken { unsent }),
                Ok(written) => rest = &rest[written..],
            }
            unsent = false;
        }
        self.stream.flush().await.map_err(|_| Broken { unsent: false })
    }

    /// The answer, and whether the connection ends with it.
    async fn receive(&mut self) -> Result<(Answer, bool)> {
        let head = loop {
            match parse(&self.input)? {
                // Interim answers, such as 100 (Continue).
                Some(head) if head.status.is_informational() => self.input.advance(head.length),
                Some(head) => break head,
                None if self.input.len() > HEAD_LIMIT => return Err(invalid("a head without end")),
                None => self.fill().await?,
            }
        };
        self.input.advance(head.length);
        let body = match head.framing {
            Framing::Length(length) => {
                self.fill_to(length).await?;
                let body = Bytes::copy_from_slice(&self.input[..length]);
                self.input.advance(length);
                body
            }
            Framing::Chunks => self.chunks().await?,
            Framing::Close => {
                while self.more().await? > 0 {
                    limit(self.input.len())?;
                }
                self.input.split().freeze()
            }
        };
        Ok((Answer { status: head.status, retry_after: head.retry_after, body }, head.last))
    }

    async fn chunks(&mut self) -> Result<Bytes> {
        let mut body = Vec::new();
        loop {
            let line = |input: &[u8]| match httparse::parse_chunk_size(input) {
                Ok(httparse::Status::Complete(found)) => Ok(Some(found)),
                Ok(httparse::Status::Partial) => Ok(None),
                Err(_) => Err(invalid("a chunk of no length")),
            };
            let (start, length) = self.fill_until(line).await?;
            self.input.advance(start);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            limit(body.len().saturating_add(length))?;
            if length == 0 {
                break;
            }
            self.fill_to(length + 2).await?;
            body.extend_from_slice(&self.input[..length]);
            if &self.input[length..length + 2] != b"\r\n" {
                return Err(invalid("a chunk of another length"));
            }
            self.input.advance(length + 2);
        }
        // Trailer fields, of which none matters, up to an empty line.
        loop {
            let line = |input: &[u8]| Ok(input.windows(2).position(|two| two == b"\r\n"));
            let end = self.fill_until(line).await?;
            self.input.advance(end + 2);
            if end == 0 {
                return Ok(body.into());
            }
        }
    }

    /// Reads until `find` finds something in what was read.
    async fn fill_until<T>(&mut self, find: impl Fn(&[u8]) -> Result<Option<T>>) -> Result<T> {
        loop {
            match find(&self.input)? {
                Some(found) => return Ok(found),
                None if self.input.len() > HEAD_LIMIT => return Err(invalid("a line without end")),
                None => self.fill().await?,
            }
        }
    }

    async fn fill_to(&mut self, length: usize) -> Result<()> {
        while self.input.len() < length {
            self.fill().await?;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        if self.more().await? == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    async fn more(&mut self) -> Result<usize> {
        self.input.reserve(READ);
        self.stream.read_buf(&mut self.input).await
    }
}

/// The head of an answer, once it's whole.
fn parse(input: &[u8]) -> Result<Option<Head>> {
    let mut fields = [MaybeUninit::uninit(); HEADERS_LIMIT];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut answer, input, &mut fields)
        .map_err(|error| invalid(&error.to_string()))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| invalid("no status"))?;
    // Only HTTP/1.1 keeps connections by itself.
    let mut head = Head { length, status, retry_after: None, framing: Framing::Close, last: answer.version != Some(1) };
    for field in answer.headers.iter() {
        let text = || std::str::from_utf8(field.value).unwrap_or_default().trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            let length = text().parse().map_err(|_| invalid("a content-length that is no number"))?;
            limit(length)?;
            match head.framing {
                Framing::Close => head.framing = Framing::Length(length),
                // Chunks overrule a length.
                Framing::Chunks => {}
                Framing::Length(other) if other == length => {}
                Framing::Length(_) => return Err(invalid("two lengths")),
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !text().eq_ignore_ascii_case("chunked") {
                return Err(invalid("an unknown transfer-encoding"));
            }
            head.framing = Framing::Chunks;
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.last |= text().split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        } else if field.name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = retry_after(text(), Utc::now().timestamp());
        }
    }
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        head.framing = Framing::Length(0);
    }
    head.last |= head.framing == Framing::Close;
    Ok(Some(head))
}

fn limit(length: usize) -> Result<()> {
    if length > ANSWER_LIMIT { Err(invalid("an answer that is too long")) } else { Ok(()) }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn append_number(mut number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    const HEAD: &[u8] = b"POST /clicks HTTP/1.1\r\nhost: h\r\ncontent-length: ";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// A server that reads each request to its end and says the next of `answers`, then closes the connection.
    async fn serve(mut stream: DuplexStream, answers: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        for answer in answers {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    return requests;
                }
            }
            requests.push(request);
            stream.write_all(&answer).await.unwrap();
        }
        requests
    }

    /// What becomes of a request for each of the answers and one more, over a pipe that takes `room` bytes at once.
    fn talk(room: usize, answers: &[&[u8]]) -> Vec<std::result::Result<Answer, Broken>> {
        block_on(async {
            let (near, far) = duplex(room);
            let mut connection = Http1::new(near);
            let client = async move {
                let mut results = Vec::new();
                for _ in 0..=answers.len() {
                    results.push(connection.exchange(HEAD, b"{\"clicks\":[]}", &mut || ()).await);
                    // So that the server sees to its end.
                    tokio::task::yield_now().await;
                }
                results
            };
            let (results, _) = tokio::join!(client, serve(far, answers.iter().map(|answer| answer.to_vec()).collect()));
            results
        })
    }

    fn bodies(results: &[std::result::Result<Answer, Broken>]) -> Vec<Option<(u16, String)>> {
        let read = |answer: &Answer| (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap());
        results.iter().map(|result| result.as_ref().ok().map(read)).collect()
    }

    #[test]
    fn a_request_is_its_head_with_the_length_and_its_body() {
        block_on(async {
            let (near, far) = duplex(64);
            let mut calls = 0;
            let body = format!("{{{}}}", "x".repeat(1_000));
            let mut count = || calls += 1;
            let mut connection = Http1::new(near);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec();
            let (result, requests) =
                tokio::join!(connection.exchange(HEAD, body.as_bytes(), &mut count), serve(far, vec![answer]));
            assert_eq!(result.unwrap().status, 200);
            assert_eq!(calls, 1);
            let expected = format!("POST /clicks HTTP/1.1\r\nhost: h\r\ncontent-length: 1002\r\n\r\n{body}");
            assert_eq!(String::from_utf8(requests.concat()).unwrap(), expected);
        });
    }

    /// However the bytes of answers are cut into pieces, they are read the same.
    #[test]
    fn answers_are_read_by_length_by_chunks_or_to_the_end() {
        let answers: [&[u8]; 5] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
              4\r\nWiki\r\n7;x=y\r\npedia i\r\nB\r\nn \r\nchunks.\r\n0\r\nsome: trailer\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nto the end",
        ];
        let expected: Vec<Option<(u16, String)>> =
            [(200, "hello"), (200, "Wikipedia in \r\nchunks."), (204, ""), (503, ""), (200, "to the end")]
                .map(|(status, body)| Some((status, body.to_owned())))
                .into_iter()
                .chain([None])
                .collect();
        for room in [1, 2, 3, 7, 64, 100_000] {
            let results = talk(room, &answers);
            assert_eq!(bodies(&results), expected, "{room} bytes at once");
            assert_eq!(results[3].as_ref().unwrap().retry_after, Some(Duration::from_secs(7)));
            assert_eq!(results[5].as_ref().unwrap_err(), &Broken { unsent: true });
        }
    }

    #[test]
    fn nothing_more_is_sent_on_a_connection_that_ends() {
        for last in [
            &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..],
            b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\ncontent-length: 2\r\n\r\nok",
            b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            // More than was asked for.
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 408 Request Timeout\r\n\r\n",
        ] {
            let results = talk(10_000, &[last]);
            assert_eq!(bodies(&results)[0], Some((200, "ok".to_owned())));
            assert_eq!(results[1].as_ref().unwrap_err(), &Broken { unsent: true }, "{}", String::from_utf8_lossy(last));
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_none() {
        let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(HEADERS_LIMIT + 1), b"\r\n".to_vec()].concat();
        let long = [b"HTTP/1.1 200 OK\r\na: ".to_vec(), vec![b'b'; HEAD_LIMIT + READ]].concat();
        for answer in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\ncontent-len",
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok!\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100001\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            &many,
            &long,
        ] {
            let results = talk(1 << 20, &[answer]);
            let text = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
            assert_eq!(results[0].as_ref().unwrap_err(), &Broken { unsent: false }, "{text}");
            assert_eq!(results[1].as_ref().unwrap_err(), &Broken { unsent: true }, "{text}");
        }
    }

    #[test]
    fn lengths_are_written_in_full() {
        for number in [0, 7, 10, 144, 99_999, usize::MAX] {
            let mut text = Vec::new();
            append_number(number, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), number.to_string());
        }
    }
}
