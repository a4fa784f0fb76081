//! Builds the programs of the workspace and stages the template with what it deploys.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::local::sam;
use crate::local::tools::Tools;
use crate::process::Tool;
use crate::workspace::{Instance, Workspace, remove_folder};

/// The property of the template that has the crate of a function.
const CODE_URI: &str = "CodeUri: crates/";

/// The folder of functions beside a staged template.
const FUNCTIONS: &str = "functions";

/// The files and folders that the template refers to by relative paths.
const REFERENCED: [&str; 3] = ["api.yaml", "stacks", "pipeline/daily.asl.json"];

/// The programs that cargo built, by name.
#[derive(Clone, Debug, Default)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// The path of a program.
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.0.get(name).map(PathBuf::as_path).with_context(|| format!("the workspace has no program {name}"))
    }

    /// Reads the messages of `cargo build --message-format=json`.
    fn from_messages(messages: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Message {
            executable: Option<PathBuf>,
        }
        let mut programs = BTreeMap::new();
        for line in messages.lines() {
            let message: Message = serde_json::from_str(line).context("failed to read a message of cargo")?;
            if let Some(path) = message.executable
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                programs.insert(name.to_owned(), path.clone());
            }
        }
        Ok(Self(programs))
    }
}

/// The program of the load generator.
pub const LOADGEN: &str = "loadgen";

/// Which functions a local stack includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// Those that are called locally. The checks of CodeDeploy are omitted: the emulator has no CodeDeploy, and their SDKs
    /// take as long to compile as those of all others.
    Called,
    /// All functions of the template.
    All,
}

/// Builds the functions and the load generator in one invocation of cargo. Dependencies are compiled once, with the
/// features of the whole workspace, and shared with the command line.
pub fn programs(workspace: &Workspace, instance: &Instance, functions: Functions) -> Result<Programs> {
    let template = read_template(workspace, functions)?;
    let (_, mut bins) = point_to_functions(&template);
    bins.push(LOADGEN.to_owned());
    let messages = cargo(workspace, instance.logs().join("build.log"))
        .args(["build", "--workspace", "--message-format=json-render-diagnostics"])
        .args(bins.iter().flat_map(|bin| ["--bin", bin]))
        .output()?;
    Programs::from_messages(&messages)
}

/// Builds one program with the features of the whole workspace, and returns its path.
pub fn program(workspace: &Workspace, log: PathBuf, name: &str) -> Result<PathBuf> {
    let messages = cargo(workspace, log)
        .args(["build", "--workspace", "--message-format=json-render-diagnostics", "--bin", name])
        .output()?;
    Ok(Programs::from_messages(&messages)?.path(name)?.to_owned())
}

/// Cargo in the workspace.
pub fn cargo(workspace: &Workspace, log: PathBuf) -> Tool {
    beside_cargo(Tool::new("cargo", log).dir(workspace.root()))
}

/// Does not pass on the variables that cargo has set for this program. Otherwise build scripts that read them would run
/// again, and their crates would be compiled again, whenever cargo runs below cargo.
pub fn beside_cargo(tool: Tool) -> Tool {
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let cargos = names.filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    cargos.fold(tool, |tool, name| tool.env_remove(&name)).env("CARGO_TERM_COLOR", "never")
}

/// Reads the template with the functions of a local stack.
fn read_template(workspace: &Workspace, functions: Functions) -> Result<String> {
    let template = fs::read_to_string(workspace.path("template.yaml")).context("failed to read template.yaml")?;
    Ok(if functions == Functions::All { template } else { without_checks(&template) })
}

/// Removes the functions that only CodeDeploy calls.
fn without_checks(template: &str) -> String {
    const CHECK: &str = "CodeUri: crates/pre-traffic";
    blocks(template).into_iter().filter(|block| !block.contains(CHECK)).collect()
}

/// Splits the text into blocks that each begin with a key at the indentation of resources.
fn blocks(template: &str) -> Vec<&str> {
    let begins = |line: &str| line.starts_with("  ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic);
    let (mut blocks, mut start, mut at) = (Vec::new(), 0, 0);
    for line in template.split_inclusive('\n') {
        if begins(line) || !line.starts_with([' ', '\n', '#']) {
            blocks.push(&template[start..at]);
            start = at;
        }
        at += line.len();
    }
    blocks.push(&template[start..]);
    blocks
}

/// Writes the template of an instance to where `deploy` expects it, and packages the functions that cargo built. `sam
/// build` does the same with one invocation of cargo per function.
pub fn stage(workspace: &Workspace, instance: &Instance, programs: &Programs, functions: Functions) -> Result<()> {
    let build = instance.build();
    remove_folder(&build)?;
    fs::create_dir_all(&build)?;
    let template = read_template(workspace, functions)?;
    let (staged, functions) = point_to_functions(&template);
    if functions.is_empty() {
        bail!("template.yaml has no function: none of its lines has `{CODE_URI}`");
    }
    for name in functions {
        let program = programs.path(&name)?;
        package(program, &build.join(format!("{FUNCTIONS}/{name}.zip")))
            .with_context(|| format!("failed to package {}", program.display()))?;
    }
    for path in REFERENCED {
        copy(&workspace.path(path), &build.join(path)).with_context(|| format!("failed to copy {path}"))?;
    }
    fs::write(build.join("template.yaml"), staged).context("failed to write the staged template")
}

/// Changes each `CodeUri` from a crate to the package of its function. Returns the template and the names of the crates.
fn point_to_functions(template: &str) -> (String, Vec<String>) {
    let mut functions = Vec::new();
    let mut staged = String::with_capacity(template.len());
    for line in template.lines() {
        match line.split_once(CODE_URI) {
            Some((indentation, name)) if indentation.trim().is_empty() => {
                staged.push_str(&format!("{indentation}CodeUri: {FUNCTIONS}/{}.zip", name.trim()));
                functions.push(name.trim().to_owned());
            }
            _ => staged.push_str(line),
        }
        staged.push('\n');
    }
    functions.sort();
    functions.dedup();
    (staged, functions)
}

/// Creates a function's deployment package, with its program as `bootstrap`. SAM would take several times as long, for
/// packages that are a tenth smaller.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-function-zip.html>
fn package(program: &Path, zip: &Path) -> Result<()> {
    const FASTEST: i64 = 1;
    if let Some(parent) = zip.parent() {
        fs::create_dir_all(parent)?;
    }
    let options = SimpleFileOptions::default().unix_permissions(0o755).compression_level(Some(FASTEST));
    let mut writer = ZipWriter::new(File::create(zip)?);
    writer.start_file("bootstrap", options)?;
    std::io::copy(&mut File::open(program)?, &mut writer)?;
    writer.finish()?;
    Ok(())
}

/// Copies a file, or a folder with everything below it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        return fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))
        });
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map(drop)
}

