//! The error for a body that is not a batch.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::DateTime;
use events::{Batch, IMPRESSIONS};
use uuid::Uuid;

#[test]
fn the_error_for_an_invalid_body_describes_a_batch() {
    let send = "; send {\"impressions\":[…]} with 1 to 500 events";
    for (body, problem) in [
        ("[]", "invalid type: sequence, expected an object with the key `impressions`"),
        ("{\"impressions\":7}", "invalid type: integer `7`, expected a sequence"),
        ("{\"impressions\":[]}", "it has no event"),
        ("{}", "the key `impressions` is missing"),
        ("{\"clicks\":[]}", "it has a key that does not belong there"),
        ("{\"impressions\":[1],\"clicks\":[]}", "it has more than one key"),
    ] {
        let refused = Batch::parse(&IMPRESSIONS, body.as_bytes(), DateTime::UNIX_EPOCH, Uuid::nil).unwrap_err();
        let message = refused.to_string();
        assert!(message.starts_with(&format!("the body is not a batch: {problem}")), "{body}: {message}");
        assert!(message.ends_with(send), "{body}: {message}");
    }
}
