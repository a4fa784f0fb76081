//! The pinned tools in `.dataless/tools`: one Python virtual environment per set, which uv creates from
//! `requirements/<set>.txt`. These lists are generated from `requirements/<set>.in`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::environment::{self, without};
use crate::process::Tool;
use crate::workspace::{Instance, Workspace, remove_folder};

/// A set of tools. The sets are separate because their requirements conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToolSet {
    /// The emulator of AWS.
    Emulator,
    /// SAM, cfn-lint and cargo-lambda.
    Sam,
    /// Spark in Glue's version, the AWS command line, and pytest.
    Spark,
    /// Tests of a running warehouse from outside: a browser driver, a tester of HTTP contracts.
    Tests,
    /// Audits of templates and of the dependencies.
    Audit,
    /// Tests and checks of the code itself: cargo-nextest, ruff, mypy.
    Code,
    /// The proxy that injects faults between functions and AWS.
    Chaos,
    /// Installs the other sets.
    Uv,
}

impl ToolSet {
    pub const ALL: [Self; 8] =
        [Self::Emulator, Self::Sam, Self::Spark, Self::Tests, Self::Audit, Self::Code, Self::Chaos, Self::Uv];

    /// The sets that a warehouse needs.
    pub const RUN: [Self; 3] = [Self::Emulator, Self::Sam, Self::Spark];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Emulator => "emulator",
            Self::Sam => "sam",
            Self::Spark => "spark",
            Self::Tests => "tests",
            Self::Audit => "audit",
            Self::Code => "code",
            Self::Chaos => "chaos",
            Self::Uv => "uv",
        }
    }
}

/// The tools of a checkout.
#[derive(Clone, Debug)]
pub struct Tools {
    workspace: Workspace,
}

/// The Python version of Glue 5.1, and of Spark here.
const PYTHON_VERSION: &str = "3.11";

/// The lowest version that all tools support.
const LOWEST_PYTHON: &str = "3.11.5";

/// The list of build tools for packages without wheels, without its extension.
const BUILD: &str = "requirements/build";

/// All lists of tools, without their extensions.
fn lists() -> Vec<String> {
    let sets = ToolSet::ALL.iter().map(|set| format!("requirements/{}", set.name()));
    sets.chain([BUILD.to_owned(), "tools/delivery/requirements".to_owned()]).collect()
}

/// The Java version of Glue 5.1, which Spark 3.5 supports.
const JAVA_VERSION: u32 = 17;

impl Tools {
    pub fn new(workspace: &Workspace) -> Self {
        Self { workspace: workspace.clone() }
    }

    /// A program of a set, such as `sam` of [`ToolSet::Sam`].
    pub fn program(&self, set: ToolSet, name: &str) -> PathBuf {
        self.bin(set).join(name)
    }

    /// The folder of a set's programs.
    pub fn bin(&self, set: ToolSet) -> PathBuf {
        self.dir(set).join("bin")
    }

