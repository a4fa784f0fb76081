//! The delivery of `build.yaml`, run locally: `buildspec.yml` builds to S3, and a change set deploys from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::local::aws::{Aws, REGION};
use crate::local::build;
use crate::local::deploy;
use crate::local::stack::Profile;
use crate::local::tools::{ToolSet, Tools};
use crate::process::{Tool, check_interrupted};
use crate::workspace::{Instance, Workspace};

/// The stack of `build.yaml`, and the branch that it delivers.
const DELIVERY_STACK: &str = "dataless";
const BRANCH: &str = "main";

/// The stack that is deployed: `<stack>-<branch>`.
pub const WAREHOUSE_STACK: &str = "dataless-main";

/// The bucket that `build.yaml` would create.
const BUCKET: &str = "dataless-artifacts";

/// The policy of `build.yaml` that limits the warehouse's roles. The emulator sees only its name.
const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/dataless-WarehouseBoundary";

/// Skips the tests: whoever runs this has run them, or is one of them.
const TESTS: &str = "true";

/// Speeds up a release build to the time of a local build. `--release` does not use these.
const QUICK_RELEASE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];

/// The result of a build.
#[derive(Clone, Debug)]
pub struct Artifact {
    key: String,
}

impl Artifact {
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/{}", self.key)
    }
}

/// The parameters and tags in an artifact, for the pipeline's deploy action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    parameters: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
}

/// Runs `buildspec.yml` as CodeBuild does.
pub fn build(
    workspace: &Workspace,
    tools: &Tools,
    instance: &Instance,
    aws: &Aws,
    profile: Profile,
) -> Result<Artifact> {
    aws.run(["s3", "mb", &format!("s3://{BUCKET}")])?;
    let versioned = ["--bucket", BUCKET, "--versioning-configuration", "Status=Enabled"];
    aws.run(["s3api", "put-bucket-versioning"].iter().chain(&versioned))?;
    let artifact = Artifact { key: format!("delivery-{DELIVERY_STACK}/Build/1.zip") };
    // Every build moves its functions through the same folder of `target`.
    let _turn = instance.lock("build")?;
    let log = instance.logs().join("buildspec.log");
    let mut tool = build::beside_cargo(aws.with_endpoint(Tool::new(tools.program(ToolSet::Sam, "python"), log)));
    if profile == Profile::Local {
        tool = tool.envs(QUICK_RELEASE);
    }
    tool.dir(workspace.root())
        // CodeBuild's image has `aws`; the build installs everything else.
        .env("PATH", tools.path_with(&[ToolSet::Spark])?)
        .args(["tools/delivery/codebuild.py", "--project", DELIVERY_STACK, "--artifact", &artifact.url()])
        .args([format!("BRANCH={BRANCH}"), format!("WAREHOUSE_STACK={WAREHOUSE_STACK}")])
        .args([format!("ARTIFACT_BUCKET={BUCKET}"), format!("PERMISSIONS_BOUNDARY={BOUNDARY}")])
        .arg(format!("TESTS={TESTS}"))
        .run()?;
    Ok(artifact)
}