/// Builds the functions with `sam build`, as the pipeline of `build.yaml` does.
pub fn sam(workspace: &Workspace, tools: &Tools, instance: &Instance) -> Result<()> {
    // All builds use the same folder of `target`.
    let _turn = instance.lock("build")?;
    beside_cargo(sam::sam(tools, instance)?)
        // The linker of this machine is enough; for AWS, cargo-lambda links against an older C library.
        .env("CARGO_LAMBDA_COMPILER", "cargo")
        .dir(workspace.root())
        .args(["build", "--template-file", "template.yaml", "--build-dir"])
        .arg(instance.build())
        .args(["--parameter-overrides", &sam::architecture()?])
        .run()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_programs_are_where_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"events"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"ad-traffic"},"executable":"/elsewhere/debug/ad-traffic"}
{"reason":"build-finished","success":true}
"#;
        let programs = Programs::from_messages(messages).unwrap();
        assert_eq!(programs.path("ad-traffic").unwrap(), Path::new("/elsewhere/debug/ad-traffic"));
        let error = programs.path("capture").unwrap_err().to_string();
        assert_eq!(error, "the workspace has no program capture");
        assert!(Programs::from_messages("warning: this is not JSON").is_err());
    }

    #[test]
    fn a_staged_template_has_its_functions_beside_it() {
        let template = "Resources:\n  A:\n    CodeUri: crates/a\n  B:\n    CodeUri: crates/b\n  C:\n    CodeUri: crates/a\n    \
                        # CodeUri: crates/d\n";
        let (staged, functions) = point_to_functions(template);
        let expected = "Resources:\n  A:\n    CodeUri: functions/a.zip\n  B:\n    CodeUri: functions/b.zip\n  C:\n    CodeUri: functions/a.zip\n    \
                        # CodeUri: crates/d\n";
        assert_eq!((staged.as_str(), functions), (expected, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn checks_are_omitted() {
        let template = "Globals:\n  Function:\n    Role: !GetAtt D.Arn\n\nResources:\n  A:\n    CodeUri: crates/a\n\n  # About B.\n  \
                        B:\n    CodeUri: crates/pre-traffic\n  D:\n    Resource: !GetAtt A.Arn\nOutputs:\n  B2:\n    Value: 1\n";
        let expected = "Globals:\n  Function:\n    Role: !GetAtt D.Arn\n\nResources:\n  A:\n    CodeUri: crates/a\n\n  # About B.\n  \
                        D:\n    Resource: !GetAtt A.Arn\nOutputs:\n  B2:\n    Value: 1\n";
        assert_eq!(without_checks(template), expected);
        assert_eq!(blocks(template).concat(), template);

        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let template = fs::read_to_string(root.join("template.yaml")).unwrap();
        let left = without_checks(&template);
        assert!(template.contains("CodeUri: crates/pre-traffic") && !left.contains("CodeUri: crates/pre-traffic"));
        let functions = point_to_functions(&left).1;
        let others: Vec<_> = functions.iter().filter(|name| !name.starts_with("capture-")).collect();
        assert_eq!(others, ["ad-traffic", "metrics-sink"]);
        assert!(functions.iter().any(|name| name == "capture-clicks"), "{functions:?}");
        // Each has a check.
        assert_eq!(blocks(&template).len() - blocks(&left).len(), functions.len());
    }

    #[test]
    fn every_path_that_the_template_names_is_staged() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut named = BTreeSet::new();
        let stacks = fs::read_dir(root.join("stacks")).unwrap().map(|entry| entry.unwrap().path());
        for template in stacks.chain([root.join("template.yaml")]) {
            let folder = template.parent().unwrap();
            for line in fs::read_to_string(&template).unwrap().lines().map(str::trim) {
                let Some((_, path)) = line.split_once(": ") else { continue };
                if line.starts_with('#') || path.contains(' ') || !path.contains('.') || !folder.join(path).is_file() {
                    continue;
                }
                let path = folder.join(path).canonicalize().unwrap();
                let path = path.strip_prefix(root.canonicalize().unwrap()).unwrap().to_owned();
                assert!(REFERENCED.iter().any(|staged| path.starts_with(staged)), "{}: {line}", template.display());
                named.insert(path);
            }
        }
        assert!(
            named.contains(Path::new("api.yaml")) && named.contains(Path::new("pipeline/daily.asl.json")),
            "{named:?}"
        );
        // Each child is used.
        let children = fs::read_dir(root.join("stacks")).unwrap().count();
        assert_eq!(named.iter().filter(|path| path.starts_with("stacks")).count(), children);
    }
}
