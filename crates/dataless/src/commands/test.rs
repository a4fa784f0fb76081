//! `test`: everything that must hold, from formatting to a day of events through the deployed stack.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};

use super::{Outcome, set_up};
use crate::cli::Test;
use crate::process::{Interrupted, Tool};
use crate::stage::aws::Aws;
use crate::stage::build::{self, Functions, LOADGEN, Profile, Programs};
use crate::stage::deploy::{self, Running, Stack};
use crate::stage::emulator::Emulator;
use crate::stage::spark;
use crate::stage::tools::{ToolSet, Tools, chromium};
use crate::ui::{note, step};
use crate::workspace::{Instance, InstanceName, Workspace};

/// Passed and failed tests of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// A check that has no tests to count.
    const ONE: Self = Self { passed: 1, failed: 0, skipped: 0 };

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// How a step's result is counted.
#[derive(Clone, Copy, Debug)]
enum Counted {
    AsOne,
    Cargo,
    Pytest,
}

pub fn run(workspace: &Workspace, options: &Test) -> Result<Outcome> {
    let instance = workspace.instance(InstanceName::Test);
    let _lock = instance.take_anew()?;
    let tools = Tools::new(workspace);
    let e2e = !options.no_e2e;
    let suite = Suite { workspace, instance: &instance, tools: &tools, e2e, counts: Mutex::default() };
    let (tools_are_ready, ready) = channel();
    // The link of a function keeps one core busy, a test of the jobs or of a deployed stack waits for others half its time:
    // together they take less.
    std::thread::scope(|scope| {
        let code = scope.spawn(|| suite.code(ready));
        let stack = scope.spawn(|| suite.stack(tools_are_ready));
        // Both are waited for, so that none goes on while the first error is shown.
        let results = [code.join(), stack.join()];
        results.into_iter().try_for_each(|result| result.map_err(|_| anyhow!("a step panicked"))?)
    })?;
    if e2e {
        // One thread has the warehouse that stays, the other all demos.
        let tests = ["test", "--workspace", "--test", "e2e", "--", "--ignored", "--test-threads=2"];
        suite.cargo("end to end", &tests, Counted::Cargo)?;
    }
    Ok(suite.close())
}

struct Suite<'a> {
    workspace: &'a Workspace,
    instance: &'a Instance,
    tools: &'a Tools,
    e2e: bool,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: Tally,
    failures: Vec<String>,
}

