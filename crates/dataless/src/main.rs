//! dataless
fn main() {}
