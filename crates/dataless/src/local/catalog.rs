//! The event types of a deployed catalog: the tables with the parameter `event.id`.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::local::aws::Aws;
use crate::local::stack::{Output, Stack};

/// A table of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTable {
    /// The event type, which is also the name of the table and the key of a batch.
    pub name: String,
    /// The folder of the type below `data/raw` and `data/lake`.
    pub group: String,
}

impl EventTable {
    /// The folder of its raw lines, below `data/raw`.
    pub fn folder(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// The name as it appears in names of jobs and delivery streams.
    pub fn physical_name(&self) -> String {
        event_types::kebab_case(&self.name)
    }
}

/// The tables of events, sorted by name.
pub fn event_tables(aws: &Aws, stack: &Stack) -> Result<Vec<EventTable>> {
    let database = stack.output(Output::GlueDatabase)?;
    let mut request = json!({ "DatabaseName": database });
    let mut tables = Vec::new();
    loop {
        let mut answer = aws.call("glue", "AWSGlue.GetTables", &request)?;
        let listed = answer["TableList"].as_array().context("failed to read the list of tables")?;
        for table in listed {
            tables.extend(event_table(table)?);
        }
        let next = answer["NextToken"].take();
        if next.is_null() {
            break;
        }
        request["NextToken"] = next;
    }
    if tables.is_empty() {
        bail!("the database {database} has no table of events");
    }
    tables.sort_by(|one: &EventTable, other| one.name.cmp(&other.name));
    Ok(tables)
}

/// Reads a table of the catalog, if it is a table of events. Its location is `…/lake/<group>/<type>/`.
fn event_table(table: &Value) -> Result<Option<EventTable>> {
    if table["Parameters"]["event.id"].is_null() {
        return Ok(None);
    }
    let name = table["Name"].as_str().context("a table has no name")?;
    let location = table["StorageDescriptor"]["Location"].as_str().unwrap_or_default();
    let group = location
        .trim_end_matches('/')
        .strip_suffix(name)
        .and_then(|folder| folder.strip_suffix('/'))
        .and_then(|folder| folder.rsplit_once("/lake/"))
        .map(|(_, group)| group)
        .filter(|group| !group.is_empty() && !group.contains('/'))
        .with_context(|| format!("{name} is at {location}: a table of events must be at …/lake/<group>/{name}/"))?;
    Ok(Some(EventTable { name: name.to_owned(), group: group.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(location: &str) -> Value {
        json!({
            "Name": "order_items",
            "Parameters": {"classification": "orc", "event.id": "item_id"},
            "StorageDescriptor": {"Location": location},
        })
    }

    #[test]
    fn the_location_names_the_group() {
        for location in ["s3://b/data/lake/shop/order_items/", "s3://b/lake/x/data/lake/shop/order_items"] {
            let found = event_table(&table(location)).unwrap().unwrap();
            assert_eq!((found.folder().as_str(), found.physical_name().as_str()), ("shop/order_items", "order-items"));
        }
    }

    #[test]
    fn a_table_of_events_at_another_location_is_an_error() {
        for location in
            ["s3://b/data/lake/order_items/", "s3://b/data/lake/a/b/order_items/", "s3://b/data/lake/shop/items/", ""]
        {
            let error = event_table(&table(location)).unwrap_err().to_string();
            assert!(error.contains("must be at …/lake/<group>/order_items/"), "{error}");
        }
    }

    #[test]
    fn other_tables_are_not_of_events() {
        assert_eq!(event_table(&json!({"Name": "ledger", "Parameters": {"classification": "orc"}})).unwrap(), None);
        assert_eq!(event_table(&json!({"Name": "view"})).unwrap(), None);
    }
}
