//! The body of a request, decompressed if it is gzip.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use lambda_http::http::HeaderMap;
use lambda_http::http::header::CONTENT_ENCODING;

use crate::error::BodyError;

/// The longest body that is accepted: 1 MiB, which is 2 KiB for each of 500 events, whose longest usual form has about
/// 230 bytes. API Gateway and Lambda would accept 6 MB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The first byte of gzip (RFC 1952, section 2.3.1). JSON never begins with it.
const GZIP_START: u8 = 0x1f;

/// The bytes of a body, decompressed up to [`MAX_BODY_BYTES`] and no further.
///
/// API Gateway decompresses gzip by itself and may leave the header as it was
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-make-request-with-compressed-payload.html>). A
/// body is therefore decompressed here only if it begins like gzip.
pub(crate) fn read<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, BodyError> {
    let is_compressed = is_gzip(headers)? && body.first() == Some(&GZIP_START);
    if body.len() > MAX_BODY_BYTES {
        return Err(BodyError::TooLong(body.len()));
    }
    if is_compressed { decompress(body).map(Cow::Owned) } else { Ok(Cow::Borrowed(body)) }
}

/// Whether the headers announce gzip. The only codings are `identity` and, at most once, `gzip` or its alias `x-gzip`
/// (RFC 9110, section 8.4.1.3).
fn is_gzip(headers: &HeaderMap) -> Result<bool, BodyError> {
    let lists = headers.get_all(CONTENT_ENCODING).into_iter();
    let codings = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut count = 0;
    for coding in codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")) {
        if !coding.eq_ignore_ascii_case(b"gzip") && !coding.eq_ignore_ascii_case(b"x-gzip") {
            return Err(BodyError::Encoding);
        }
        count += 1;
    }
    if count > 1 { Err(BodyError::Encoding) } else { Ok(count == 1) }
}

