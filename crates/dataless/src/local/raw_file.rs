//! Checks whether a file can become a raw object, by its content and not only by its name.

use std::io::{BufRead, Error, ErrorKind, Result, copy, sink};

use flate2::bufread::MultiGzDecoder;

/// The first bytes of compressed files, and their formats.
const COMPRESSED: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x9d", "compress"),
];

/// Extensions that make Hadoop decompress a file, whatever its content. All readers of raw objects support only gzip.
/// <https://hadoop.apache.org/docs/r3.3.6/api/org/apache/hadoop/io/compress/CompressionCodecFactory.html>
const UNPACKED: [&str; 5] = [".bz2", ".deflate", ".lz4", ".snappy", ".zst"];

/// Reads a file to its end. It must be complete gzip if its name ends in `.gz`, and uncompressed otherwise.
///
/// # Errors
/// When it has another format or can't be read.
pub fn check(name: &str, mut content: impl BufRead) -> Result<()> {
    if let Some(ending) = UNPACKED.iter().find(|ending| name.ends_with(**ending)) {
        return Err(invalid(format!(
            "has a name that ends in {ending}: compress it with gzip or not at all, and rename it"
        )));
    }
    // An empty buffer means the end of the file. Any other has room for the longest magic number.
    let start = content.fill_buf()?;
    let packed = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind);
    match (packed, name.ends_with(".gz")) {
        (Some("gzip") | None, true) => copy(&mut MultiGzDecoder::new(content), &mut sink())
            .map(drop)
            .map_err(|error| Error::new(error.kind(), format!("is not a complete gzip file ({error})"))),
        (Some("gzip"), false) => Err(invalid("is gzip: rename it to end in .gz".to_owned())),
        (Some(kind), _) => Err(invalid(format!("is {kind}: compress it with gzip, or not at all"))),
        (None, false) => copy(&mut content, &mut sink()).map(drop),
    }
}

fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::InvalidData, problem)
}
