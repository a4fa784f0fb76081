//! `query`: SQL over the lake.

use anyhow::Result;

use super::{Outcome, Warehouse};
use crate::cli::{Format, Query};
use crate::ui::step;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, options: &Query) -> Result<Outcome> {
    let warehouse = Warehouse::running(workspace)?;
    let spark = warehouse.spark(workspace);
    let format = match options.format {
        Format::Table => "table",
        Format::Csv => "csv",
        Format::Json => "json",
    };
    let database = warehouse.stack.output("GlueDatabase")?;
    let args = ["--database", database, "--format", format, "--sql", &options.sql];
    let (printed, _) = step("ask", || spark.script("glue/local/query.py", &args), |_| String::new())?;
    out!("{printed}");
    Ok(Outcome::Done)
}
