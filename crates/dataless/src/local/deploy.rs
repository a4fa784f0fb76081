//! The built template on its way to the emulator: edited in the one place that no emulator knows, deployed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::process::Tool;
use crate::local::aws::{Aws, REGION};
use crate::local::build::Profile;
use crate::local::emulator::endpoint;
use crate::local::outputs::outputs_of;
use crate::local::spark;
use crate::local::tools::{ToolSet, Tools};
use crate::workspace::{Instance, Workspace};

/// The name of local stacks.
pub const STACK_NAME: &str = "dataless";

/// What of the repository jobs read from S3, by its own paths.
const SCRIPT_FOLDERS: [&str; 2] = ["glue", "pipeline"];

/// What the jobs have of the package that they share.
const PACKAGE: &str = "lake.zip";

/// A deployed stack: its outputs, and where it answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stack {
    /// Its name, which the physical names of its resources begin with.
    #[serde(default = "usual_name")]
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

fn usual_name() -> String {
    STACK_NAME.to_owned()
}

impl Stack {
    /// An output of the template.
    pub fn output(&self, name: &str) -> Result<&str> {
        self.outputs.get(name).map(String::as_str).with_context(|| format!("the stack has no output {name}"))
    }

    /// Where the API answers locally. The output `BaseURL` is its address on AWS.
    pub fn base_url(&self) -> Result<String> {
        let (api, stage) = (self.output("ApiId")?, self.output("StageName")?);
        Ok(format!("{}/restapis/{api}/{stage}/_user_request_", endpoint(self.port)))
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    pub fn save(&self, instance: &Instance) -> Result<()> {
        let path = instance.state_file();
        std::fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The stack that an instance has deployed, if any.
    pub fn load(instance: &Instance) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(instance.state_file()).ok()?).ok()
    }
}

/// What a stack is deployed to, and what it runs.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The port of the emulator.
    pub port: u16,
    /// The process group of the emulator.
    pub emulator: u32,
    /// The build of the functions.
    pub profile: Profile,
}

impl Running {
    /// The stack with this name and these outputs.
    pub fn stack(self, name: &str, outputs: BTreeMap<String, String>) -> Stack {
        let Self { port, emulator, profile } = self;
        Stack { name: name.to_owned(), port, emulator, profile, outputs }
    }
}

