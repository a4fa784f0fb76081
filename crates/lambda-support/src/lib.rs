#![doc = include_str!("../README.md")]

pub mod environment;
pub mod http;
pub mod logging;
pub mod sdk;
pub mod service;
