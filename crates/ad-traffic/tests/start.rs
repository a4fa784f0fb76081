//! Starts the built function.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn an_unconfigured_function_exits_and_names_the_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_ad-traffic")).env_clear().output().unwrap();
    let logs = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && logs.contains("AD_TRAFFIC_TABLE_NAME"), "{logs}");
}
