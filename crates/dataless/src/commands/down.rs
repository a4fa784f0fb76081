//! `down`: stops the warehouse of `up`.

use anyhow::Result;

use crate::cli::Down;
use crate::local::warehouse;
use crate::outcome::Outcome;
use crate::ui::{note, step};
use crate::workspace::{InstanceName, Workspace};

pub fn run(workspace: &Workspace, options: &Down) -> Result<Outcome> {
    let instance = workspace.instance(InstanceName::Up);
    match warehouse::left_running(&instance) {
        Some(emulator) => {
            let stop = || {
                warehouse::stop(&instance, emulator);
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