fn decompress(compressed: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let most = MAX_BODY_BYTES as u64 + 1;
    // A gzip file can have several members (RFC 1952, section 2.2).
    let read = MultiGzDecoder::new(compressed).take(most).read_to_end(&mut body);
    if body.len() > MAX_BODY_BYTES {
        return Err(BodyError::TooLongDecompressed);
    }
    read.map_err(|error| BodyError::Gzip(error.to_string()))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use lambda_http::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn encoded(codings: &[&'static str]) -> HeaderMap {
        codings.iter().map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding))).collect()
    }

    fn read_gzip(body: &[u8]) -> Result<Vec<u8>, BodyError> {
        read(&encoded(&["gzip"]), body).map(Cow::into_owned)
    }

    #[test]
    fn only_a_gzip_body_with_the_header_is_decompressed() {
        assert_eq!(read_gzip(&gzip(b"{\"impressions\":[]}")).unwrap(), b"{\"impressions\":[]}");
        assert_eq!(read_gzip(&gzip(b"")).unwrap(), b"");
        // API Gateway decompressed the body and kept the header.
        assert_eq!(read_gzip(b"{}").unwrap(), b"{}");
        assert_eq!(read_gzip(b"").unwrap(), b"");
        // Without the header, the body is not decompressed.
        let packed = gzip(b"{}");
        assert_eq!(read(&HeaderMap::new(), &packed).unwrap(), packed);
    }

    #[test]
    fn gzip_at_most_once_is_the_only_coding() {
        let packed = gzip(b"{}");
        for codings in [&["gzip"][..], &["GZip"], &["x-gzip"], &["identity, gzip"], &[" gzip ,"], &["identity", "gzip"]]
        {
            assert_eq!(read(&encoded(codings), &packed).unwrap().as_ref(), b"{}", "{codings:?}");
        }
        for codings in [&[][..], &["identity"], &[""], &["identity, identity"]] {
            assert_eq!(read(&encoded(codings), b"{}").unwrap().as_ref(), b"{}", "{codings:?}");
        }
        for codings in
            [&["br"][..], &["deflate"], &["zstd"], &["gzip, br"], &["gzip, gzip"], &["gzip", "gzip"], &["gzipped"]]
        {
            assert_eq!(read(&encoded(codings), &packed), Err(BodyError::Encoding), "{codings:?}");
        }
    }

    #[test]
    fn a_body_that_unpacks_to_one_mib_is_read_and_one_byte_more_is_not() {
        let mut body = vec![b' '; MAX_BODY_BYTES];
        assert_eq!(read_gzip(&gzip(&body)).unwrap(), body);
        body.push(b' ');
        assert_eq!(read_gzip(&gzip(&body)), Err(BodyError::TooLongDecompressed));
    }

    #[test]
    fn a_compressed_body_has_the_same_limit() {
        // Random bytes do not compress.
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(MAX_BODY_BYTES).collect();
        let packed = gzip(&noise);
        assert!(packed.len() > MAX_BODY_BYTES);
        assert_eq!(read_gzip(&packed), Err(BodyError::TooLong(packed.len())));
    }

    #[test]
    fn a_gzip_bomb_is_refused_and_never_decompressed() {
        // Nearly 1 GiB of zeros in 1 MiB of gzip, 1 MiB per member. Only the first member is read.
        let member = gzip(&vec![0; MAX_BODY_BYTES]);
        let bomb = member.repeat(MAX_BODY_BYTES / member.len());
        assert!(MAX_BODY_BYTES / member.len() > 900, "{}", member.len());
        assert_eq!(read_gzip(&bomb), Err(BodyError::TooLongDecompressed));
        // 32 MiB in one member, and 62.5 MiB in a thousand members.
        assert_eq!(read_gzip(&gzip(&vec![0; 32 * MAX_BODY_BYTES])), Err(BodyError::TooLongDecompressed));
        let many = gzip(&[0; 64 * 1024]).repeat(1_000);
        assert_eq!(read_gzip(&many), Err(BodyError::TooLongDecompressed));
        // As many empty members as fit.
        let empty = gzip(b"");
        let nothing = empty.repeat(MAX_BODY_BYTES / empty.len());
        assert_eq!(read_gzip(&nothing).unwrap(), b"");
        // The buffer holds at most one byte more than the limit. It grows by doubling.
        assert!(decompress(&gzip(&vec![0; MAX_BODY_BYTES])).unwrap().capacity() <= 2 * MAX_BODY_BYTES);
    }

    #[test]
    fn consecutive_gzip_members_are_one_body() {
        let body = [gzip(b"{\"impressions\""), gzip(b""), gzip(b":[]}")].concat();
        assert_eq!(read_gzip(&body).unwrap(), b"{\"impressions\":[]}");
    }

    #[test]
    fn truncated_gzip_and_trailing_bytes_are_refused() {
        let whole = gzip(b"{\"impressions\":[]}");
        for length in 1..whole.len() {
            assert!(matches!(read_gzip(&whole[..length]), Err(BodyError::Gzip(_))), "{length} bytes");
        }
        for behind in [&b"x"[..], b"\n", b"\x1f\x8b", b"{}"] {
            let body = [&whole[..], behind].concat();
            assert!(matches!(read_gzip(&body), Err(BodyError::Gzip(_))), "{behind:?}");
        }
        let mut wrong_sum = whole.clone();
        let sum = whole.len() - 8;
        wrong_sum[sum] ^= 1;
        assert!(matches!(read_gzip(&wrong_sum), Err(BodyError::Gzip(_))));
        // Bytes that were converted to text in transit.
        assert!(matches!(read_gzip("\u{1f}\u{fffd}\u{8}".as_bytes()), Err(BodyError::Gzip(_))));
    }

    proptest! {
        #[test]
        fn no_body_panics_or_grows(mut body in prop::collection::vec(any::<u8>(), 0..300), begins in any::<bool>()) {
            if begins {
                body.splice(0..0, [0x1f, 0x8b, 8]);
            }
            if let Ok(read) = read_gzip(&body) {
                prop_assert!(read.len() <= MAX_BODY_BYTES);
            }
        }

        #[test]
        fn compression_round_trips(body in prop::collection::vec(any::<u8>(), 0..5_000), at in 0..5_000_usize) {
            let (first, second) = body.split_at(at.min(body.len()));
            prop_assert_eq!(read_gzip(&[gzip(first), gzip(second)].concat()).unwrap(), body);
        }
    }

    #[test]
    fn a_plain_body_has_at_most_1_048_576_bytes() {
        let body = vec![b' '; 1_048_577];
        assert_eq!(read(&HeaderMap::new(), &body[1..]).unwrap().len(), 1_048_576);
        assert_eq!(read(&HeaderMap::new(), &body), Err(BodyError::TooLong(1_048_577)));
    }
}
