//! `query`: SQL over the lake.

use anyhow::Result;

use super::{Outcome, Warehouse};
use crate::cli::{Format, Query};
use crate::stage::spark::Spark;
use crate::ui::step;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, options: &Query) -> Result<Outcome> {
    let Warehouse { tools, instance, stack, aws } = Warehouse::running(workspace)?;
    let spark = Spark::new(workspace, &tools, &instance, &aws, &stack);
    step("fetch the data", || spark.stage_in(), |()| String::new())?;
    let format = match options.format {
        Format::Table => "table",
        Format::Csv => "csv",
        Format::Json => "json",
    };
    let database = stack.output("GlueDatabase")?;
    let args = ["--database", database, "--format", format, "--sql", &options.sql];
    let (printed, _) = step("ask", || spark.script("glue/local/query.py", "query", &args), |_| String::new())?;
    print!("{printed}");
    Ok(Outcome::Done)
}
