//! Child processes. Each has a log, and none outlives this process unless it is detached.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::environment;
use crate::log_file::tail;
use crate::ui;

/// Ctrl-C was pressed, or the process was asked to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The process groups that must not outlive this process.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// What a command returns when the user stopped it.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// On Ctrl-C, terminates all children and then ends this process in the ordinary way. A second Ctrl-C kills them.
pub fn stop_children_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        let signal = if INTERRUPTED.swap(true, Ordering::SeqCst) { Signal::KILL } else { Signal::TERM };
        for group in groups().iter() {
            let _ = kill_process_group(*group, signal);
        }
    })
    .context("failed to handle signals")
}

/// Fails if Ctrl-C was pressed.
pub fn check_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Interrupted.into()) } else { Ok(()) }
}

fn groups() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command to run: built like `std::process::Command`, with a log.
#[derive(Clone, Debug)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(String, OsString)>,
    removed: Vec<OsString>,
    dir: Option<PathBuf>,
    log: PathBuf,
}

impl Tool {
    /// A command whose output is appended to the log file. It inherits only the variables that tools need: language and
    /// time zone are the same for all users.
    pub fn new(program: impl AsRef<OsStr>, log: PathBuf) -> Self {
        let tool = Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            removed: Vec::new(),
            dir: None,
            log,
        };
        tool.without(environment::is_foreign).env("LC_ALL", "C.UTF-8").env("TZ", "UTC")
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn envs<V: AsRef<OsStr>>(self, envs: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        envs.into_iter().fold(self, |tool, (name, value)| tool.env(name, value))
    }

    /// Does not pass on this variable of this process.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Does not pass on such variables of this process. Those set by [`Self::env`] are kept.
    pub fn without(mut self, is_foreign: impl Fn(&str) -> bool) -> Self {
        self.removed.extend(environment::inherited(is_foreign));
        self
    }

    /// Passes on only these variables of this process.
    pub fn inherit_only(self, names: &[&str]) -> Self {
        self.without(|name| !names.contains(&name))
    }

    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_path_buf());
        self
    }

    /// The command as a user would type it.
    pub fn shell_line(&self) -> String {
        let words = self.args.iter().map(|arg| quote(&arg.to_string_lossy()));
        let program = quote(&self.program.to_string_lossy());
        std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Runs it and waits for its end.
    pub fn run(&self) -> Result<()> {
        let status = self.spawn(Stdio::from(self.open_log()?))?.wait()?;
        self.check(status)
    }

    /// Runs it on the terminal of this process and returns its exit status.
    pub fn attached(&self) -> Result<ExitStatus> {
        let status = self.track(self.command())?.wait()?;
        check_interrupted()?;
        Ok(status)
    }

    /// Runs it and returns its standard output. Standard error goes to the log.
    pub fn output(&self) -> Result<String> {
        let (text, ended) = self.output_and_end()?;
        ended.and(Ok(text))
    }

    /// As [`Self::output`], for a command that may print something useful and then fail.
    pub fn output_and_end(&self) -> Result<(String, Result<()>)> {
        let mut child = self.spawn(Stdio::piped())?;
        let mut text = String::new();
        let read = child.child.stdout.take().map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text));
        let ended = self.check(child.wait()?);
        match read.with_context(|| format!("failed to read the output of {}", self.name())) {
            Ok(_) => Ok((text, ended)),
            Err(error) => ended.and(Err(error)),
        }
    }

    /// Starts it. It ends with this process, unless it is [`Running::detach`]ed.
    pub fn start(&self) -> Result<Running> {
        self.spawn(Stdio::from(self.open_log()?))
    }

    fn command(&self) -> Command {
        ui::verbose(&self.shell_line());
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        for name in &self.removed {
            command.env_remove(name);
        }
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn spawn(&self, stdout: Stdio) -> Result<Running> {
        let mut log = self.open_log()?;
        writeln!(log, "$ {}", self.shell_line())?;
        ui::runs_with_log(&self.log);
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(stdout).stderr(log);
        self.track(command)
    }

    fn track(&self, mut command: Command) -> Result<Running> {
        check_interrupted()?;
        // A process group of its own, so that this process forwards Ctrl-C to it and to all its descendants.
        let child = command.process_group(0).spawn().with_context(|| format!("failed to start {}", self.name()))?;
        let group = Pid::from_child(&child);
        groups().push(group);
        Ok(Running { child, group, detached: false })
    }

    fn open_log(&self) -> Result<File> {
        if let Some(dir) = self.log.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.log);
        file.with_context(|| format!("failed to write the log {}", self.log.display()))
    }

    fn check(&self, status: ExitStatus) -> Result<()> {
        check_interrupted()?;
        if status.success() {
            return Ok(());
        }
        bail!("{} failed ({status}); the end of its log {}:\n{}", self.name(), self.log.display(), tail(&self.log, 15))
    }

    fn name(&self) -> String {
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program);
        let words = self.args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| !arg.starts_with('-'));
        let words = words.take(2).filter(|arg| !arg.contains('/'));
        std::iter::once(program.to_string_lossy()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// A running child. Dropping it stops it and every process that it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Pid,
    detached: bool,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and every process that it started.
    pub fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// Lets it outlive this process.
    pub fn detach(&mut self) {
        self.detached = true;
        self.forget();
    }

    /// Its exit status, when it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    fn forget(&self) {
        groups().retain(|group| *group != self.group);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.detached {
            return;
        }
        stop_group(self.group, || {
            let _ = self.child.try_wait();
        });
        let _ = self.child.wait();
        self.forget();
    }
}

