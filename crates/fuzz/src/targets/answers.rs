//! The body of a beacon's answer, as the load generator judges it. HTTP itself is hyper's.

use fastrand::Rng;
use loadgen::answer::{Verdict, Verdicts, judge};
use serde_json::Value;

use crate::{Target, mutate, oracle};

/// How many events the request had.
const EVENTS: usize = 3;

/// What the first byte of an input stands for, by its remainder. Most answers are good ones.
const STATUSES: [u16; 8] = [200, 200, 200, 200, 429, 503, 400, 204];

/// What answers are made of.
const PIECES: [&[u8]; 10] = [
    b"{\"failed\":false}",
    b"{\"failed\":true}",
    b"true",
    b",",
    b"]",
    b"{",
    b"\"records\":",
    b"1e999999999",
    b"\0",
    b"\xff",
];

/// A status and a body.
#[derive(Debug, Default)]
pub struct Answers;

impl Target for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
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
        let mut body = format!(r#"{{"failed_count":0,"records":[{}]}}"#, records.join(",")).into_bytes();
        mutate::damage(rng, &mut body, &PIECES);
        [&[rng.u8(..)], body.as_slice()].concat()
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Some((first, body)) = input.split_first() else { return false };
        let status = STATUSES[usize::from(*first) % STATUSES.len()];
        let acknowledged = match judge(status.try_into().expect("a status of HTTP"), None, body, EVENTS) {
            Verdicts::All(Verdict::Acknowledged) => vec![true; EVENTS],
            Verdicts::All(_) => return false,
            Verdicts::Each(each) => each.iter().map(|verdict| *verdict == Verdict::Acknowledged).collect(),
        };
        assert_eq!(status, 200);
        assert!(oracle::is_grammatical(body), "acknowledged by what is not JSON");
        // What a plain reader of JSON can't read, such as a number beyond a double, is not compared.
        let Ok(read) = serde_json::from_slice::<Value>(body) else { return true };
        let said: Vec<bool> =
            read["records"].as_array().into_iter().flatten().map(|record| record["failed"] == false).collect();
        assert_eq!(acknowledged, said, "{read}");
        true
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 64)
    }
}
