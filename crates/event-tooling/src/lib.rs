#![doc = include_str!("../README.md")]

pub mod api;
pub mod capture;
pub mod compat;
pub mod dashboards;
pub mod data_pipeline;
pub mod derive;
mod example;
pub mod infer;
pub mod lock;
pub mod markers;
pub mod names;
pub mod page;
pub mod root;
mod schema_text;
pub mod sizes;
pub mod tables;
mod template;
mod words;
mod yaml;
