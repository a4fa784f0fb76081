//! Why a request is refused.

use thiserror::Error;

use crate::body::MAX_BODY_BYTES;

/// A body that is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    /// It has another coding than gzip, or several codings.
    #[error("send the body uncompressed, or compressed once with `Content-Encoding: gzip`")]
    Encoding,
    /// It is longer than [`MAX_BODY_BYTES`] as it was sent.
    #[error("the body has {0} bytes: send at most {MAX_BODY_BYTES}")]
    TooLong(usize),
    /// It is longer than that once decompressed. Its length is not known, since decompression stops at the limit.
    #[error("the body has more than {MAX_BODY_BYTES} bytes once decompressed: send fewer events")]
    TooLongDecompressed,
    /// It is truncated or damaged, or bytes follow it.
    #[error("the body is not valid gzip: {0}")]
    Gzip(String),
}
