//! A warehouse on this machine: an emulator, what is deployed to it, and Spark beside it.
//!
//! Spark works on what the emulator has. So it is configured after each deployment, and stopped before the emulator.

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

/// The processes of a warehouse that this process started. They stop when it is dropped, unless it is detached.
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

    /// What a stack can be deployed to.
    pub fn target(&self, profile: Profile) -> Target {
        Target { port: self.emulator.port(), emulator: self.emulator.id(), profile }
    }

    /// Explains an error by the end of the emulator, when that is what happened.
    pub fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        self.emulator.explain(result)
    }

    /// Kills the emulator with all functions that it runs, in the middle of whatever they do; then Spark stops.
    pub fn kill(self) {
        self.emulator.kill();
    }

    /// Lets them run on when this process ends.
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

/// Stops Spark, and then the emulator, that an earlier process left running.
pub fn stop(instance: &Instance, emulator: Pid) {
    spark::stop(instance);
    stop_group(emulator, || {});
}

/// The stack that an instance runs. Its emulator must live and answer: another program may have its port by now.
pub fn running_stack(instance: &Instance) -> Option<Stack> {
    let is_up =
        |stack: &Stack| emulator::process_group(stack.emulator, instance).is_some() && emulator::answers(stack.port);
    Stack::load(instance).filter(is_up)
}

/// Deploys what was built, and configures Spark for it.
pub fn deploy(workspace: &Workspace, tools: &Tools, instance: &Instance, target: Target) -> Result<Stack> {
    let aws = Aws::new(&endpoint(target.port), tools, instance.logs());
    let parameters = parameters(workspace, tools, instance, &aws)?;
    let outputs = deploy::deploy(workspace, tools, instance, &aws, &parameters)?;
    deployed(workspace, instance, target.stack(STACK_NAME, outputs))
}

/// Deploys what `buildspec.yml` built, as the pipeline of `build.yaml` does, and configures Spark for it.
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

/// The parameters of the template that differ from AWS: what runs Glue jobs, and no alarms on metric math, which the emulator
/// does not evaluate.
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

/// The warehouse that `up` started, or the one that is asked for.
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

    /// The number of days after its own in which an event may arrive and still reach the lake.
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
