//! `test`: everything that must hold, from formatting to a day of events through a deployed stack.

pub mod parts;
mod report;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use self::parts::{Needs, Part, excluded};
use self::report::{Report, Tally, read_junit, tally};
use super::set_up;
use crate::cli::Test;
use crate::environment;
use crate::local::aws::Aws;
use crate::local::build::{self, Functions, LOADGEN, Programs};
use crate::local::spark;
use crate::local::stack::{Output, Profile, STACK_NAME, Stack};
use crate::local::tools::{ToolSet, Tools, chromium, rust_version};
use crate::local::warehouse::Servers;
use crate::outcome::Outcome;
use crate::process::{Interrupted, Tool};
use crate::ui::{note, step};
use crate::workspace::{Instance, InstanceName, Workspace};

/// The Rust whose warnings fail the tests, that of `buildspec.yml`. Another one warns of other things, which must not fail
/// them for who has just cloned the repository.
const RUST: &str = "1.95";

/// How a step's result is counted.
enum Counted {
    AsOne,
    /// By the file that the step writes.
    JUnit(PathBuf),
}

pub fn run(workspace: &Workspace, options: &Test) -> Result<Outcome> {
    let parts = select(options);
    if options.list {
        for part in parts {
            let (name, covers) = part.described();
            outln!("{name:<12} {covers}");
        }
        return Ok(Outcome::Done);
    }
    let instance = workspace.instance(InstanceName::Test);
    let _lock = instance.recreate()?;
    let tools = Tools::new(workspace);
    let suite = Suite { workspace, instance: &instance, tools: &tools, parts, report: Mutex::default() };
    let (tools_for_code, code_has_tools) = channel();
    let (tools_for_users, users_have_tools) = channel();
    let (programs_for_stack, stack_programs) = channel();
    let (programs_for_users, users_programs) = channel();
    // A test of the jobs, of a deployed stack or of the command line waits for others half its time: side by side they take
    // less.
    thread::scope(|scope| {
        let lanes = [
            scope.spawn(|| suite.code(code_has_tools, vec![programs_for_stack, programs_for_users])),
            scope.spawn(|| suite.stack(vec![tools_for_code, tools_for_users], stack_programs)),
            scope.spawn(|| suite.users(users_have_tools, users_programs)),
        ];
        // All are waited for, so that none goes on while the first error is shown.
        let results = lanes.map(thread::ScopedJoinHandle::join);
        results.into_iter().try_for_each(|result| result.map_err(|_| anyhow!("a step panicked"))?)
    })?;
    Ok(suite.close())
}

/// The parts that the options ask for, in their order.
fn select(options: &Test) -> Vec<Part> {
    let wanted = |part: &Part| match (options.parts.is_empty(), options.fast, options.no_e2e) {
        (false, ..) => options.parts.contains(part),
        (true, true, _) => Part::FAST.contains(part),
        (true, false, true) => Part::DELIVERY.contains(part),
        (true, false, false) => true,
    };
    Part::value_variants().iter().copied().filter(wanted).collect()
}

struct Suite<'a> {
    workspace: &'a Workspace,
    instance: &'a Instance,
    tools: &'a Tools,
    parts: Vec<Part>,
    report: Mutex<Report>,
}

