//! `status`: whether the warehouse runs, and where.

use anyhow::Result;

use super::{Outcome, Warehouse};
use crate::cli::Status;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, options: &Status) -> Result<Outcome> {
    let Warehouse { stack, .. } = Warehouse::running(workspace)?;
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
        for name in
            ["DataLakeBucket", "GlueDatabase", "AdTrafficTable", "ImpressionsDeliveryStream", "ClicksDeliveryStream"]
        {
            outln!("{name:<26} {}", stack.output(name)?);
        }
    }
    Ok(Outcome::Done)
}
