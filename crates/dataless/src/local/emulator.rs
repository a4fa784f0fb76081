//! The emulator of AWS, which listens on one port of the loopback interface.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use crate::environment;
use crate::local::aws::{REGION, agent_config};
use crate::local::stack::endpoint;
use crate::local::tools::{ToolSet, Tools};
use crate::log_file::tail;
use crate::process::{Running, Tool, check_interrupted, group_runs, has_arguments};
use crate::workspace::{Instance, Workspace};

/// The port if none is requested and it is free.
pub const DEFAULT_PORT: u16 = 4566;

/// The program that starts the emulator. It is in the command line of each emulator, followed by the folder of the
/// instance.
const LAUNCHER: &str = "tools/emulator/start_ministack.py";

/// The services that the template uses.
const SERVICES: &str = "apigateway,athena,cloudformation,cloudwatch,dynamodb,events,firehose,glue,iam,kms,lambda,logs,\
                        monitoring,s3,scheduler,secretsmanager,sns,sqs,states,sts";

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running emulator. It saves its state and stops when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    running: Running,
    port: u16,
    log: PathBuf,
}

impl Emulator {
    /// Starts it and waits until it answers. It resumes the state of an earlier run of the same instance. The variables are
    /// added to its own or replace them.
    pub fn start(
        workspace: &Workspace,
        tools: &Tools,
        instance: &Instance,
        port: u16,
        variables: &[(&'static str, OsString)],
    ) -> Result<Self> {
        let (state, log) = (instance.emulator(), instance.logs().join("emulator.log"));
        let temporary = state.join("tmp");
        std::fs::create_dir_all(&temporary)?;
        let python = tools.program(ToolSet::Emulator, "python");
        let mut tool = Tool::new(python, log.clone()).dir(&state).arg(workspace.path(LAUNCHER)).arg(instance.dir());
        for (name, value) in [
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("SERVICES", SERVICES),
            // It would listen for MQTT and SFTP on every interface.
            ("IOT_MTLS_ENABLED", "0"),
            ("SFTP_ENABLED", "0"),
            ("PERSIST_STATE", "1"),
            ("S3_PERSIST", "1"),
            // The state machine waits a minute and more before it retries a job.
            ("SFN_WAIT_SCALE", "0.05"),
        ] {
            tool = tool.env(name, value);
        }
        let running = tool
            // It reads variables with common names, such as `DEBUG`, and its functions inherit its environment.
            .inherit_only(&environment::NEEDED)
            .env("GATEWAY_PORT", port.to_string())
            // For functions; it makes no calls itself.
            .env("AWS_ENDPOINT_URL", endpoint(port))
            .env("STATE_DIR", state.join("state"))
            .env("S3_DATA_DIR", state.join("s3"))
            // It extracts the code of functions to this folder, under names that differ only by port.
            .env("TMPDIR", &temporary)
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .start()?;
        let mut emulator = Self { running, port, log };
        emulator.wait_until_it_answers()?;
        Ok(emulator)
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Kills it and its functions immediately.
    pub fn kill(&self) {
        self.running.kill();
    }

    /// Lets it outlive this process.
    pub fn detach(&mut self) {
        self.running.detach();
    }

    /// Adds to an error that the emulator has ended, if it has.
    pub fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match (check_interrupted(), self.running.ended()) {
            (Ok(()), Ok(Some(status))) => error.context(self.ended(status)),
            _ => error,
        })
    }

    fn ended(&self, status: std::process::ExitStatus) -> String {
        format!(
            "the emulator ended by itself ({status}); the end of its log {}:\n{}",
            self.log.display(),
            tail(&self.log, 10)
        )
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let started = Instant::now();
        while !answers(self.port) {
            check_interrupted()?;
            if let Some(status) = self.running.ended()? {
                bail!(self.ended(status));
            }
            if started.elapsed() > START_LIMIT {
                bail!("the emulator does not answer on port {}; its log is {}", self.port, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// The process group with this id, if it is an emulator of the instance. Another program may have the id by now.
pub fn process_group(id: u32, instance: &Instance) -> Option<Pid> {
    let group = Pid::from_raw(i32::try_from(id).ok()?)?;
    (group_runs(group) && has_arguments(group, LAUNCHER, instance.dir())).then_some(group)
}

/// Whether an emulator answers on this port.
pub fn answers(port: u16) -> bool {
    let config = agent_config().timeout_global(Some(Duration::from_secs(2))).build();
    let answer = ureq::Agent::new_with_config(config).get(format!("{}/_ministack/health", endpoint(port))).call();
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Waits until something listens on a port, while `runs` returns true.
pub fn wait_for_port(port: u16, mut runs: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        check_interrupted()?;
        if !runs()? || started.elapsed() > START_LIMIT {
            bail!("nothing listens on port {port}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The requested port if it is free. If none is requested, the default port or any free one.
pub fn choose_port(requested: Option<u16>) -> Result<u16> {
    if let Some(port) = requested {
        is_free(port).with_context(|| format!("port {port} is taken: name another with --port, or leave it out"))?;
        return Ok(port);
    }
    if is_free(DEFAULT_PORT).is_ok() {
        return Ok(DEFAULT_PORT);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

fn is_free(port: u16) -> std::io::Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_if_requested_and_avoided_otherwise() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let message = choose_port(Some(port)).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port} is taken")), "{message}");
        assert_ne!(choose_port(None).unwrap(), port);
    }
}
