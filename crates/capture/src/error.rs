//! Why a request is refused.

use thiserror::Error;

use crate::body::MAX_BODY_BYTES;

/// A body that is not read.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    /// It is packed by something else than gzip, or more than once.
    #[error("send the body plain, or packed once with `Content-Encoding: gzip`")]
    Encoding,
    /// It is longer than [`MAX_BODY_BYTES`] as it came.
    #[error("the body has {0} bytes: send at most {MAX_BODY_BYTES}")]
    TooLong(usize),
    /// It is longer than that once it is unpacked. How long is not known: it is not unpacked to its end.
    #[error("the body has more than {MAX_BODY_BYTES} bytes once it is unpacked: send fewer events")]
    UnpacksTooLong,
    /// It is torn, or has something behind it.
    #[error("the body is not whole gzip: {0}")]
    Gzip(String),
}
