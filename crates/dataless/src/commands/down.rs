//! `down`: the end of what `up` started.

use anyhow::Result;

use super::Outcome;
use crate::cli::Down;
use crate::process::stop_group;
use crate::local::deploy::Stack;
use crate::local::emulator::process_group;
use crate::local::spark;
use crate::ui::{note, step};
use crate::workspace::{InstanceName, Workspace};

pub fn run(workspace: &Workspace, options: &Down) -> Result<Outcome> {
    let instance = workspace.instance(InstanceName::Up);
    match Stack::load(&instance).and_then(|stack| process_group(&stack, &instance)) {
        Some(group) => {
            let stop = || {
                spark::stop(&instance);
                stop_group(group, || {});
                Ok(())
            };
            step("stop the emulator", stop, |()| String::new())?;
        }
        None => note("no warehouse is running here"),
    }
    if options.purge {
        instance.clear()?;
        note("its data is deleted");
    } else if let Err(error) = std::fs::remove_file(instance.state_file())
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    Ok(Outcome::Done)
}
