//! Raw files of `dataless import`.

use std::io::Write;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{Target, mutate};

#[path = "../../../dataless/src/local/raw_file.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a module of a program")]
mod raw_file;

/// What gzip's headers and blocks are made of.
const PIECES: [&[u8]; 8] = [
    b"\x1f\x8b\x08",
    b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\xff\xff",
    b"\0",
    b"\x03\0\0\0\0\0\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x28\xb5\x2f\xfd",
    b"BZh9",
    b"{}\n",
];

/// Files whose name ends in `.gz`.
#[derive(Debug)]
pub struct Gzip;

impl Target for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut file = Vec::new();
        for _ in 0..rng.usize(1..3) {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(rng.u32(..3)));
            let content = match rng.u8(..3) {
                0 => vec![b'x'; rng.usize(..20_000)],
                1 => (0..rng.usize(..200)).map(|_| rng.u8(..)).collect(),
                _ => b"{\"click_id\":\"x\"}\n".repeat(rng.usize(..30)),
            };
            let written = encoder.write_all(&content).and_then(|()| encoder.finish());
            file.append(&mut written.unwrap_or_else(|error| panic!("writing to memory: {error}")));
        }
        mutate::damage(rng, &mut file, &PIECES);
        file
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let taken = raw_file::check("a.gz", input).is_ok();
        // The one is read from memory, the other in pieces of seven bytes, as a pipe may give them.
        let in_pieces = raw_file::check("a.gz", std::io::BufReader::with_capacity(7, input)).is_ok();
        assert_eq!(taken, in_pieces, "it depends on how it is read");
        if taken {
            let twice = [input, input].concat();
            assert!(raw_file::check("a.gz", twice.as_slice()).is_ok(), "twice is not whole");
            let cut = &input[..input.len() - 1];
            assert!(raw_file::check("a.gz", cut).is_err(), "it is whole without its last byte");
            assert!(raw_file::check("a.json", input).is_err(), "packed, and its name says otherwise");
        }
        taken
    }

    fn bound(&self) -> (usize, usize) {
        // Whatever a file unpacks to, it is never held.
        (256 << 10, 8)
    }
}
