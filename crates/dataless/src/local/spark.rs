//! Runs the deployed Glue jobs on Spark. The emulator can't, so a runner beside it does (`glue/local/runner.py`). It reads
//! each job's script and arguments from the emulator's Glue, and the data from its S3.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use rustix::process::Pid;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::local::aws::{Aws, REGION};
use crate::local::catalog::EventTable;
use crate::local::stack::{Output, Stack};
use crate::local::tools::{ToolSet, Tools};
use crate::process::{Tool, check_interrupted, group_runs, has_arguments, stop_group};
use crate::workspace::{Instance, Workspace};

/// The function that replaces Glue in the state machine of a local stack.
const FUNCTION: &str = "dataless-local-glue";

/// The program that runs jobs. It reads its configuration from a file.
const RUNNER: &str = "glue/local/runner.py";

/// Lambda's longest timeout, in seconds.
const FUNCTION_TIMEOUT: &str = "900";

/// Language of an ETL job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// `glue/etl.py`.
    Python,
    /// `glue/scala`.
    Scala,
}

impl Engine {
    /// The name as it appears in names of jobs.
    const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Scala => "scala",
        }
    }
}

/// The runner of a deployed stack's jobs. It starts with the first job.
#[derive(Debug)]
pub struct Spark<'a> {
    workspace: &'a Workspace,
    tools: &'a Tools,
    instance: &'a Instance,
    stack: &'a Stack,
}

/// Where a runner listens.
#[derive(Debug, Deserialize)]
struct Address {
    port: u16,
    token: String,
}

/// The answer of a runner to a request.
#[derive(Debug, Deserialize)]
struct Answer {
    output: String,
    /// Empty on success.
    error: String,
    log: PathBuf,
}

impl<'a> Spark<'a> {
    pub const fn new(workspace: &'a Workspace, tools: &'a Tools, instance: &'a Instance, stack: &'a Stack) -> Self {
        Self { workspace, tools, instance, stack }
    }

    /// Runs the deployed job of an output with arguments such as `("--day", "2026-11-20")`, and returns what it printed.
    pub fn job(&self, output: Output, arguments: &[(&str, &str)]) -> Result<String> {
        self.job_named(self.stack.output(output)?, arguments)
    }

    /// Runs the ETL job of an event type for an arrival day.
    pub fn etl(&self, engine: Engine, table: &EventTable, day: NaiveDate) -> Result<()> {
        let name = format!("{}-{}-{}-etl", self.stack.name, table.physical_name(), engine.name());
        self.job_named(&name, &[("--day", &day.to_string())]).with_context(|| format!("failed for {day}"))?;
        Ok(())
    }

    fn job_named(&self, name: &str, arguments: &[(&str, &str)]) -> Result<String> {
        let arguments: serde_json::Map<String, Value> =
            arguments.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let what = format!("the job {name} failed");
        self.ask(&json!({ "job": name, "arguments": arguments })).context(what)
    }

    /// Runs a deployed job for a day.
    pub fn day_job(&self, output: Output, day: NaiveDate) -> Result<()> {
        self.job(output, &[("--day", &day.to_string())]).with_context(|| format!("failed for {day}"))?;
        Ok(())
    }

    /// Runs a script of the repository in the runner and returns its output. In its arguments, `s3://` means the local copy
    /// of the bucket.
    pub fn script(&self, script: &str, args: &[&str]) -> Result<String> {
        self.ask(&json!({ "script": self.workspace.path(script), "args": args }))
    }

    /// Runs a script whose exit status 1 means that it found a problem. Returns whether it found none, and its output.
    pub fn check(&self, script: &str, args: &[&str]) -> Result<(bool, String)> {
        let answer = self.answer(&json!({ "script": self.workspace.path(script), "args": args }))?;
        match answer.error.as_str() {
            "" => Ok((true, answer.output)),
            "1" if !answer.output.is_empty() => Ok((false, answer.output)),
            error => bail!("{error}; the log is {}", answer.log.display()),
        }
    }

    /// Runs a query. The error of an invalid query is that of the engine.
    pub fn query(&self, args: &[&str]) -> Result<String> {
        let answer = self.answer(&json!({ "script": self.workspace.path("glue/local/query.py"), "args": args }))?;
        if answer.error.is_empty() { Ok(answer.output) } else { bail!("{}", answer.error) }
    }

    /// The URL of the bucket's data prefix, for jobs.
    pub fn data_path(&self) -> Result<String> {
        Ok(format!("s3://{}/data", self.stack.output(Output::DataLakeBucket)?))
    }

    /// The local copy of the bucket's data prefix, as of the last job or script.
    pub fn data(&self) -> Result<PathBuf> {
        Ok(self.instance.s3().join(self.stack.output(Output::DataLakeBucket)?).join("data"))
    }

    fn ask(&self, request: &Value) -> Result<String> {
        let answer = self.answer(request)?;
        if answer.error.is_empty() {
            return Ok(answer.output);
        }
        bail!("{}; the log is {}", answer.error, answer.log.display())
    }

    fn answer(&self, request: &Value) -> Result<Answer> {
        let line = exchange(&launch(self.workspace, self.tools, self.instance)?, request)?;
        serde_json::from_str(&line).with_context(|| {
            format!("Spark ended before the job did; its log is {}", self.instance.logs().join("spark.log").display())
        })
    }
}

