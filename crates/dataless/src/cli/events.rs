//! What can be typed after `events`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub struct Events {
    #[command(subcommand)]
    pub command: EventsCommand,
}

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List the event types.
    List(List),
    /// Add an event type: its schema, the crate of its function, and everything that follows from the schema.
    New(New),
    /// Write what follows from the schemas: API, tables, templates, docs/events.md and events/lock.json.
    Sync(Sync),
    /// Check that the schemas are well formed and that what follows from them is in step. Exit status 1 when not.
    Check(Check),
    /// Print valid random events of a type, one per line, with times of just now.
    Sample(Sample),
    /// Remove an event type, with everything that `new` added.
    Remove(Remove),
}

#[derive(Args, Debug)]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct New {
    /// The type's name: the path of the API, the table. Lower case, digits and underscores, best a plural: `orders`.
    #[arg(value_name = "TYPE")]
    pub name: String,
    /// Samples to infer the schema from: JSON objects, one per line. Without it, an own id and a time.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The folder of the lake below which the type's files go; by default `app`.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// The field of the event's own id, a uuid; by default the best guess.
    #[arg(long, value_name = "FIELD")]
    pub id: Option<String>,
    /// The field of the event's time; by default the best guess.
    #[arg(long, value_name = "FIELD")]
    pub time: Option<String>,
    /// Print what was assumed and written as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Sync {
    /// Take incompatible changes of this type, which events/lock.json would refuse: nothing of it is stored.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Print the files that were written as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Check {
    /// What the schemas must be compatible with: a Git revision, such as origin/main, or a folder with earlier schemas.
    #[arg(long, value_name = "REF|DIR")]
    pub against: Option<String>,
    /// Accept incompatible changes of this type since then: nothing of it is stored, or nobody sends it any more.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', requires = "against")]
    pub allow: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Sample {
    /// The type's name.
    #[arg(value_name = "TYPE")]
    pub name: String,
    /// How many events.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub count: u64,
    /// What the events are drawn from: the same seed gives the same events, but for their times.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Print the body of a request with the events, at most 500.
    #[arg(long)]
    pub batch: bool,
}

#[derive(Args, Debug)]
pub struct Remove {
    /// The type's name.
    #[arg(value_name = "TYPE")]
    pub name: String,
    /// Print the files that were written and deleted as JSON.
    #[arg(long)]
    pub json: bool,
}
