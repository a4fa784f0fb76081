#![doc = include_str!("../README.md")]

mod body;
mod connections;
mod expression;
mod math;
mod render;
mod server;
mod source;

pub use self::server::{listen, serve};
pub use self::source::CloudWatch;