/// Sends a request and waits for the answer, a line. Ctrl-C closes the connection, which cancels the job.
fn exchange(address: &Address, request: &Value) -> Result<String> {
    const POLL: Duration = Duration::from_millis(100);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port)).context("Spark does not answer")?;
    stream.set_read_timeout(Some(POLL))?;
    let mut request = request.clone();
    request["token"] = Value::from(address.token.clone());
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        check_interrupted()?;
        match reader.read_until(b'\n', &mut line) {
            Ok(_) => return Ok(String::from_utf8_lossy(&line).into_owned()),
            Err(error) if is_timeout(&error) => {}
            // The runner was killed.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(String::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// The configuration file of an instance's runner.
pub fn config_path(instance: &Instance) -> PathBuf {
    instance.spark().join("config.json")
}

/// Configures the runner of an instance for its stack.
pub fn configure(workspace: &Workspace, instance: &Instance, stack: &Stack) -> Result<()> {
    let location = stack.output(Output::ScriptsLocation)?;
    let Some((scripts_bucket, scripts)) = location.strip_prefix("s3://").and_then(|location| location.split_once('/'))
    else {
        bail!("the location of the scripts, {location}, is not in S3");
    };
    let mut config = base_config(workspace, instance, &stack.endpoint());
    config["bucket"] = stack.output(Output::DataLakeBucket)?.into();
    config["database"] = stack.output(Output::GlueDatabase)?.into();
    config["scripts_bucket"] = scripts_bucket.into();
    config["scripts"] = scripts.into();
    write_config(instance, &config)
}

/// Starts the runner of an instance before its stack is deployed, and returns when Spark is warm, so that the first job
/// does not wait for it. The expected number of events determines the settings of the JVM.
pub fn warm(workspace: &Workspace, tools: &Tools, instance: &Instance, endpoint: &str, events: u64) -> Result<()> {
    /// The size of a raw line of impressions or clicks, as the emulator stores it.
    const LINE_BYTES: u64 = 145;
    let mut config = base_config(workspace, instance, endpoint);
    config["expected_raw_bytes"] = (events * LINE_BYTES).into();
    write_config(instance, &config)?;
    launch(workspace, tools, instance).map(drop)
}

/// The configuration that a runner needs to start.
fn base_config(workspace: &Workspace, instance: &Instance, endpoint: &str) -> Value {
    json!({ "root": workspace.root(), "instance": instance.dir(), "endpoint": endpoint, "region": REGION })
}

fn write_config(instance: &Instance, config: &Value) -> Result<()> {
    std::fs::create_dir_all(instance.spark())?;
    let path = config_path(instance);
    // Renamed when complete, so that a runner which starts now never reads a part.
    let partial = path.with_extension("partial");
    let write = || std::fs::write(&partial, config.to_string()).and_then(|()| std::fs::rename(&partial, &path));
    write().with_context(|| format!("failed to write {}", path.display()))
}

fn launch(workspace: &Workspace, tools: &Tools, instance: &Instance) -> Result<Address> {
    let printed = Tool::new(tools.program(ToolSet::Spark, "python"), instance.logs().join("spark.log"))
        .arg(workspace.path("glue/local/launch.py"))
        .arg(config_path(instance))
        .output()
        .context("failed to start Spark")?;
    serde_json::from_str(&printed).context("failed to read the address of Spark")
}

/// Creates the function that runs Glue jobs for the state machine, and returns its ARN.
pub fn deploy_function(workspace: &Workspace, tools: &Tools, instance: &Instance, aws: &Aws) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Function {
        function_arn: String,
    }
    let folder = instance.spark();
    std::fs::create_dir_all(&folder)?;
    let zip = folder.join("function.zip");
    let python = tools.program(ToolSet::Spark, "python");
    Tool::new(&python, instance.logs().join("aws.log"))
        .dir(&workspace.path("glue/local"))
        .args(["-m", "zipfile", "-c"])
        .arg(&zip)
        .arg("function.py")
        .run()?;
    let variables = json!({ "Variables": { "CONFIG": config_path(instance), "PYTHON": python } }).to_string();
    // That of an earlier deployment may have another configuration.
    let _ = aws.run(["lambda", "delete-function", "--function-name", FUNCTION]);
    let function: Function = aws.json(&[
        "lambda",
        "create-function",
        "--function-name",
        FUNCTION,
        "--runtime",
        "python3.11",
        "--handler",
        "function.handler",
        "--role",
        "arn:aws:iam::000000000000:role/local",
        "--timeout",
        FUNCTION_TIMEOUT,
        "--environment",
        &variables,
        "--zip-file",
        &format!("fileb://{}", zip.display()),
    ])?;
    Ok(function.function_arn)
}

/// Stops the runner of an instance, if there is one.
pub fn stop(instance: &Instance) {
    if let Some(group) = runner_group(instance) {
        stop_group(group, || {});
    }
}

/// The process group of the runner of an instance, if it is running.
pub fn runner_group(instance: &Instance) -> Option<Pid> {
    let pid = Pid::from_raw(std::fs::read_to_string(instance.spark().join("runner.pid")).ok()?.trim().parse().ok()?)?;
    (group_runs(pid) && has_arguments(pid, RUNNER, &config_path(instance))).then_some(pid)
}
