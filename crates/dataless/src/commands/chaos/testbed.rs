//! The warehouse under test: its emulator, which faults kill and restart, and what is deployed to it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use event_types::EventType;

use crate::commands::set_up::{self, Prepared};
use crate::local::aws::Aws;
use crate::local::build::LOADGEN;
use crate::local::emulator::{choose_port, wait_for_port};
use crate::local::spark::Spark;
use crate::local::stack::{Profile, Stack, endpoint};
use crate::local::tools::Tools;
use crate::local::warehouse::Servers;
use crate::process::{Running, Tool};
use crate::workspace::{Instance, Workspace};

/// The first port to try. It is below the ephemeral ports, so that a killed emulator gets its port again.
const FIRST_PORT: u16 = 14_566;

pub struct Testbed<'a> {
    pub workspace: &'a Workspace,
    pub instance: Instance,
    pub prepared: Prepared,
    pub types: Vec<EventType>,
    pub stack: Stack,
    pub aws: Aws,
    settings: Settings,
    servers: Mutex<Option<Servers>>,
}

/// The ports, and the seed of the faults.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub emulator: u16,
    /// The port of the proxy, or that of the emulator without a proxy.
    pub functions: u16,
    /// The seed of the faults.
    pub seed: u64,
}

impl Settings {
    pub fn choose(emulator: Option<u16>, with_proxy: bool, seed: u64) -> Result<Self> {
        let emulator = match emulator {
            Some(_) => choose_port(emulator)?,
            None => free_port(FIRST_PORT)?,
        };
        let functions = if with_proxy { free_port(emulator.saturating_add(1))? } else { emulator };
        Ok(Self { emulator, functions, seed })
    }
}

fn free_port(first: u16) -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (first..32_000).find(is_free).context("no port is free")
}

impl<'a> Testbed<'a> {
    /// Deploys to a new emulator, and restarts that once, so that its saved state has the deployment.
    pub fn deploy(workspace: &'a Workspace, instance: Instance, settings: Settings, profile: Profile) -> Result<Self> {
        let types = event_types::read_all(&workspace.path("events")).context("failed to read the schemas in events")?;
        let start = |tools: &Tools| start(workspace, tools, &instance, settings);
        let (prepared, mut servers) = set_up::prepare(workspace, &instance, start)?;
        set_up::stage(workspace, &instance, &prepared, profile)?;
        let deployed = set_up::deploy_to(workspace, &prepared.tools, &instance, servers.target(profile));
        let (stack, _) = servers.explain(deployed)?;
        let aws = Aws::new(&servers.endpoint(), &prepared.tools, instance.logs());
        let testbed =
            Self { workspace, instance, prepared, types, stack, aws, settings, servers: Mutex::new(Some(servers)) };
        drop(testbed.servers().take());
        testbed.start_again()?;
        Ok(testbed)
    }

    pub fn loadgen(&self) -> Result<&Path> {
        self.prepared.programs.path(LOADGEN)
    }

    pub fn spark(&self) -> Spark<'_> {
        Spark::new(self.workspace, &self.prepared.tools, &self.instance, &self.stack)
    }

    /// Sets the clock of arrivals ahead of the machine's clock, in seconds.
    pub fn set_clock(&self, ahead: f64) -> Result<()> {
        std::fs::write(clock(&self.instance), format!("{ahead}")).context("failed to set the clock")
    }

    pub fn emulator_log(&self) -> PathBuf {
        self.instance.logs().join("emulator.log")
    }

    /// The process group of the running emulator.
    pub fn emulator_id(&self) -> Option<u32> {
        self.servers().as_ref().map(Servers::emulator_id)
    }

    /// Kills and restarts the emulator with its functions. Returns the seconds until it answers.
    pub fn kill_emulator(&self) -> Result<f64> {
        let started = Instant::now();
        // Taken first, so that the lock is not held during the kill.
        let servers = self.servers().take();
        if let Some(servers) = servers {
            servers.kill();
        }
        self.start_again()?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn start_again(&self) -> Result<()> {
        let servers = start(self.workspace, &self.prepared.tools, &self.instance, self.settings)?;
        // Commands check its process.
        Stack { emulator: servers.emulator_id(), ..self.stack.clone() }.save(&self.instance)?;
        *self.servers() = Some(servers);
        Ok(())
    }

    fn servers(&self) -> MutexGuard<'_, Option<Servers>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to an error that the emulator has ended, if it has.
    pub fn explain<T>(&self, result: Result<T>) -> Result<T> {
        match self.servers().as_mut() {
            Some(servers) => servers.explain(result),
            None => result,
        }
    }

    /// Starts the proxy between functions and the emulator.
    pub fn start_proxy(&self) -> Result<Running> {
        let python = self.workspace.tools().join("chaos/bin/python");
        let proxy = Tool::new(python, self.instance.logs().join("proxy.log"))
            .arg(self.workspace.path("tools/chaos/proxy.py"))
            .args(["--listen", &self.settings.functions.to_string(), "--upstream", &endpoint(self.settings.emulator)])
            .arg("--schedule")
            .arg(schedule(&self.instance))
            .arg("--log")
            .arg(call_log(&self.instance))
            .args(["--seed", &self.settings.seed.to_string()]);
        let mut running = proxy.start()?;
        wait_for_port(self.settings.functions, || running.ended().map(|ended| ended.is_none()))
            .context("the proxy does not answer; its log is proxy.log")?;
        Ok(running)
    }
}

/// The faults of calls, for the proxy and the emulator.
pub fn schedule(instance: &Instance) -> PathBuf {
    instance.dir().join("schedule.json")
}

/// What the proxy and the emulator injected.
pub fn call_log(instance: &Instance) -> PathBuf {
    instance.dir().join("calls.ndjson")
}

/// The batches that Firehose holds back to reorder them.
pub fn held_back(instance: &Instance) -> PathBuf {
    instance.dir().join("calls.ndjson.held")
}

fn clock(instance: &Instance) -> PathBuf {
    instance.dir().join("clock")
}

fn start(workspace: &Workspace, tools: &Tools, instance: &Instance, settings: Settings) -> Result<Servers> {
    // Documented in `tools/emulator`.
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint(settings.functions).into()),
        ("DATALESS_CHAOS_SCHEDULE", schedule(instance).into_os_string()),
        ("DATALESS_CHAOS_LOG", call_log(instance).into_os_string()),
        ("DATALESS_CHAOS_SEED", settings.seed.to_string().into()),
        ("DATALESS_CLOCK_OFFSET", clock(instance).into_os_string()),
    ];
    Servers::start(workspace, tools, instance, settings.emulator, &variables)
}