/// Whether some process of the group still runs.
pub fn group_runs(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
}

/// Whether a process has an argument that ends in `program` and, after it, this whole path as another argument. False if
/// there is no such process.
pub fn has_arguments(pid: Pid, program: &str, argument: &Path) -> bool {
    let number = pid.as_raw_nonzero().to_string();
    if let Ok(line) = std::fs::read(format!("/proc/{number}/cmdline")) {
        return are_arguments(&line, program, argument);
    }
    // `ps` prints blanks between arguments and within them.
    let printed = Command::new("ps").args(["-ww", "-o", "args=", "-p", &number]).output();
    let line = printed.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    line.contains(program) && line.trim_end_matches('\n').ends_with(&format!(" {}", argument.display()))
}

/// The same for the arguments as Linux reports them: each ends with a zero byte.
fn are_arguments(line: &[u8], program: &str, argument: &Path) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    words.any(|word| word.ends_with(program.as_bytes())) && words.any(|word| word == argument.as_os_str().as_bytes())
}

/// Terminates all processes of a group, and kills those that are left after ten seconds.
pub fn stop_group(group: Pid, mut reap: impl FnMut()) {
    let _ = kill_process_group(group, Signal::TERM);
    for _ in 0..100 {
        reap();
        if !group_runs(group) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = kill_process_group(group, Signal::KILL);
}

fn quote(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/tool.log");
        (dir, log)
    }

    #[test]
    fn a_command_is_printed_for_a_shell() {
        let tool = Tool::new("aws", "log".into()).args(["s3", "ls", "it's", "", "a b", "s3://bucket/key=1/"]);
        assert_eq!(tool.shell_line(), r"aws s3 ls 'it'\''s' '' 'a b' s3://bucket/key=1/");
    }

    #[test]
    fn a_failure_names_the_log_and_shows_its_end() {
        let (_dir, log) = log();
        let error = Tool::new("sh", log.clone()).args(["-c", "echo out; echo broken >&2; exit 3"]).run().unwrap_err();
        let message = error.to_string();
        assert!(message.contains("sh failed (exit status: 3)"), "{message}");
        assert!(message.contains(&log.display().to_string()) && message.ends_with("    broken"), "{message}");
    }

    #[test]
    fn output_is_captured_and_errors_go_to_the_log() {
        let (_dir, log) = log();
        let output = Tool::new("sh", log.clone()).args(["-c", "echo out; echo note >&2"]).output().unwrap();
        assert_eq!(output, "out\n");
        assert!(std::fs::read_to_string(log).unwrap().ends_with("note\n"));
    }

    #[test]
    fn a_command_has_a_fixed_locale_and_time_zone() {
        let (_dir, log) = log();
        let output = Tool::new("sh", log).args(["-c", "echo $LC_ALL $TZ"]).output().unwrap();
        assert_eq!(output, "C.UTF-8 UTC\n");
    }

    #[test]
    fn the_output_of_a_failed_command_is_kept() {
        let (_dir, log) = log();
        let tool = Tool::new("sh", log).args(["-c", "echo out; exit 3"]);
        let (output, ended) = tool.output_and_end().unwrap();
        assert_eq!(output, "out\n");
        assert!(ended.unwrap_err().to_string().contains("exit status: 3"));
        assert!(tool.output().is_err());
    }

    #[test]
    fn an_argument_is_a_whole_word() {
        let has_arguments = |line: &str, path: &str| are_arguments(line.as_bytes(), "tools/start.py", Path::new(path));
        assert!(has_arguments("python\0/a/tools/start.py\0/a b/.dataless/up\0", "/a b/.dataless/up"));
        assert!(has_arguments("python\0/a/tools/start.py\0/a\nb/'\"/up\0", "/a\nb/'\"/up"));
        for line in [
            // A checkout below a folder whose name ends with a space, or in a folder of the same name elsewhere.
            "python\0/a/tools/start.py\0/x /b/.dataless/up\0",
            "python\0/a/tools/start.py\0/mnt/b/.dataless/up\0",
            "python\0/a/tools/start.py\0/b/.dataless/up2\0",
            "python\0/a/tools/other.py\0/b/.dataless/up\0",
            "vi\0/b/.dataless/up\0/a/tools/start.py\0",
            "",
        ] {
            assert!(!has_arguments(line, "/b/.dataless/up"), "{line}");
        }
    }

    #[test]
    fn dropping_a_child_stops_all_its_descendants() {
        let (_dir, log) = log();
        let running = Tool::new("sh", log).args(["-c", "sleep 600 & sleep 600"]).start().unwrap();
        let group = running.group;
        assert!(group_runs(group));
        drop(running);
        assert!(!group_runs(group));
    }
}
