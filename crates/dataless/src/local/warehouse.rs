//! A warehouse on this machine: an emulator, what is deployed to it, and Spark beside it.
//!
//! Spark reads from the emulator. So it is configured after each deployment, and stopped before the emulator.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use crate::local::aws::Aws;
use crate::local::catalog::{self, EventTable};
use crate::local::delivery::{self, Artifact, WAREHOUSE_STACK};
use crate::local::deploy;
use crate::local::emulator::{self, Emulator};
use crate::local::spark::{self, Spark};
use crate::local::stack::{Output, Profile, STACK_NAME, Stack, Target, endpoint};
use crate::local::tools::Tools;
use crate::process::stop_group;
use crate::workspace::{Instance, InstanceName, Workspace};

/// The servers of a warehouse that this process started. They stop when it is dropped, unless it is detached.
#[derive(Debug)]
pub struct Servers {
    emulator: Emulator,
    instance: Instance,
    detached: bool,
}

impl Servers {
    /// Starts the emulator and waits until it answers. Spark starts with its first job, or with [`spark::warm`].
    pub fn start(
        workspace: &Workspace,
        tools: &Tools,
        instance: &Instance,
        port: u16,
        variables: &[(&'static str, OsString)],
    ) -> Result<Self> {
        let emulator = Emulator::start(workspace, tools, instance, port, variables)?;
        Ok(Self { emulator, instance: instance.clone(), detached: false })
    }

    pub fn endpoint(&self) -> String {
        self.emulator.endpoint()
    }

    /// The process group of the emulator.
    pub fn emulator_id(&self) -> u32 {
        self.emulator.id()
    }

    /// The target of a deployment.
    pub fn target(&self, profile: Profile) -> Target {
        Target { port: self.emulator.port(), emulator: self.emulator.id(), profile }
    }

    /// Adds to an error that the emulator has ended, if it has.
    pub fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        self.emulator.explain(result)
    }

    /// Kills the emulator and its functions immediately, and then stops Spark.
    pub fn kill(self) {
        self.emulator.kill();
    }

    /// Lets them outlive this process.
    pub fn detach(mut self) {
        self.emulator.detach();
        self.detached = true;
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if !self.detached {
            spark::stop(&self.instance);
        }
    }
}

/// The emulator that an earlier process of this instance left running.
pub fn left_running(instance: &Instance) -> Option<Pid> {
    Stack::load(instance).and_then(|stack| emulator::process_group(stack.emulator, instance))
}

/// Stops the Spark and then the emulator that an earlier process left running.
pub fn stop(instance: &Instance, emulator: Pid) {
    spark::stop(instance);
    stop_group(emulator, || {});
}

/// The running stack of an instance. Its emulator must run and answer: another program may have the port by now.
pub fn running_stack(instance: &Instance) -> Option<Stack> {
    let is_up =
        |stack: &Stack| emulator::process_group(stack.emulator, instance).is_some() && emulator::answers(stack.port);
    Stack::load(instance).filter(is_up)
}

/// Deploys the built template, and configures Spark for it.
pub fn deploy(workspace: &Workspace, tools: &Tools, instance: &Instance, target: Target) -> Result<Stack> {
    let aws = Aws::new(&endpoint(target.port), tools, instance.logs());
    let parameters = parameters(workspace, tools, instance, &aws)?;
    let outputs = deploy::deploy(workspace, tools, instance, &aws, &parameters)?;
    deployed(workspace, instance, target.stack(STACK_NAME, outputs))
}

/// Deploys an artifact of `buildspec.yml`, as the pipeline of `build.yaml` does, and configures Spark for it.
pub fn deliver(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    artifact: &Artifact,
    target: Target,
) -> Result<Stack> {
    let aws = Aws::new(&endpoint(target.port), tools, instance.logs());
    let parameters = parameters(workspace, tools, instance, &aws)?;
    let outputs = delivery::deploy(tools, instance, &aws, artifact, parameters.into())?;
    deployed(workspace, instance, target.stack(WAREHOUSE_STACK, outputs))
}

/// The parameters that differ from AWS: the function that runs Glue jobs, and no alarms on metric math, which the emulator
/// does not support.
fn parameters(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    aws: &Aws,
) -> Result<[(&'static str, String); 2]> {
    let glue_task = spark::deploy_function(workspace, tools, instance, aws)?;
    Ok([("GlueTask", glue_task), ("EnableMetricMathAlarms", "false".to_owned())])
}

fn deployed(workspace: &Workspace, instance: &Instance, stack: Stack) -> Result<Stack> {
    spark::configure(workspace, instance, &stack)?;
    stack.save(instance)?;
    Ok(stack)
}

/// A running warehouse: that of `up`, or the selected one.
pub struct Warehouse {
    pub tools: Tools,
    pub instance: Instance,
    pub stack: Stack,
    pub aws: Aws,
}

impl Warehouse {
    pub fn running(workspace: &Workspace) -> Result<Self> {
        Self::running_as(workspace, workspace.selected())
    }

    pub fn running_as(workspace: &Workspace, name: InstanceName) -> Result<Self> {
        let instance = workspace.instance(name);
        let Some(stack) = running_stack(&instance) else {
            bail!("no warehouse is running here: start it with `cargo dataless up`");
        };
        let tools = Tools::new(workspace);
        let aws = Aws::new(&stack.endpoint(), &tools, instance.logs());
        Ok(Self { tools, instance, stack, aws })
    }

    /// The number of days after its own on which an event can still arrive and reach the lake.
    pub fn lookback_days(&self) -> Result<u64> {
        self.stack.output(Output::LookbackDays)?.parse().context("the output LookbackDays is not a number")
    }

    /// The event types of its catalog.
    pub fn event_tables(&self) -> Result<Vec<EventTable>> {
        catalog::event_tables(&self.aws, &self.stack)
    }

    /// Spark beside it.
    pub fn spark<'a>(&'a self, workspace: &'a Workspace) -> Spark<'a> {
        Spark::new(workspace, &self.tools, &self.instance, &self.stack)
    }
}
