//! A deployed stack, which is saved for later commands.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::workspace::Instance;

/// The name of local stacks.
pub const STACK_NAME: &str = "dataless";

/// Which build of the functions a stack runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Cargo's profile `dev`, which builds quickly together with everything else. The functions are slower.
    #[default]
    Local,
    /// Cargo's profile `release` through `sam build`, as for AWS.
    Release,
}

impl Profile {
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local build",
            Self::Release => "release build",
        }
    }
}

/// An output of the template that this program reads. Its name is that of the variant.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    AdTrafficJob,
    AdTrafficLoadJob,
    AdTrafficTable,
    AdvertisingJob,
    AlarmTopic,
    ApiId,
    AthenaWorkGroup,
    AttributionDays,
    DailyPipeline,
    DataLakeBucket,
    EraseJob,
    GlueDatabase,
    LookbackDays,
    OpsDashboard,
    RealTimeAdvertisingDashboard,
    ScriptsLocation,
    StageName,
}

impl Output {
    /// The name in the template.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// What a stack is deployed to, and what it runs.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The port of the emulator.
    pub port: u16,
    /// The process group of the emulator.
    pub emulator: u32,
    /// The build of the functions.
    pub profile: Profile,
}

impl Target {
    /// The stack with this name and these outputs.
    pub fn stack(self, name: &str, outputs: BTreeMap<String, String>) -> Stack {
        let Self { port, emulator, profile } = self;
        Stack { name: name.to_owned(), port, emulator, profile, outputs }
    }
}

/// A deployed stack: its outputs and where it runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stack {
    /// Its name, the prefix of the physical names of its resources.
    #[serde(default = "default_name")]
    pub name: String,
    /// The port of the emulator.
    pub port: u16,
    /// The process group of the emulator.
    pub emulator: u32,
    /// Which build of the functions it runs.
    #[serde(default)]
    pub profile: Profile,
    /// The outputs of the template.
    pub outputs: BTreeMap<String, String>,
}

fn default_name() -> String {
    STACK_NAME.to_owned()
}

impl Stack {
    /// The value of an output.
    pub fn output(&self, output: Output) -> Result<&str> {
        let name = output.name();
        self.outputs.get(&name).map(String::as_str).with_context(|| format!("the stack has no output {name}"))
    }

    /// The local URL of the API. The output `BaseURL` is its URL on AWS.
    pub fn base_url(&self) -> Result<String> {
        let (api, stage) = (self.output(Output::ApiId)?, self.output(Output::StageName)?);
        Ok(format!("{}/restapis/{api}/{stage}/_user_request_", endpoint(self.port)))
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    pub fn save(&self, instance: &Instance) -> Result<()> {
        let path = instance.state_file();
        std::fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// The saved stack of an instance, if any.
    pub fn load(instance: &Instance) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(instance.state_file()).ok()?).ok()
    }
}

/// The URL of an emulator.
pub fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_output_that_is_read_is_one_of_the_template() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let template: serde_yaml_ng::Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for output in Output::value_variants() {
            assert!(template["Outputs"].get(output.name()).is_some(), "no output {}", output.name());
        }
    }
}
