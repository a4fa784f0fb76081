//! What a beacon answers the load generator over HTTP/1.1.

use std::pin::Pin;
use std::task::{Context, Poll};

use fastrand::Rng;
use loadgen::answer::{Verdict, Verdicts, judge};
use loadgen::http1::Http1;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stores::Runtime;
use crate::{Target, mutate, oracle};

/// How many events the request had.
const EVENTS: usize = 3;

/// What HTTP and JSON are made of.
const PIECES: [&[u8]; 18] = [
    b"\r\n",
    b"\r\n\r\n",
    b":",
    b" ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"content-length: 99999999999999999999\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"retry-after: -1\r\n",
    b"retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"{\"failed\":false}",
    b"true",
    b"\0",
    b"\xff",
];

/// Answers, as they come from the connection.
#[derive(Default)]
pub struct Answers {
    runtime: Runtime,
}

/// A server that answers the first request with these bytes, and closes the connection.
struct Server<'a> {
    answer: &'a [u8],
    is_asked: bool,
}

impl AsyncRead for Server<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if !self.is_asked {
            return Poll::Pending;
        }
        // Few at a time: an answer may be cut anywhere.
        let (now, later) = self.answer.split_at(self.answer.len().min(buffer.remaining()).min(97));
        buffer.put_slice(now);
        self.answer = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.is_asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Target for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let status = ["200 OK", "200 OK", "200 OK", "429 x", "503 x", "400 x", "204 x"][rng.usize(..7)];
        let records: Vec<&str> = (0..if mutate::one_in(rng, 8) { rng.usize(..6) } else { EVENTS })
            .map(|_| {
                [
                    r#"{"failed":false}"#,
                    r#"{"failed":false,"id":"x"}"#,
                    r#"{"failed":true,"error_code":"NotStored","error_message":"later"}"#,
                    r#"{"failed":true,"error_code":"InvalidEvent","error_message":"no \"ad_id\""}"#,
                ][rng.usize(..4)]
            })
            .collect();
        let body = format!(r#"{{"failed_count":0,"records":[{}]}}"#, records.join(","));
        let end = if rng.bool() {
            format!("content-length: {}\r\n\r\n{body}", body.len())
        } else if rng.bool() {
            let at = rng.usize(1..body.len());
            let (one, two) = body.split_at(at);
            format!(
                "transfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:X};a=b\r\n{two}\r\n0\r\nx: y\r\n\r\n",
                one.len(),
                two.len()
            )
        } else {
            format!("connection: close\r\n\r\n{body}")
        };
        let mut answer =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 3\r\n{end}").into_bytes();
        mutate::damage(rng, &mut answer, &PIECES);
        answer
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let server = Server { answer: input, is_asked: false };
        let mut connection = Http1::new(server);
        let head = b"POST /clicks HTTP/1.1\r\nhost: h\r\ncontent-length: ";
        let Ok(answer) = self.runtime.run(connection.exchange(head, b"{}", &mut || {})) else { return false };
        let acknowledged = match judge(answer.status, answer.retry_after, &answer.body, EVENTS) {
            Verdicts::All(Verdict::Acknowledged) => vec![true; EVENTS],
            Verdicts::All(_) => return false,
            Verdicts::Each(each) => each.iter().map(|verdict| *verdict == Verdict::Acknowledged).collect(),
        };
        assert_eq!(answer.status.as_u16(), 200);
        assert!(oracle::is_grammatical(&answer.body), "acknowledged by what is not JSON");
        // What a plain reader of JSON can't read, such as a number beyond a double, is not compared.
        let Ok(read) = serde_json::from_slice::<Value>(&answer.body) else { return true };
        let said: Vec<bool> =
            read["records"].as_array().into_iter().flatten().map(|record| record["failed"] == false).collect();
        assert_eq!(acknowledged, said, "{read}");
        true
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 64)
    }
}