/// Deploys what was built, uploads the jobs' scripts, and reads the outputs.
pub fn deploy(workspace: &Workspace, tools: &Tools, instance: &Instance, aws: &Aws, running: Running) -> Result<Stack> {
    let template = without_deployment_preference(instance)?;
    let architecture = architecture()?;
    let parameters = local_parameters(workspace, tools, instance, aws)?;
    let parameters = parameters.map(|(name, value)| format!("{name}={value}"));
    aws.lead(sam(tools, instance)?)
        .dir(workspace.root())
        .args(["deploy", "--template-file"])
        .arg(&template)
        .args(["--stack-name", STACK_NAME, "--region", REGION, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"])
        .args(["CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
        .args(["--parameter-overrides", &architecture])
        .args(parameters)
        .run()?;
    let stack = running.stack(STACK_NAME, outputs(aws, STACK_NAME)?);
    upload_scripts(workspace, tools, instance, aws, &stack)?;
    spark::configure(workspace, instance, &stack)?;
    Ok(stack)
}

/// The parameters that differ from AWS, whoever deploys: what runs Glue jobs, and no alarms on metric math, which the
/// emulator does not know.
pub fn local_parameters(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    aws: &Aws,
) -> Result<[(&'static str, String); 2]> {
    let glue_task = spark::deploy_function(workspace, tools, instance, aws)?;
    Ok([("GlueTask", glue_task), ("EnableMetricMathAlarms", "false".to_owned())])
}

/// The outputs of a stack that was deployed.
pub fn outputs(aws: &Aws, stack_name: &str) -> Result<BTreeMap<String, String>> {
    outputs_of(aws.json(&["cloudformation", "describe-stacks", "--stack-name", stack_name])?)
}

fn upload_scripts(workspace: &Workspace, tools: &Tools, instance: &Instance, aws: &Aws, stack: &Stack) -> Result<()> {
    let location = stack.output("ScriptsLocation")?;
    for folder in SCRIPT_FOLDERS {
        let from = workspace.path(folder);
        let to = format!("{location}/{folder}");
        // The package of the jobs is packed below, whatever a deployment by hand has left.
        let sync = ["s3", "sync", "--delete", "--only-show-errors", "--exclude", PACKAGE];
        let without = ["--exclude", "*__pycache__*", "--exclude", "*/tests/*"];
        aws.run(sync.iter().chain(&without).map(Into::into).chain([from.into_os_string(), to.into()]))?;
    }
    let packed = instance.build().join(PACKAGE);
    Tool::new(tools.program(ToolSet::Spark, "python"), instance.logs().join("aws.log"))
        .arg(workspace.path("tools/delivery/lake_zip.py"))
        .arg(&packed)
        .run()?;
    let to = format!("{location}/glue/{PACKAGE}");
    aws.run(["s3".into(), "cp".into(), "--only-show-errors".into(), packed.into_os_string(), to.into()])
}

/// SAM, away from an account that the user may have set up.
pub fn sam(tools: &Tools, instance: &Instance) -> Result<Tool> {
    Ok(Tool::new(tools.program(ToolSet::Sam, "sam"), instance.logs().join("sam.log"))
        .env("PATH", tools.path_with(&[ToolSet::Sam])?)
        .env("SAM_CLI_TELEMETRY", "0")
        // Seconds between its looks at a deployment; those of the emulator end at once.
        .env("SAM_CLI_POLL_DELAY", "0.2")
        .without(environment::is_of_aws)
        .env("AWS_DEFAULT_REGION", REGION))
}

/// Functions are built for the machine that they run on.
pub fn architecture() -> Result<String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x86_64",
        "aarch64" => "arm64",
        other => bail!("Lambda knows no machine of the kind {other}"),
    };
    Ok(format!("Architecture={architecture}"))
}

/// Writes a copy of the built template, beside it, without any `DeploymentPreference`: that needs CodeDeploy, which no
/// emulator has.
fn without_deployment_preference(instance: &Instance) -> Result<PathBuf> {
    let built = instance.build().join("template.yaml");
    let text = std::fs::read_to_string(&built).with_context(|| format!("{} cannot be read", built.display()))?;
    let edited = instance.build().join("template.local.yaml");
    std::fs::write(&edited, cut_deployment_preference(&text)?)?;
    Ok(edited)
}

/// Leaves out every `DeploymentPreference` of a template, with all that is indented below it.
pub fn cut_deployment_preference(template: &str) -> Result<String> {
    const HEAD: &str = "DeploymentPreference:";
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut edited = String::with_capacity(template.len());
    let mut cut = None;
    let mut found = false;
    for line in template.lines() {
        if cut.is_some_and(|head| indentation(line) > head) {
            continue;
        }
        cut = line.trim_start().starts_with(HEAD).then(|| indentation(line));
        found |= cut.is_some();
        if cut.is_none() {
            edited.push_str(line);
            edited.push('\n');
        }
    }
    if !found {
        bail!("the built template has no DeploymentPreference to leave out");
    }
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deployment_preferences_are_cut() {
        let template = "Globals:\n  Function:\n    Handler: bootstrap\n    DeploymentPreference:\n      Type:\n        Ref: A\n    \
                        Timeout: 10\nResources:\n  A:\n    Properties:\n      DeploymentPreference:\n        Alarms:\n        - B\n      \
                        Role: C\n    Type: T\n  B:\n    Properties:\n      DeploymentPreference: { Enabled: false }\n      Role: D\n";
        let expected = "Globals:\n  Function:\n    Handler: bootstrap\n    Timeout: 10\nResources:\n  A:\n    Properties:\n      \
                        Role: C\n    Type: T\n  B:\n    Properties:\n      Role: D\n";
        assert_eq!(cut_deployment_preference(template).unwrap(), expected);
        assert!(cut_deployment_preference(expected).is_err());
    }
}
