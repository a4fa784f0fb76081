//! Deployed dashboards, evaluated here as CloudWatch's console does, and served as a page.

mod body;
mod connections;
mod math;
mod search;
mod source;
mod view;

pub mod server;

pub use source::CloudWatch;
