//! `dashboard`: the deployed dashboards as a page.

use std::process::{Command, Stdio};

use anyhow::Result;
use dashboard::CloudWatch;

use crate::cli::Dashboard;
use crate::local::stack::Output;
use crate::local::warehouse::Warehouse;
use crate::outcome::Outcome;
use crate::process::check_interrupted;
use crate::ui::note;
use crate::workspace::{InstanceName, Workspace};

pub fn run(workspace: &Workspace, options: &Dashboard) -> Result<Outcome> {
    let name = if options.of_tests { InstanceName::Test } else { InstanceName::Up };
    let Warehouse { stack, aws, .. } = Warehouse::running_as(workspace, name)?;
    let dashboards = vec![
        stack.output(Output::RealTimeAdvertisingDashboard)?.to_owned(),
        stack.output(Output::OpsDashboard)?.to_owned(),
    ];
    let listener = dashboard::listen(options.port)?;
    let address = format!("http://{}/", listener.local_addr()?);
    outln!("{address}");
    note("The dashboards of the warehouse, live. Ctrl-C ends it.");
    if options.open {
        open(&address);
    }
    let cloudwatch = CloudWatch::new(move |operation, request| {
        aws.call("monitoring", &format!("GraniteServiceVersion20100801.{operation}"), request)
    });
    dashboard::serve(listener, cloudwatch, dashboards, || check_interrupted().is_err())?;
    note("\nno longer served");
    Ok(Outcome::Done)
}

/// Shows the page in the user's browser. Where there is none, the address that was printed is enough.
fn open(address: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(program).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if started.is_err() {
        note(&format!("{program} is not here: open the address by hand"));
    }
}