impl Suite<'_> {
    /// What the compiler and its friends say, and the jobs once their tools are there.
    fn code(&self, tools_are_ready: Receiver<()>) -> Result<()> {
        self.cargo("format", &["fmt", "--all", "--check"], Counted::AsOne)?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
        self.cargo("clippy", &clippy, Counted::AsOne)?;
        let docs = self.cargo_tool("documentation", &["doc", "--workspace", "--no-deps", "--quiet"]);
        self.tool("documentation", docs.env("RUSTDOCFLAGS", "--deny warnings"), Counted::AsOne)?;
        self.cargo("unit tests", &["test", "--workspace", "--no-fail-fast"], Counted::Cargo)?;
        // Nothing comes when the tools could not be installed: `stack` says why.
        if self.e2e && tools_are_ready.recv().is_ok() {
            self.python("jobs on Spark", ToolSet::Spark, &["glue", "pipeline/redshift"])?;
        }
        Ok(())
    }

    /// What the templates are, and what they do once deployed. Says when the tools are there.
    fn stack(&self, tools_are_ready: Sender<()>) -> Result<()> {
        let sets = if self.e2e { &ToolSet::ALL } else { &[ToolSet::Sam, ToolSet::Audit][..] };
        step("install the tools", || self.tools.install(sets), |count| format!("{count} sets"))?;
        // Nobody may listen any more: then an error of `code` ends it all.
        let _ = tools_are_ready.send(());
        self.templates()?;
        if self.e2e {
            let programs = set_up::programs(self.workspace, self.instance, Functions::All)?;
            build::stage(self.workspace, self.instance, &programs, Functions::All)?;
            self.python("optional stacks", ToolSet::Tests, &["tests/stacks"])?;
            self.outside(&programs)?;
        }
        Ok(())
    }

    /// What the linters of CloudFormation say.
    fn templates(&self) -> Result<()> {
        let sam = |program, args: &[&str]| {
            let log = self.instance.logs().join("templates.log");
            Tool::new(self.tools.program(ToolSet::Sam, program), log).dir(self.workspace.root()).args(args)
        };
        self.tool("cfn-lint", sam("cfn-lint", &["template.yaml", "build.yaml", "stacks/*.yaml"]), Counted::AsOne)?;
        let validate = sam("sam", &["validate", "--lint", "--template", "template.yaml"]);
        let validate =
            validate.env("SAM_CLI_TELEMETRY", "0").env_remove("AWS_PROFILE").env("AWS_DEFAULT_REGION", "us-east-1");
        self.tool("sam validate --lint", validate, Counted::AsOne)?;
        let audit = |program, name: &str| {
            Tool::new(self.tools.program(ToolSet::Audit, program), self.log(name)).dir(self.workspace.root())
        };
        let checkov = audit("checkov", "checkov").args(["--quiet", "--compact", "--skip-download"]);
        let checkov = checkov.args(["--framework", "cloudformation", "--file", "template.yaml", "build.yaml"]);
        self.tool("checkov", checkov.args(stacks(self.workspace)?), Counted::AsOne)?;
        // Not `advisories`, whose database is no package: `cargo deny check` by hand does that too.
        let deny = audit("cargo-deny", "cargo deny").args(["check", "licenses", "bans", "sources"]);
        self.tool("cargo deny", deny, Counted::AsOne)
    }

    /// Tests in Python that need nothing deployed.
    fn python(&self, name: &str, set: ToolSet, folders: &[&str]) -> Result<()> {
        self.tool(name, self.pytest(set, name, folders)?, Counted::Pytest)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.instance.logs().join(format!("{}.log", name.replace(' ', "-")))
    }

    fn cargo_tool(&self, name: &str, args: &[&str]) -> Tool {
        Tool::new("cargo", self.log(name)).dir(self.workspace.root()).args(args).env("CARGO_TERM_COLOR", "never")
    }

    fn cargo(&self, name: &str, args: &[&str], counted: Counted) -> Result<()> {
        let tool = self.cargo_tool(name, args);
        self.tool(name, tool, counted)
    }

    fn pytest(&self, set: ToolSet, name: &str, args: &[&str]) -> Result<Tool> {
        Ok(Tool::new(self.tools.program(set, "python"), self.log(name))
            .dir(self.workspace.root())
            .args(["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"])
            .args(args)
            .env("PATH", self.tools.path_with(&[set])?)
            .env("PYTHONDONTWRITEBYTECODE", "1"))
    }

    /// Runs a step. A failure is counted and shown, and the others go on; only Ctrl-C ends them all.
    fn tool(&self, name: &str, tool: Tool, counted: Counted) -> Result<()> {
        let log = tool.log().to_path_buf();
        let before = std::fs::metadata(&log).map_or(0, |log| log.len());
        let tally = |log: &Path| match counted {
            Counted::AsOne => Ok(Tally::ONE),
            Counted::Cargo => read_from(log, before).map(|text| tally_cargo(&text)),
            Counted::Pytest => read_from(log, before).map(|text| tally_pytest(&text)),
        };
        let result = step(
            name,
            || {
                tool.run()?;
                tally(&log)
            },
            |tally| format!("{} passed", tally.passed),
        );
        match result {
            Ok((tally, _)) if tally.passed == 0 => self.failed(name, tally, "it ran no test"),
            Ok((tally, _)) => self.counts().total.add(tally),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => self.failed(name, tally(&log).unwrap_or_default(), &format!("{error:#}")),
        }
        Ok(())
    }

    fn failed(&self, name: &str, tally: Tally, why: &str) {
        // The step itself failed, whatever it could still count.
        let counted = if tally == Tally::ONE { Tally::default() } else { tally };
        note(&format!("{name}: {why}\n"));
        let mut counts = self.counts();
        counts.total.add(Tally { failed: counted.failed.max(1), ..counted });
        counts.failures.push(name.to_owned());
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tests a deployed stack from outside: the API against its contract, the page in a browser.
    fn outside(&self, programs: &Programs) -> Result<()> {
        let deployed = self.deploy();
        let (_emulator, stack, aws) = match deployed {
            Ok(deployed) => deployed,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                self.failed("deployed stack", Tally::default(), &format!("{error:#}"));
                return Ok(());
            }
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
        let folders = [
            ("API contract", "contract"),
            ("browser", "browser"),
            ("real time", "dashboard"),
            ("costs", "costs"),
            ("delivery", "delivery"),
            ("nightly batch", "pipeline"),
        ];
        for (name, folder) in folders {
            let tool = aws
                .lead(self.pytest(ToolSet::Tests, name, &[&format!("tests/{folder}")])?)
                .env("DATALESS_BASE_URL", stack.base_url()?)
                .env("DATALESS_BUCKET", stack.output("DataLakeBucket")?)
                .env("DATALESS_TABLE", stack.output("AdTrafficTable")?)
                .env("DATALESS_STACK", deploy::STACK_NAME)
                .env("DATALESS_STATE_MACHINE", stack.output("DailyPipeline")?)
                .env("DATALESS_TOPIC", stack.output("AlarmTopic")?)
                .env("DATALESS_PROGRAM", std::env::current_exe().context("this program has no path")?)
                .env("DATALESS_INSTANCE", "test")
                .env("DATALESS_LOADGEN", programs.path(LOADGEN)?)
                .env("DATALESS_METRICS_SINK", programs.path("metrics-sink")?)
                .env("DATALESS_RUNNER", spark::config_path(self.instance))
                .env("DATALESS_SPARK_PYTHON", self.tools.program(ToolSet::Spark, "python"))
                .env("DATALESS_CHROMIUM", &browser);
            self.tool(name, tool, Counted::Pytest)?;
        }
        Ok(())
    }

    fn deploy(&self) -> Result<(Emulator, Stack, Aws)> {
        let (mut emulator, _) = set_up::start_emulator(self.workspace, self.tools, self.instance, None)?;
        let aws = Aws::new(&emulator.endpoint(), self.tools, self.instance.logs());
        let running = Running { port: emulator.port(), emulator: emulator.id(), profile: Profile::Local };
        let deployed = set_up::deploy_to(self.workspace, self.tools, self.instance, running);
        let (stack, _) = emulator.explain(deployed)?;
        Ok((emulator, stack, aws))
    }

    fn close(self) -> Outcome {
        let Counts { total: Tally { passed, failed, skipped }, failures } =
            self.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            note(&format!("\nfailed: {}; the logs are in {}", failures.join(", "), self.instance.logs().display()));
        }
        println!();
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        println!("{passed} passed, {failed} failed{skipped}");
        (failed == 0).into()
    }
}

