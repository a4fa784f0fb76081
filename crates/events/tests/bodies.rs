//! Why a body that is not a batch was refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::DateTime;
use events::{Batch, IMPRESSIONS};
use uuid::Uuid;

#[test]
fn a_body_that_is_not_a_batch_is_refused_with_what_belongs_there() {
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
