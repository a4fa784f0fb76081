//! The bodies of answers, some of which break off.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Response;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio::sync::Notify;

use crate::Answer;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What follows the bytes that are sent.
pub(crate) enum End {
    /// The next request.
    Keep,
    /// The connection is closed after the whole answer.
    Close(Arc<Notify>),
    /// The connection breaks.
    Break,
    /// Nothing.
    Stall,
}

pub(crate) struct Sent {
    bytes: Option<Bytes>,
    end: End,
    is_flushed: bool,
}

/// An answer. Only half of its body is sent if it breaks off or stalls.
pub(crate) fn response(answer: Answer, end: End) -> Result<Response<Sent>, Failure> {
    let mut body = Bytes::from(answer.body);
    let mut response = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, answer.content_type)
        .header(CONTENT_LENGTH, body.len());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    if matches!(end, End::Break | End::Stall) {
        body.truncate(body.len() / 2);
    }
    Ok(response.body(Sent { bytes: Some(body), end, is_flushed: false })?)
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(bytes) = self.bytes.take() {
            if let End::Close(close) = &self.end {
                close.notify_one();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Keep | End::Close(_) => Poll::Ready(None),
            End::Stall => Poll::Pending,
            // Hyper sends buffered bytes before it polls again, and drops them on an error.
            End::Break if !self.is_flushed => {
                self.is_flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Break => Poll::Ready(Some(Err("broken on purpose".into()))),
        }
    }
}
