//! Deploys the built template to the emulator, without the one property that no emulator supports.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::local::aws::{Aws, REGION};
use crate::local::outputs::outputs_of;
use crate::local::sam::{architecture, sam};
use crate::local::stack::{Output, STACK_NAME};
use crate::local::tools::{ToolSet, Tools};
use crate::process::Tool;
use crate::workspace::{Instance, Workspace};

/// The folders of the repository that jobs read from S3, with the same paths.
const SCRIPT_FOLDERS: [&str; 2] = ["glue", "pipeline"];

/// The archive of the package that the jobs share.
const PACKAGE: &str = "lake.zip";

/// Deploys the built template with these additional parameters, uploads the jobs' scripts, and returns the outputs.
pub fn deploy(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    aws: &Aws,
    parameters: &[(&str, String)],
) -> Result<BTreeMap<String, String>> {
    let template = without_deployment_preference(instance)?;
    aws.with_endpoint(sam(tools, instance)?)
        .dir(workspace.root())
        .args(["deploy", "--template-file"])
        .arg(&template)
        .args(["--stack-name", STACK_NAME, "--region", REGION, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"])
        .args(["CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
        .args(["--parameter-overrides", &architecture()?])
        .args(parameters.iter().map(|(name, value)| format!("{name}={value}")))
        .run()?;
    let outputs = outputs(aws, STACK_NAME)?;
    let location = outputs.get(&Output::ScriptsLocation.name()).context("the stack has no output ScriptsLocation")?;
    upload_scripts(workspace, tools, instance, aws, location)?;
    Ok(outputs)
}

/// Reads the outputs of a deployed stack.
pub fn outputs(aws: &Aws, stack_name: &str) -> Result<BTreeMap<String, String>> {
    outputs_of(aws.json(&["cloudformation", "describe-stacks", "--stack-name", stack_name])?)
}

fn upload_scripts(workspace: &Workspace, tools: &Tools, instance: &Instance, aws: &Aws, location: &str) -> Result<()> {
    for folder in SCRIPT_FOLDERS {
        let from = workspace.path(folder);
        let to = format!("{location}/{folder}");
        // The archive is created below; a deployment by hand may have left an old one.
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

/// Writes a copy of the built template without `DeploymentPreference`, which needs CodeDeploy. No emulator has that.
fn without_deployment_preference(instance: &Instance) -> Result<PathBuf> {
    let built = instance.build().join("template.yaml");
    let text = std::fs::read_to_string(&built).with_context(|| format!("failed to read {}", built.display()))?;
    let edited = instance.build().join("template.local.yaml");
    std::fs::write(&edited, remove_deployment_preference(&text)?)?;
    Ok(edited)
}

/// Removes every `DeploymentPreference` of a template, with the lines that are indented below it.
pub fn remove_deployment_preference(template: &str) -> Result<String> {
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
        bail!("could not find a DeploymentPreference in the built template");
    }
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deployment_preferences_are_removed() {
        let template = "Globals:\n  Function:\n    Handler: bootstrap\n    DeploymentPreference:\n      Type:\n        Ref: A\n    \
                        Timeout: 10\nResources:\n  A:\n    Properties:\n      DeploymentPreference:\n        Alarms:\n        - B\n      \
                        Role: C\n    Type: T\n  B:\n    Properties:\n      DeploymentPreference: { Enabled: false }\n      Role: D\n";
        let expected = "Globals:\n  Function:\n    Handler: bootstrap\n    Timeout: 10\nResources:\n  A:\n    Properties:\n      \
                        Role: C\n    Type: T\n  B:\n    Properties:\n      Role: D\n";
        assert_eq!(remove_deployment_preference(template).unwrap(), expected);
        assert!(remove_deployment_preference(expected).is_err());
    }
}