/// The templates of the optional parts.
fn stacks(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(workspace.path("stacks"))?;
    entries.map(|entry| Ok(Path::new("stacks").join(entry?.file_name()))).collect()
}

fn read_from(log: &Path, start: u64) -> Result<String> {
    let bytes = std::fs::read(log).with_context(|| format!("{} cannot be read", log.display()))?;
    let start = usize::try_from(start).unwrap_or(0).min(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[start..]).into_owned())
}

/// Adds up lines such as `test result: ok. 18 passed; 0 failed; 1 ignored; …`.
fn tally_cargo(text: &str) -> Tally {
    let mut tally = Tally::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        tally.add(Tally {
            passed: number_before(line, "passed"),
            failed: number_before(line, "failed"),
            // What is ignored here runs in a step of its own.
            skipped: 0,
        });
    }
    tally
}

/// Reads the last line such as `1 failed, 12 passed, 2 skipped in 3.45s`.
fn tally_pytest(text: &str) -> Tally {
    let is_summary = |line: &&str| line.contains(" in ") && (line.contains(" passed") || line.contains(" failed"));
    let line = text.lines().rev().find(is_summary).unwrap_or_default();
    Tally {
        passed: number_before(line, "passed"),
        failed: number_before(line, "failed") + number_before(line, "error"),
        skipped: number_before(line, "skipped"),
    }
}

fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split([' ', ';', ',', '=']).filter(|word| !word.is_empty()).collect();
    let place = words.iter().position(|found| found.trim_end_matches('s') == word.trim_end_matches('s'));
    place.and_then(|place| words.get(place.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let text = "test a ... ok\ntest result: ok. 18 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.6s\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(tally_cargo(text), Tally { passed: 21, failed: 2, skipped: 0 });
        assert_eq!(tally_cargo("error: could not compile"), Tally::default());
    }

    #[test]
    fn the_summary_of_pytest_is_read() {
        let tally = tally_pytest("....\n1 failed, 12 passed, 2 skipped, 1 warning in 3.45s\n");
        assert_eq!(tally, Tally { passed: 12, failed: 1, skipped: 2 });
        assert_eq!(tally_pytest("=== 5 passed, 2 errors in 1.00s ==="), Tally { passed: 5, failed: 2, skipped: 0 });
        assert_eq!(tally_pytest("7 passed in 0.12s"), Tally { passed: 7, failed: 0, skipped: 0 });
        assert_eq!(tally_pytest("no tests ran in 0.01s"), Tally::default());
    }
}
