//! `status`: whether the warehouse is running, and its addresses.

use anyhow::Result;

use crate::cli::Status;
use crate::local::stack::Output;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, options: &Status) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let stack = &warehouse.stack;
    if options.base_url {
        outln!("{}", stack.base_url()?);
    } else if options.json {
        let status = serde_json::json!({
            "base_url": stack.base_url()?,
            "endpoint_url": stack.endpoint(),
            "profile": stack.profile,
            "outputs": stack.outputs,
        });
        outln!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        outln!("API          {}", stack.base_url()?);
        outln!("AWS          {}", stack.endpoint());
        outln!("functions    {}", stack.profile.name());
        for output in [Output::DataLakeBucket, Output::GlueDatabase, Output::AdTrafficTable] {
            outln!("{:<26} {}", output.name(), stack.output(output)?);
        }
        for table in warehouse.event_tables()? {
            outln!("{:<26} {}-{}", format!("stream of {}", table.name), stack.name, table.physical_name());
        }
    }
    Ok(Outcome::Done)
}
