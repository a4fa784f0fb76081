//! Arguments of `events`.

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
    /// Add an event type: its schema, the crate of its function, and everything derived from the schema.
    New(New),
    /// Generate what is derived from the schemas: API, tables, templates, docs/events.md and events/lock.json.
    Sync(Sync),
    /// Check that the schemas are well formed and the derived files up to date. Exit status 1 if not.
    Check(Check),
    /// Print valid random events of a type, one per line, with current times.
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
    /// Name of the type, also of the API path and the table. Lower case, digits and underscores, preferably plural:
    /// `orders`.
    #[arg(value_name = "TYPE")]
    pub name: String,
    /// Samples to infer the schema from: JSON objects, one per line. Without it, the schema has an id and a time.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Folder of the type in the lake. Default: `app`.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Field of the event's own id, a UUID. Default: the best guess.
    #[arg(long, value_name = "FIELD")]
    pub id: Option<String>,
    /// Field of the event's time. Default: the best guess.
    #[arg(long, value_name = "FIELD")]
    pub time: Option<String>,
    /// Print assumptions and written files as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Sync {
    /// Accept incompatible changes of this type, against events/lock.json: no event of it is stored.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Print the written files as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Check {
    /// Earlier schemas to be compatible with: a Git revision, such as origin/main, or a folder.
    #[arg(long, value_name = "REF|DIR")]
    pub against: Option<String>,
    /// Accept incompatible changes of this type since then: no event of it is stored, or no client sends it any more.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', requires = "against")]
    pub allow: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Sample {
    /// Name of the type.
    #[arg(value_name = "TYPE")]
    pub name: String,
    /// Number of events.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub count: u64,
    /// Seed: the same seed gives the same events, except for their times.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Print the events as the body of a request, at most 500.
    #[arg(long)]
    pub batch: bool,
}

#[derive(Args, Debug)]
pub struct Remove {
    /// Name of the type.
    #[arg(value_name = "TYPE")]
    pub name: String,
    /// Print the written and deleted files as JSON.
    #[arg(long)]
    pub json: bool,
}
