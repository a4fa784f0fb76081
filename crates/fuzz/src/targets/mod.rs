//! The targets, a module each.

mod answers;
mod bodies;
mod gzip;
mod outputs;
mod pages;
mod requests;
mod schemas;
mod sink;

use crate::Target;

pub use answers::Answers;
pub use bodies::Bodies;
pub use gzip::Gzip;
pub use outputs::Outputs;
pub use pages::Pages;
pub use requests::Requests;
pub use schemas::Schemas;
pub use sink::{Analytics, Firehose, Lines};

/// All of them.
#[must_use]
pub fn all() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(Bodies::default()),
        Box::new(Requests::default()),
        Box::new(Pages::default()),
        Box::new(Lines::default()),
        Box::new(Firehose::default()),
        Box::new(Analytics::default()),
        Box::new(Schemas::default()),
        Box::new(Gzip),
        Box::new(Outputs),
        Box::new(Answers),
    ]
}
