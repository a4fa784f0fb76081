//! The pinned tools under `.dataless/tools`: a Python virtual environment a set, made from `requirements/<set>.txt`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::process::Tool;
use crate::workspace::{Instance, Workspace};

/// A set of tools that fit together. They are apart, since their own requirements exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolSet {
    /// The emulator that answers as AWS.
    Emulator,
    /// SAM, cfn-lint and cargo-lambda.
    Sam,
    /// Spark as Glue runs it, the AWS command line, and pytest.
    Spark,
    /// What tests a running warehouse from outside: a browser's driver, a tester of HTTP contracts.
    Tests,
    /// What looks for weak spots in templates, and for crates that must not be there.
    Audit,
}

impl ToolSet {
    pub const ALL: [Self; 5] = [Self::Emulator, Self::Sam, Self::Spark, Self::Tests, Self::Audit];

    /// What running the warehouse takes.
    pub const RUN: [Self; 3] = [Self::Emulator, Self::Sam, Self::Spark];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Emulator => "emulator",
            Self::Sam => "sam",
            Self::Spark => "spark",
            Self::Tests => "tests",
            Self::Audit => "audit",
        }
    }
}

/// The tools of a checkout.
#[derive(Clone, Debug)]
pub struct Tools {
    workspace: Workspace,
}

/// The Python that Glue 5.1 runs, and its Spark.
const PYTHON_VERSION: &str = "3.11";

/// The least Java that Spark 3.5 and Glue 5.1 agree on.
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
        std::env::join_paths(all).context("PATH cannot be made")
    }

    /// Installs what is missing or no longer as its requirements say, all sets at a time.
    pub fn install(&self, sets: &[ToolSet]) -> Result<usize> {
        let missing: Vec<ToolSet> = sets.iter().copied().filter(|set| !self.is_ready(*set)).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let python = find_python()?;
        std::thread::scope(|scope| {
            let installs: Vec<_> = missing.iter().map(|set| scope.spawn(|| self.install_set(*set, &python))).collect();
            // All are waited for, so that none goes on while the first error is shown.
            let results: Vec<_> = installs.into_iter().map(|install| install.join()).collect();
            results.into_iter().try_for_each(|result| result.map_err(|_| anyhow!("an installation panicked"))?)
        })?;
        Ok(missing.len())
    }

    /// Whether a set is installed as its requirements say.
    pub fn is_ready(&self, set: ToolSet) -> bool {
        let installed = std::fs::read(self.stamp(set));
        installed.is_ok_and(|installed| std::fs::read(self.requirements(set)).is_ok_and(|wanted| installed == wanted))
    }

    fn install_set(&self, set: ToolSet, python: &Path) -> Result<()> {
        let (dir, requirements, log) = (self.dir(set), self.requirements(set), self.log(set));
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        }
        Tool::new(python, log.clone()).args(["-m", "venv"]).arg(&dir).run()?;
        // The lists are complete and have hashes: pip need not look for more, and must take nothing else.
        Tool::new(dir.join("bin/python"), log)
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--no-deps",
                "--require-hashes",
            ])
            .arg("--requirement")
            .arg(&requirements)
            .run()
            .with_context(|| format!("the tools of {} cannot be installed", requirements.display()))?;
        // Written last: what was cut short is made anew.
        std::fs::copy(&requirements, self.stamp(set)).context("the tools cannot be marked as ready")?;
        Ok(())
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

/// A Python of the version that Glue runs.
pub fn find_python() -> Result<PathBuf> {
    for name in ["python3.11", "python3"] {
        let script = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";
        let Some(printed) = printed_by(Command::new(name).args(["-c", script])) else { continue };
        if let Some((PYTHON_VERSION, executable)) = printed.trim().split_once('\n') {
            return Ok(PathBuf::from(executable));
        }
    }
    bail!(
        "Python {PYTHON_VERSION} is needed, the version that Glue 5.1 runs: install it so that `python3.11` is on the PATH"
    )
}

/// Checks that Java is there, in the version that Glue runs.
pub fn check_java() -> Result<String> {
    let hint = "install a JDK 17 so that `java` is on the PATH, or set JAVA_HOME";
    let java = std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"));
    let printed = printed_by(Command::new(java).arg("-version")).with_context(|| format!("Java is missing: {hint}"))?;
    let version = printed.split('"').nth(1).unwrap_or_default().to_owned();
    let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
    if major != Some(JAVA_VERSION) {
        bail!("Java {version} was found, Spark needs {JAVA_VERSION}, the version that Glue 5.1 runs: {hint}");
    }
    Ok(version)
}

/// A Chromium for the browser tests: one that is there, or Debian's, which only its administrator can install.
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

/// What a command prints, on either stream, when it succeeds.
fn printed_by(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).ok()
}
