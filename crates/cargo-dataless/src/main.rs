#![doc = include_str!("../README.md")]

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A build that is shorter than this is not reported.
const SILENCE: Duration = Duration::from_millis(1500);

/// How often progress is reported without a terminal.
const HEARTBEAT: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(20);

/// The program that this one builds and executes.
const PROGRAM: &str = "dataless";

/// How long the long commands usually take on two cores: the first time in a checkout, and after.
const DURATIONS: [(&str, &str); 2] = [
    ("demo", "about 4 minutes the first time, less than one after"),
    ("test", "about 35 minutes; `--fast` takes less than 3 once things are built"),
];

/// A line on standard error. `eprintln!` would panic if standard error is closed.
macro_rules! report {
    ($($text:tt)*) => { drop(writeln!(io::stderr(), $($text)*)) };
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            report!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some(duration) = usual_duration(&arguments) {
        report!("This takes {duration}.");
    }
    let root = env::var_os("CARGO_MANIFEST_DIR").map(|crate_dir| PathBuf::from(crate_dir).join("../.."));
    let root = root.ok_or("this program is started by cargo: use `cargo dataless`")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--workspace", "--bin", PROGRAM]).current_dir(root).stdin(Stdio::null());
    let status =
        wait(without_cargos_variables(&mut cargo).spawn().map_err(|error| format!("failed to start cargo: {error}"))?)?;
    if !status.success() {
        return Err(format!("failed to build the command line: {status}"));
    }
    // Cargo builds it next to this program, in any target directory.
    let program = env::current_exe().map_err(|error| error.to_string())?.with_file_name(PROGRAM);
    let mut program = Command::new(program);
    // `exec` returns only on failure.
    let error = without_cargos_variables(&mut program).args(arguments).exec();
    Err(format!("failed to start {}: {error}", program.get_program().display()))
}

/// How long the command usually takes, if it takes long.
fn usual_duration(arguments: &[OsString]) -> Option<&'static str> {
    const SHORT: [&str; 3] = ["-h", "--help", "--list"];
    if arguments.iter().any(|argument| SHORT.iter().any(|short| argument == short)) {
        return None;
    }
    let command = arguments.iter().find(|argument| !argument.to_string_lossy().starts_with('-'))?;
    DURATIONS.iter().find(|(name, _)| command == name).map(|(_, duration)| *duration)
}

/// Removes the variables that `cargo run` sets. Otherwise build scripts that read them would run again, and their crates would
/// be compiled again, each time that cargo runs below cargo. The same holds for the user's compiler flags, which no other
/// build here has.
fn without_cargos_variables(command: &mut Command) -> &mut Command {
    let is_cargos = |name: &OsStr| {
        let name = name.to_string_lossy();
        let prefixes =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUSTC", "RUSTFLAGS"];
        let names = ["CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS"];
        name != "CARGO_TARGET_DIR"
            && (prefixes.iter().any(|prefix| name.starts_with(prefix)) || names.iter().any(|known| *known == name))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| is_cargos(name)) {
        command.env_remove(name);
    }
    command
}

/// Waits for the build, and reports its progress if it takes long.
fn wait(mut build: Child) -> Result<ExitStatus, String> {
    let (started, is_terminal) = (Instant::now(), io::stderr().is_terminal());
    let mut reported: Option<Instant> = None;
    loop {
        if let Some(status) = build.try_wait().map_err(|error| error.to_string())? {
            if let (Some(_), true) = (reported, status.success()) {
                let end = if is_terminal { "\r\x1b[K" } else { "" };
                report!("{end}✓ {:<28} {:>6.1} s", "build the command line", started.elapsed().as_secs_f64());
            }
            return Ok(status);
        }
        let elapsed = started.elapsed();
        let due = match reported {
            None => elapsed > SILENCE,
            Some(last) => last.elapsed() > if is_terminal { Duration::from_secs(1) } else { HEARTBEAT },
        };
        if due {
            if is_terminal {
                let _ = write!(io::stderr(), "\r… build the command line {:>4} s", elapsed.as_secs());
            } else {
                report!("… build the command line: {} s so far", elapsed.as_secs());
            }
            reported = Some(Instant::now());
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration_of(line: &str) -> Option<&'static str> {
        usual_duration(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn long_commands_announce_how_long_they_take() {
        assert!(duration_of("demo --json").is_some());
        assert!(duration_of("-v test").is_some());
        for short in ["status", "demo --help", "test --list", "logs demo"] {
            assert_eq!(duration_of(short), None, "{short}");
        }
    }
}
