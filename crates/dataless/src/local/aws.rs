//! Calls to the emulator, by the AWS command line and directly.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use crate::environment;
use crate::local::tools::{ToolSet, Tools};
use crate::process::Tool;

/// The Region of local warehouses.
pub const REGION: &str = "us-east-1";

/// More than any answer has.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// The configuration of calls to this machine: without a proxy, which could not reach it.
pub fn agent_config() -> ConfigBuilder<AgentScope> {
    ureq::Agent::config_builder().proxy(None)
}

/// A client of the emulator.
#[derive(Clone, Debug)]
pub struct Aws {
    endpoint: String,
    tools: Tools,
    logs: PathBuf,
}

impl Aws {
    pub fn new(endpoint: &str, tools: &Tools, logs: PathBuf) -> Self {
        Self { endpoint: endpoint.to_owned(), tools: tools.clone(), logs }
    }

    /// Configures an AWS tool to call the emulator, and never an account of the user.
    pub fn with_endpoint(&self, tool: Tool) -> Tool {
        let endpoint = self.endpoint.as_str();
        let none = "/dev/null";
        tool.envs([
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_CONFIG_FILE", none),
            ("AWS_SHARED_CREDENTIALS_FILE", none),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_PAGER", ""),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
        ])
        .without(environment::is_aws_setting)
    }

    /// A call without a result, such as `s3 sync`.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<()> {
        self.tool().args(args).run()
    }

    /// A call with a result in JSON.
    pub fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let printed = self.tool().args(args).args(["--output", "json"]).output()?;
        // A call without a result prints nothing.
        let printed = if printed.trim().is_empty() { "{}" } else { &printed };
        serde_json::from_str(printed).with_context(|| format!("failed to read the answer of aws {}", args.join(" ")))
    }

    /// A call by the JSON protocol, which saves the second that the command line needs to start. The emulator does not
    /// check the signature; it only reads service and Region from it.
    pub fn call(&self, service: &str, target: &str, request: &Value) -> Result<Value> {
        let name = target.rsplit('.').next().unwrap_or(target);
        let credential = format!("test/20260101/{REGION}/{service}/aws4_request");
        let config = agent_config().http_status_as_error(false).build();
        let mut answer = ureq::Agent::new_with_config(config)
            .post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"),
            )
            .send(request.to_string())
            .with_context(|| format!("no answer to {name} from {}", self.endpoint))?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string()?;
        if !answer.status().is_success() {
            bail!("{name} failed ({}): {body}", answer.status());
        }
        serde_json::from_str(&body).with_context(|| format!("failed to read the answer of {name}"))
    }

    fn tool(&self) -> Tool {
        self.with_endpoint(Tool::new(self.tools.program(ToolSet::Spark, "aws"), self.logs.join("aws.log")))
    }
}
