#![doc = include_str!("../README.md")]

mod context;
mod error;
mod handler;
#[cfg(test)]
mod network;
mod page;
mod query;
mod table;

pub use context::Context;
pub use handler::handle;
pub use page::PageKey;
pub use query::{DEFAULT_LIMIT, MAX_DAYS, MAX_LIMIT};
pub use table::{DayTraffic, TrafficTable};
