//! The steps from a checkout to a deployed stack, shared by `up`, `demo`, `chaos` and `test`.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::local::aws::Aws;
use crate::local::build::{self, Functions, Programs};
use crate::local::stack::{Profile, Stack, Target, endpoint};
use crate::local::tools::{ToolSet, Tools, check_java};
use crate::local::warehouse::{self, Servers};
use crate::local::{delivery, emulator};
use crate::ui::step;
use crate::workspace::{Instance, Workspace};

/// The programs to deploy and the tools.
pub struct Prepared {
    pub tools: Tools,
    pub programs: Programs,
}

/// Installs the tools while cargo builds the programs. Runs `then` as soon as the tools are installed.
pub fn prepare<T>(
    workspace: &Workspace,
    instance: &Instance,
    then: impl FnOnce(&Tools) -> Result<T>,
) -> Result<(Prepared, T)> {
    instance.create()?;
    step("find Java", check_java, |version| version.clone())?;
    thread::scope(|scope| {
        let programs = scope.spawn(|| programs(workspace, instance, Functions::Called));
        let tools = install(workspace, &ToolSet::RUN);
        let done = tools.and_then(|tools| Ok((then(&tools)?, tools)));
        // Also joined after an error, so that it doesn't continue while the error is shown.
        let programs = programs.join().map_err(|_| anyhow!("the build panicked"))?;
        let (done, tools) = done?;
        Ok((Prepared { tools, programs: programs? }, done))
    })
}

/// Installs tools.
pub fn install(workspace: &Workspace, sets: &[ToolSet]) -> Result<Tools> {
    let tools = Tools::new(workspace);
    let summary = |count: &usize| match count {
        0 => "all there".to_owned(),
        count => format!("{count} sets into .dataless/tools"),
    };
    step("install the tools", || tools.install(sets), summary)?;
    Ok(tools)
}

/// Builds the programs.
pub fn programs(workspace: &Workspace, instance: &Instance, functions: Functions) -> Result<Programs> {
    let build = || build::programs(workspace, instance, functions);
    Ok(step("build the programs", build, |_| "cargo build".to_owned())?.0)
}

/// Stages the template and the functions for the deployment.
pub fn stage(workspace: &Workspace, instance: &Instance, prepared: &Prepared, profile: Profile) -> Result<()> {
    match profile {
        Profile::Local => build::stage(workspace, instance, &prepared.programs, Functions::Called),
        Profile::Release => {
            let build = || build::sam(workspace, &prepared.tools, instance);
            step("build the functions", build, |()| "sam build".to_owned()).map(drop)
        }
    }
}

/// Starts an emulator on this port, or on a free one.
pub fn start_emulator(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    port: Option<u16>,
) -> Result<(Servers, Duration)> {
    // So that no other instance chooses the same port before the emulator listens.
    let _turn = instance.lock("start")?;
    let port = emulator::choose_port(port)?;
    step("start the emulator", || Servers::start(workspace, tools, instance, port, &[]), Servers::endpoint)
}

/// Deploys the staged template to a running emulator.
pub fn deploy_to(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    target: Target,
) -> Result<(Stack, Duration)> {
    let deploy = || warehouse::deploy(workspace, tools, instance, target);
    let summary = |stack: &Stack| format!("{} outputs, {}", stack.outputs.len(), stack.profile.name());
    step("deploy template.yaml", deploy, summary)
}

/// Builds and deploys to a running emulator, as the pipeline of `build.yaml` does.
pub fn deliver_to(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    target: Target,
) -> Result<(Stack, Duration)> {
    let aws = Aws::new(&endpoint(target.port), tools, instance.logs());
    let built = || delivery::build(workspace, tools, instance, &aws, target.profile);
    let (artifact, building) = step("run buildspec.yml", built, |artifact| artifact.url())?;
    let deploy = || warehouse::deliver(workspace, tools, instance, &artifact, target);
    let (stack, deploying) = step("deploy from S3", deploy, |stack| format!("{} outputs", stack.outputs.len()))?;
    Ok((stack, building + deploying))
}