    /// `PATH` with the sets' programs first.
    pub fn path_with(&self, sets: &[ToolSet]) -> Result<OsString> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let all = sets.iter().map(|set| self.bin(*set)).chain(std::env::split_paths(&inherited));
        std::env::join_paths(all).context("failed to set PATH")
    }

    /// Installs the sets that are missing or outdated, all in parallel.
    pub fn install(&self, sets: &[ToolSet]) -> Result<usize> {
        let missing: Vec<ToolSet> = sets.iter().copied().filter(|set| !self.is_ready(*set)).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let python = find_python()?;
        self.install_uv(&python)?;
        std::thread::scope(|scope| {
            let others = missing.iter().filter(|set| **set != ToolSet::Uv);
            let installs: Vec<_> = others.map(|set| scope.spawn(|| self.install_set(*set, &python))).collect();
            // All are joined, so that none continues while the first error is shown.
            let results: Vec<_> = installs.into_iter().map(|install| install.join()).collect();
            results.into_iter().try_for_each(|result| result.map_err(|_| anyhow!("an installation panicked"))?)
        })?;
        Ok(missing.len())
    }

    /// Generates the hashed lists from their sources, and returns their paths. Listed versions stay if their source allows
    /// them; with `upgrade`, all are upgraded as far as possible.
    pub fn lock(&self, upgrade: bool) -> Result<Vec<PathBuf>> {
        self.install(&[ToolSet::Uv])?;
        let lists = lists();
        for list in &lists {
            self.uv(self.log(ToolSet::Uv))
                .dir(self.workspace.root())
                .args(["pip", "compile", "--quiet", "--python-version", LOWEST_PYTHON, "--generate-hashes"])
                .args(["--no-annotate", "--no-header", &format!("{list}.in"), "--output-file", &format!("{list}.txt")])
                .args(upgrade.then_some("--upgrade"))
                .run()?;
        }
        Ok(lists.iter().map(|list| self.workspace.path(&format!("{list}.txt"))).collect())
    }

    /// Whether a set is installed and up to date.
    pub fn is_ready(&self, set: ToolSet) -> bool {
        let installed = std::fs::read(self.stamp(set));
        installed.is_ok_and(|installed| std::fs::read(self.requirements(set)).is_ok_and(|wanted| installed == wanted))
    }

    /// Installs uv with pip, which is part of Python.
    fn install_uv(&self, python: &Path) -> Result<()> {
        let (set, log) = (ToolSet::Uv, self.log(ToolSet::Uv));
        if self.is_ready(set) {
            return Ok(());
        }
        remove_folder(&self.dir(set))?;
        Tool::new(python, log.clone()).args(["-m", "venv"]).arg(self.dir(set)).run()?;
        let pip = Tool::new(self.program(set, "python"), log).args(["-m", "pip", "install"]);
        pip.args(["--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "--requirement"])
            .arg(self.requirements(set))
            .run()
            .context("failed to install uv, which installs the tools")?;
        self.mark_ready(set)
    }

    fn install_set(&self, set: ToolSet, python: &Path) -> Result<()> {
        let requirements = self.requirements(set);
        remove_folder(&self.dir(set))?;
        self.uv(self.log(set)).args(["venv", "--python"]).arg(python).arg(self.dir(set)).run()?;
        // The lists are complete and hashed: uv must not resolve or install anything else.
        self.uv(self.log(set))
            .args(["pip", "install", "--no-deps", "--require-hashes", "--python"])
            .arg(self.program(set, "python"))
            .arg("--build-constraints")
            .arg(self.workspace.path(&format!("{BUILD}.txt")))
            .arg("--requirements")
            .arg(&requirements)
            .run()
            .with_context(|| format!("failed to install the tools of {}", requirements.display()))?;
        self.mark_ready(set)
    }

    /// uv without the user's configuration, and only with the given Python.
    fn uv(&self, log: PathBuf) -> Tool {
        let tool = Tool::new(self.program(ToolSet::Uv, "uv"), log);
        tool.env("UV_NO_CONFIG", "1").env("UV_PYTHON_DOWNLOADS", "never").env("UV_NO_PROGRESS", "1")
    }

    /// Must come last, so that an interrupted installation is repeated.
    fn mark_ready(&self, set: ToolSet) -> Result<()> {
        let marked = std::fs::copy(self.requirements(set), self.stamp(set));
        marked.map(drop).context("failed to mark the tools as installed")
    }

    /// The folder of a set.
    pub fn dir(&self, set: ToolSet) -> PathBuf {
        self.workspace.tools().join(set.name())
    }

    fn stamp(&self, set: ToolSet) -> PathBuf {
        self.dir(set).join("installed.txt")
    }

    fn requirements(&self, set: ToolSet) -> PathBuf {
        self.workspace.path(&format!("requirements/{}.txt", set.name()))
    }

    fn log(&self, set: ToolSet) -> PathBuf {
        self.workspace.tools().join(format!("logs/{}.log", set.name()))
    }
}

/// Finds a Python of Glue's version.
pub fn find_python() -> Result<PathBuf> {
    for name in ["python3.11", "python3"] {
        let script = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";
        let Some(printed) = output_of(without(Command::new(name).args(["-c", script]), environment::is_foreign)) else {
            continue;
        };
        if let Some((PYTHON_VERSION, executable)) = printed.trim().split_once('\n') {
            return Ok(PathBuf::from(executable));
        }
    }
    bail!(
        "could not find Python {PYTHON_VERSION}, the version of Glue 5.1: install it so that `python3.11` is on the PATH"
    )
}

/// The version of the Rust compiler, such as `1.95.0`.
pub fn rust_version() -> Result<String> {
    let printed = output_of(without(Command::new("rustc").arg("--version"), environment::is_foreign))
        .context("could not find rustc")?;
    printed.split(' ').nth(1).map(str::to_owned).context("failed to read the version of rustc")
}

/// Checks that Java is installed, in Glue's version.
pub fn check_java() -> Result<String> {
    let hint = "install a JDK 17 so that `java` is on the PATH, or set JAVA_HOME";
    let java = std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"));
    let printed = output_of(without(Command::new(java).arg("-version"), environment::is_foreign))
        .with_context(|| format!("could not find Java: {hint}"))?;
    let version = printed.split('"').nth(1).unwrap_or_default().to_owned();
    let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
    if major != Some(JAVA_VERSION) {
        bail!("found Java {version}, but Spark needs {JAVA_VERSION}, the version of Glue 5.1: {hint}");
    }
    Ok(version)
}

/// Finds a Chromium for the browser tests, or installs Debian's, if this user is root.
pub fn chromium(instance: &Instance) -> Result<PathBuf> {
    let find = || ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path);
    if let Some(path) = find() {
        return Ok(path);
    }
    let hint = "the browser tests need Chromium: install it so that `chromium` is on the PATH";
    if on_path("apt-get").is_none() || !rustix::process::geteuid().is_root() {
        bail!("{hint}");
    }
    let apt = |args: &[&str]| {
        let log = instance.logs().join("chromium.log");
        Tool::new("apt-get", log).env("DEBIAN_FRONTEND", "noninteractive").args(args).run().context(hint)
    };
    apt(&["update", "--quiet"])?;
    apt(&["install", "--quiet", "--yes", "--no-install-recommends", "chromium"])?;
    find().context(hint)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The output of a command on both streams, if it succeeds.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The releases in a list, such as `uv==0.13.8`.
    fn releases(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(['#', ' ']) && line.contains("=="));
        lines.map(|line| line.split([' ', ';']).next().unwrap().to_owned()).collect()
    }

    #[test]
    fn lock_files_have_every_requirement_and_a_hash_per_release() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for list in lists() {
            let locked = root.join(format!("{list}.txt"));
            let releases_of_list = releases(&locked);
            for wanted in releases(&root.join(format!("{list}.in"))) {
                // An extra is not a separate release.
                let (name, version) = wanted.split_once("==").unwrap();
                let release = format!("{}=={version}", name.split('[').next().unwrap());
                assert!(releases_of_list.contains(&release), "{list}.txt lacks {release}: run `cargo dataless lock`");
            }
            let text = std::fs::read_to_string(&locked).unwrap();
            let hashed = text.lines().filter(|line| line.contains("==")).all(|line| line.ends_with('\\'));
            assert!(hashed && text.contains("--hash=sha256:"), "{list}.txt has a release without a hash");
        }
    }
}