/// Deploys an artifact through a change set, without `DeploymentPreference` and with these additional parameters. Returns
/// the outputs.
pub fn deploy(
    tools: &Tools,
    instance: &Instance,
    aws: &Aws,
    artifact: &Artifact,
    parameters: Vec<(&str, String)>,
) -> Result<BTreeMap<String, String>> {
    let folder = unpack(tools, instance, aws, artifact)?;
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("the artifact has no {name}"))
    };
    let packaged = read("packaged.yaml")?;
    ensure!(!packaged.contains("CodeUri: crates/"), "the template is not packaged: its code is not in S3");
    let local = folder.join("local.yaml");
    std::fs::write(&local, deploy::remove_deployment_preference(&packaged)?)?;
    let key = format!("delivery-{DELIVERY_STACK}/Build/template.yaml");
    aws.run(["s3".into(), "cp".into(), local.into_os_string(), format!("s3://{BUCKET}/{key}").into()])?;

    let mut configuration: Configuration =
        serde_json::from_str(&read("configuration.json")?).context("failed to read configuration.json")?;
    publish_scripts(aws, &folder, &configuration)?;
    configuration.parameters.extend(parameters.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let request = json!({
        "StackName": WAREHOUSE_STACK,
        "ChangeSetName": "delivery",
        "ChangeSetType": "CREATE",
        "TemplateURL": format!("https://s3.{REGION}.amazonaws.com/{BUCKET}/{key}"),
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Parameters": configuration.parameters.iter()
            .map(|(name, value)| json!({ "ParameterKey": name, "ParameterValue": value })).collect::<Vec<_>>(),
        "Tags": configuration.tags.iter()
            .map(|(key, value)| json!({ "Key": key, "Value": value })).collect::<Vec<_>>(),
    });
    let change_set = ["--stack-name", WAREHOUSE_STACK, "--change-set-name", "delivery"];
    let cloudformation = |args: &[&str]| aws.run(["cloudformation"].iter().chain(args));
    cloudformation(&["create-change-set", "--cli-input-json", &request.to_string()])?;
    let describe = [&["cloudformation", "describe-change-set"], &change_set[..]].concat();
    wait_for(aws, &describe, "/Status", "CREATE_COMPLETE")?;
    cloudformation(&[&["execute-change-set"], &change_set[..]].concat())?;
    let describe = ["cloudformation", "describe-stacks", "--stack-name", WAREHOUSE_STACK];
    wait_for(aws, &describe, "/Stacks/0/StackStatus", "CREATE_COMPLETE")
        // If the reason can't be read, the error has to be enough.
        .map_err(|error| match first_failure(aws) {
            Ok(reason) => error.context(reason),
            Err(_) => error,
        })?;
    deploy::outputs(aws, WAREHOUSE_STACK)
}

/// Copies the artifact to where the stack expects scripts, as the pipeline's action does.
fn publish_scripts(aws: &Aws, folder: &Path, configuration: &Configuration) -> Result<()> {
    let prefix = configuration.parameters.get("ScriptsPrefix").context("configuration.json has no ScriptsPrefix")?;
    let target = format!("s3://{BUCKET}/{prefix}");
    let folder = folder.to_str().context("the path of the artifact is not UTF-8")?;
    aws.run(["s3", "cp", folder, &target, "--recursive", "--quiet"])
}

/// Polls until the description has the wanted status. `aws cloudformation wait` would poll every 30 seconds.
fn wait_for(aws: &Aws, describe: &[&str], status: &str, wanted: &str) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(300);
    let started = Instant::now();
    loop {
        let described: Value = aws.json(describe)?;
        let found = described.pointer(status).and_then(Value::as_str).unwrap_or_default();
        if found == wanted {
            return Ok(());
        }
        let is_on_its_way = found.ends_with("_PENDING") || found.ends_with("CREATE_IN_PROGRESS");
        ensure!(is_on_its_way && started.elapsed() < LIMIT, "{} has the status {found:?}, not {wanted}", describe[1]);
        check_interrupted()?;
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The resource of the warehouse's stack that failed first, and the reason.
fn first_failure(aws: &Aws) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        stack_events: Vec<Event>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Event {
        logical_resource_id: String,
        resource_status: String,
        #[serde(default)]
        resource_status_reason: String,
    }
    let answer: Answer = aws.json(&["cloudformation", "describe-stack-events", "--stack-name", WAREHOUSE_STACK])?;
    // The newest comes first.
    let first = answer.stack_events.into_iter().rev().find(|event| event.resource_status.ends_with("_FAILED"));
    Ok(first.map_or_else(
        || "the stack was not created".to_owned(),
        |event| format!("{} was not created: {}", event.logical_resource_id, event.resource_status_reason),
    ))
}

/// Downloads and extracts an artifact, and returns its folder.
fn unpack(tools: &Tools, instance: &Instance, aws: &Aws, artifact: &Artifact) -> Result<PathBuf> {
    let (zip, folder) = (instance.dir().join("artifact.zip"), instance.dir().join("artifact"));
    aws.run(["s3".into(), "cp".into(), artifact.url().into(), zip.clone().into_os_string()])?;
    Tool::new(tools.program(ToolSet::Spark, "python"), instance.logs().join("aws.log"))
        .args(["-m", "zipfile", "-e"])
        .args([&zip, &folder])
        .run()?;
    Ok(folder)
}
