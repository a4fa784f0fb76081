//! `events`: event types, each from one schema.

mod check;
mod files;
mod new;
mod sync;

use anyhow::{Result, bail};
use chrono::Utc;
use event_types::{EventType, Sampler};
use events::MAX_EVENTS;
use serde_json::json;

use crate::cli::{Events, EventsCommand, List, Sample};
use crate::outcome::Outcome;
use crate::workspace::Workspace;

/// The folder of the schemas.
const FOLDER: &str = "events";

pub fn run(workspace: &Workspace, events: &Events) -> Result<Outcome> {
    let root = workspace.root();
    match &events.command {
        EventsCommand::List(options) => list(&types(workspace)?, options),
        EventsCommand::New(options) => new::new(root, &types(workspace)?, options),
        EventsCommand::Sync(options) => sync::sync(root, &types(workspace)?, options),
        EventsCommand::Check(options) => check::check(root, options),
        EventsCommand::Sample(options) => sample(&types(workspace)?, options),
        EventsCommand::Remove(options) => new::remove(root, &types(workspace)?, options),
    }
}

fn types(workspace: &Workspace) -> Result<Vec<EventType>> {
    Ok(event_types::read_all(&workspace.path(FOLDER))?)
}

fn list(types: &[EventType], options: &List) -> Result<Outcome> {
    if options.json {
        let types: Vec<_> = types
            .iter()
            .map(|event_type| {
                let fields: Vec<_> = event_type
                    .object
                    .fields
                    .iter()
                    .map(|field| {
                        json!({"name": field.name, "lake_type": field.value.lake_type(), "required": field.required})
                    })
                    .collect();
                json!({
                    "name": event_type.name,
                    "group": event_type.group,
                    "title": event_type.title,
                    "description": event_type.description,
                    "id": event_type.id,
                    "time": event_type.time,
                    "sort": event_type.sort,
                    "erase": event_type.erase,
                    "fields": fields,
                })
            })
            .collect();
        outln!("{}", serde_json::to_string_pretty(&types)?);
        return Ok(Outcome::Done);
    }
    let width = types.iter().map(|event_type| event_type.name.len()).max().unwrap_or(0);
    for event_type in types {
        let (name, fields) = (&event_type.name, event_type.object.fields.len());
        outln!("{name:width$}  {fields:>3} fields  {}/{name}  {}", event_type.group, event_type.description);
    }
    Ok(Outcome::Done)
}

fn sample(types: &[EventType], options: &Sample) -> Result<Outcome> {
    let mut sampler = Sampler::new(find(types, &options.name)?, options.seed);
    if options.batch {
        if !(1..=MAX_EVENTS as u64).contains(&options.count) {
            bail!("a request has 1 to {MAX_EVENTS} events");
        }
        let events: Vec<String> = (0..options.count).map(|_| sampler.next(Utc::now().timestamp_millis())).collect();
        outln!("{{\"{}\":[{}]}}", options.name, events.join(","));
        return Ok(Outcome::Done);
    }
    for _ in 0..options.count {
        outln!("{}", sampler.next(Utc::now().timestamp_millis()));
    }
    Ok(Outcome::Done)
}

/// The type of this name.
fn find<'a>(types: &'a [EventType], name: &str) -> Result<&'a EventType> {
    let Some(event_type) = types.iter().find(|event_type| event_type.name == name) else {
        bail!("there is no event type `{name}`: `cargo dataless events list` lists them");
    };
    Ok(event_type)
}