impl Suite<'_> {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn needs(&self, needs: Needs) -> bool {
        self.parts.iter().any(|part| part.needs() == needs)
    }

    /// What the compiler and its friends say, and the jobs once their tools are there. Says when the programs are there.
    fn code(&self, tools_are_ready: Receiver<()>, built: Vec<Sender<Programs>>) -> Result<()> {
        if self.has(Part::Format) {
            self.cargo("format", &["fmt", "--all", "--check"])?;
        }
        // Other steps wait for what is compiled here: it comes first.
        if self.has(Part::Unit) || self.has(Part::EndToEnd) {
            self.cargo("build the tests", &["test", "--workspace", "--no-run"])?;
        }
        if self.needs(Needs::Stack) || self.needs(Needs::Warehouses) {
            let started = Instant::now();
            match set_up::programs(self.workspace, self.instance, Functions::All) {
                // Nobody may listen any more: then an error elsewhere ends it all.
                Ok(programs) => {
                    for lane in &built {
                        let _ = lane.send(programs.clone());
                    }
                }
                Err(error) => self.broken("build the programs", error)?,
            }
            self.report().took("build the programs", started.elapsed());
        }
        drop(built);
        // Nothing comes when the tools could not be installed: `stack` says why.
        let has_tools = tools_are_ready.recv().is_ok();
        if has_tools {
            self.python_lints()?;
        }
        if self.has(Part::Unit) && has_tools {
            self.nextest("unit tests", "default", &["--workspace"])?;
            self.cargo("documentation tests", &["test", "--workspace", "--doc", "--quiet"])?;
        }
        self.lints()?;
        if self.has(Part::Jobs) && has_tools {
            self.python(Part::Jobs, ToolSet::Spark)?;
        }
        Ok(())
    }

    /// Ruff, the formatter and linter of the code in Python, and mypy, which checks its types.
    fn python_lints(&self) -> Result<()> {
        let tool = |name: &str, program, args: &[&str]| {
            let tool = Tool::new(self.tools.program(ToolSet::Code, program), self.log(name));
            self.tool(name, tool.dir(self.workspace.root()).args(args), Counted::AsOne)
        };
        if self.has(Part::Format) {
            tool("ruff format", "ruff", &["format", "--check"])?;
        }
        if self.has(Part::Clippy) {
            tool("ruff check", "ruff", &["check"])?;
            tool("mypy", "mypy", &[])?;
        }
        Ok(())
    }

    /// Clippy and rustdoc.
    fn lints(&self) -> Result<()> {
        if !self.has(Part::Clippy) && !self.has(Part::Docs) {
            return Ok(());
        }
        let version = rust_version()?;
        let is_pinned = version.starts_with(&format!("{RUST}."));
        if !is_pinned {
            note(&format!(
                "This is Rust {version}, the code is held to the warnings of {RUST}: here they don't count."
            ));
        }
        if self.has(Part::Clippy) {
            let deny: &[&str] = if is_pinned { &["--", "--deny", "warnings"] } else { &[] };
            self.cargo("clippy", &[&["clippy", "--workspace", "--all-targets", "--quiet"], deny].concat())?;
        }
        if self.has(Part::Docs) {
            let docs = self.cargo_tool("docs", &["doc", "--workspace", "--no-deps", "--quiet"]);
            let docs = if is_pinned { docs.env("RUSTDOCFLAGS", "--deny warnings") } else { docs };
            self.tool("docs", docs, Counted::AsOne)?;
        }
        Ok(())
    }

    /// What the templates are, and what they do once deployed. Says when the tools are there.
    fn stack(&self, tools_are_ready: Vec<Sender<()>>, programs: Receiver<Programs>) -> Result<()> {
        let mut sets: Vec<ToolSet> = self.parts.iter().flat_map(|part| part.tools()).copied().collect();
        sets.sort();
        sets.dedup();
        let started = Instant::now();
        set_up::install(self.workspace, &sets)?;
        self.report().took("install the tools", started.elapsed());
        // Nobody may listen any more: then an error elsewhere ends it all.
        for lane in tools_are_ready {
            let _ = lane.send(());
        }
        if self.has(Part::Scripts) {
            self.python(Part::Scripts, ToolSet::Tests)?;
        }
        if self.has(Part::Templates) {
            self.templates()?;
        }
        if self.has(Part::Stacks) {
            self.python(Part::Stacks, ToolSet::Tests)?;
        }
        if self.needs(Needs::Stack) {
            // Nothing comes when they could not be built: `code` says why.
            if let Ok(programs) = programs.recv() {
                self.outside(&programs)?;
            }
        }
        Ok(())
    }

    /// The command line as a user runs it, on warehouses of its own.
    fn users(&self, tools_are_ready: Receiver<()>, programs: Receiver<Programs>) -> Result<()> {
        // Nothing comes when something is missing: another lane says why.
        if self.has(Part::EndToEnd) && tools_are_ready.recv().is_ok() && programs.recv().is_ok() {
            // One thread has the warehouse that stays, the other all demos, the tutorial and the faults.
            let tests =
                ["--workspace", "--test", "e2e", "--test", "tutorial", "--test", "chaos", "--run-ignored", "only"];
            self.nextest("end-to-end", "end-to-end", &tests)?;
        }
        Ok(())
    }

    /// What the linters of CloudFormation say, and the tests of what its transforms make.
    fn templates(&self) -> Result<()> {
        let sam = |program, args: &[&str]| {
            let log = self.instance.logs().join("templates.log");
            Tool::new(self.tools.program(ToolSet::Sam, program), log).dir(self.workspace.root()).args(args)
        };
        let linted = ["template.yaml", "build.yaml", "build-machines.yaml", "stacks/*.yaml"];
        self.tool("cfn-lint", sam("cfn-lint", &linted), Counted::AsOne)?;
        let validate = sam("sam", &["validate", "--lint", "--template", "template.yaml"]);
        let validate = validate
            .env("SAM_CLI_TELEMETRY", "0")
            .without(environment::is_aws_setting)
            .env("AWS_DEFAULT_REGION", "us-east-1");
        self.tool("sam validate --lint", validate, Counted::AsOne)?;
        let audit = |program, name: &str| {
            Tool::new(self.tools.program(ToolSet::Audit, program), self.log(name)).dir(self.workspace.root())
        };
        let checkov = audit("checkov", "checkov").args(["--quiet", "--compact", "--skip-download"]);
        let checkov = checkov.args(["--config-file", ".config/checkov.yaml"]);
        let checkov = checkov.args(["--framework", "cloudformation", "--file", "template.yaml", "build.yaml"]);
        let checkov = checkov.arg("build-machines.yaml");
        self.tool("checkov", checkov.args(stacks(self.workspace)?), Counted::AsOne)?;
        // Not `advisories`, whose database is no package: `cargo deny check` by hand does that too.
        let deny = audit("cargo-deny", "cargo deny").args(["check", "licenses", "bans", "sources"]);
        self.tool("cargo deny", deny, Counted::AsOne)?;
        self.python(Part::Templates, ToolSet::Tests)
    }

    /// A part in Python that needs nothing deployed.
    fn python(&self, part: Part, set: ToolSet) -> Result<()> {
        let (tool, junit) = self.pytest(set, part)?;
        self.tool(&part.name(), tool, junit)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.instance.logs().join(format!("{}.log", name.replace(' ', "-")))
    }

    fn cargo_tool(&self, name: &str, args: &[&str]) -> Tool {
        build::cargo(self.workspace, self.log(name)).args(args)
    }

    fn cargo(&self, name: &str, args: &[&str]) -> Result<()> {
        self.tool(name, self.cargo_tool(name, args), Counted::AsOne)
    }

    /// Runs tests in Rust by nextest, with a profile of `.config/nextest.toml`.
    fn nextest(&self, name: &str, profile: &str, args: &[&str]) -> Result<()> {
        let junit = target_dir()?.join("nextest").join(profile).join("junit.xml");
        let tool = Tool::new(self.tools.program(ToolSet::Code, "cargo-nextest"), self.log(name));
        let tool = build::beside_cargo(tool.dir(self.workspace.root()));
        let tool = tool.args(["nextest", "run", "--profile", profile, "--no-tests", "fail"]).args(args);
        self.tool(name, tool, Counted::JUnit(junit))
    }

    fn pytest(&self, set: ToolSet, part: Part) -> Result<(Tool, Counted)> {
        let name = part.name();
        let junit = self.instance.dir().join(format!("{name}.junit.xml"));
        let tool = Tool::new(self.tools.program(set, "python"), self.log(&name))
            .dir(self.workspace.root())
            .args(["-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider"])
            .arg(format!("--junit-xml={}", junit.display()))
            .args(excluded(part).iter().map(|path| format!("--ignore={path}")))
            .args(part.folders())
            .env("PATH", self.tools.path_with(&[set])?)
            .env("PYTHONPYCACHEPREFIX", self.workspace.path(".dataless/pycache"));
        Ok((tool, Counted::JUnit(junit)))
    }

    /// Runs a step. A failure is counted and shown, and the others go on; only Ctrl-C ends them all.
    fn tool(&self, name: &str, tool: Tool, counted: Counted) -> Result<()> {
        if let Counted::JUnit(path) = &counted {
            // What an earlier run left must not be taken for this one's.
            let _ = std::fs::remove_file(path);
        }
        let cases = || match &counted {
            Counted::AsOne => Ok(Vec::new()),
            Counted::JUnit(path) => read_junit(path),
        };
        let started = Instant::now();
        let run = || {
            tool.run()?;
            let cases = cases()?;
            let tally = if matches!(counted, Counted::AsOne) { Tally::ONE } else { tally(&cases) };
            Ok((tally, cases))
        };
        let result = step(name, run, |(tally, _)| format!("{} passed", tally.passed));
        self.report().took(name, started.elapsed());
        match result {
            Ok(((tally, cases), _)) if tally.passed == 0 => self.failed(name, cases, "it ran no test"),
            Ok(((tally, cases), _)) => self.report().passed(tally, cases),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => self.failed(name, cases().unwrap_or_default(), &format!("{error:#}")),
        }
        Ok(())
    }

    fn failed(&self, name: &str, cases: Vec<report::Case>, why: &str) {
        note(&format!("{name}: {why}\n"));
        self.report().failed(name, cases);
    }

    /// A failure outside any test. Only Ctrl-C ends the others.
    fn broken(&self, name: &str, error: anyhow::Error) -> Result<()> {
        if error.is::<Interrupted>() {
            return Err(error);
        }
        self.failed(name, Vec::new(), &format!("{error:#}"));
        Ok(())
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tests a deployed stack from outside: the API against its contract, the page in a browser.
    fn outside(&self, programs: &Programs) -> Result<()> {
        let deployed = self.deploy(programs);
        let (_servers, stack, aws) = match deployed {
            Ok(deployed) => deployed,
            Err(error) => return self.broken("deployed stack", error),
        };
        let browser = match step("find a browser", || chromium(self.instance), |path| path.display().to_string()) {
            Ok((path, _)) => path,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            // The tests themselves say that they need one.
            Err(error) => {
                note(&format!("{error:#}"));
                PathBuf::new()
            }
        };
        for part in self.parts.iter().copied().filter(|part| part.needs() == Needs::Stack) {
            let (tool, junit) = self.pytest(ToolSet::Tests, part)?;
            let tool = aws
                .with_endpoint(tool)
                .env("DATALESS_BASE_URL", stack.base_url()?)
                .env("DATALESS_BUCKET", stack.output(Output::DataLakeBucket)?)
                .env("DATALESS_TABLE", stack.output(Output::AdTrafficTable)?)
                .env("DATALESS_STACK", STACK_NAME)
                .env("DATALESS_STATE_MACHINE", stack.output(Output::DailyPipeline)?)
                .env("DATALESS_TOPIC", stack.output(Output::AlarmTopic)?)
                .env("DATALESS_PROGRAM", std::env::current_exe().context("this program has no path")?)
                .env("DATALESS_INSTANCE", "test")
                .env("DATALESS_LOADGEN", programs.path(LOADGEN)?)
                .env("DATALESS_METRICS_SINK", programs.path("metrics-sink")?)
                .env("DATALESS_RUNNER", spark::config_path(self.instance))
                .env("DATALESS_SPARK_PYTHON", self.tools.program(ToolSet::Spark, "python"))
                .env("DATALESS_CHROMIUM", &browser);
            self.tool(&part.name(), tool, junit)?;
        }
        Ok(())
    }

    fn deploy(&self, programs: &Programs) -> Result<(Servers, Stack, Aws)> {
        let started = Instant::now();
        build::stage(self.workspace, self.instance, programs, Functions::All)?;
        let (mut servers, _) = set_up::start_emulator(self.workspace, self.tools, self.instance, None)?;
        let aws = Aws::new(&servers.endpoint(), self.tools, self.instance.logs());
        let target = servers.target(Profile::Local);
        let deployed = set_up::deploy_to(self.workspace, self.tools, self.instance, target);
        let (stack, _) = servers.explain(deployed)?;
        self.report().took("deploy the stack", started.elapsed());
        Ok((servers, stack, aws))
    }

    fn close(self) -> Outcome {
        let report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        note(&format!("\n{}", report.times()));
        if !report.failures().is_empty() {
            let names = report.failures().join(", ");
            let failed_tests = report.failed_tests();
            if !failed_tests.is_empty() {
                note(&format!("\n{failed_tests}"));
            }
            note(&format!("\nfailed: {names}; the logs are in {}", self.instance.logs().display()));
        }
        outln!();
        outln!("{}", report.summary());
        (report.total().failed == 0).into()
    }
}

/// Cargo's target directory, wherever it is: this program is in it.
fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program has no path")?;
    program.ancestors().nth(2).map(Path::to_owned).context("this program is in no target directory")
}

/// The templates of the optional parts.
fn stacks(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(workspace.path("stacks"))?;
    entries.map(|entry| Ok(Path::new("stacks").join(entry?.file_name()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_select_parts() {
        let options = |parts: &[Part], fast, no_e2e| Test { parts: parts.to_vec(), fast, no_e2e, list: false };
        assert_eq!(select(&options(&[], false, false)), Part::value_variants());
        assert_eq!(select(&options(&[], true, false)), Part::FAST);
        let without = select(&options(&[], false, true));
        assert_eq!(without, Part::DELIVERY);
        assert_eq!(select(&options(&[Part::Jobs, Part::Unit], false, false)), [Part::Unit, Part::Jobs]);
    }

    #[test]
    fn the_pinned_rust_is_that_of_the_buildspec() {
        let buildspec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../buildspec.yml")).unwrap();
        assert!(buildspec.contains(&format!("rust: {RUST}.")));
    }
}
