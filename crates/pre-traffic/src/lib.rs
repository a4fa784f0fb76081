#![doc = include_str!("../README.md")]

mod context;
mod error;
mod handler;
#[cfg(test)]
mod network;
mod services;
mod test_event;

pub use context::Context;
pub use error::HookError;
pub use handler::{Answer, Hook, handle};
pub use services::{Deployments, Functions, Status};
pub use test_event::TestEvent;
