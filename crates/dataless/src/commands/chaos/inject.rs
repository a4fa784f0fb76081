//! Faults while events are sent: processes that are killed, and a clock that jumps.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use rustix::process::{Pid, Signal, getpgid, kill_process};

use super::report::Injected;
use super::schedule::{Fault, Kind, Phase};
use super::testbed::Testbed;
use crate::process::check_interrupted;

/// The message of the emulator if a function dies in the middle of a call.
const DIED_IN_A_CALL: &str = "Runtime exited before returning a response";

/// The folder of processes and their variables.
const PROCESSES: &str = "/proc";

/// How long before midnight to set the clock, in seconds.
const BEFORE_MIDNIGHT: f64 = 5.0;
/// The most seconds that the clock jumps: no event may be dated over an hour after the end of its arrival hour.
const FURTHEST_JUMP: f64 = 3_000.0;

/// How often to kill a function until one dies in the middle of a call.
const MOST_KILLS: usize = 20;

enum Step {
    Begin,
    End,
}

/// Injects the faults of the load, each at its time. `is_over` returns whether the load has ended.
pub fn run(
    testbed: &Testbed<'_>,
    faults: &[Fault],
    started: Instant,
    is_over: &dyn Fn() -> bool,
) -> Result<Vec<Injected>> {
    let faults: Vec<&Fault> = faults.iter().filter(|fault| fault.fault.phase() == Phase::Load).collect();
    let mut steps: Vec<(f64, usize, Step)> = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        steps.push((fault.at, number, Step::Begin));
        if fault.seconds > 0.0 {
            steps.push((fault.at + fault.seconds, number, Step::End));
        }
    }
    steps.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut injected: Vec<Injected> = faults.iter().map(|fault| not_injected(fault)).collect();
    let mut clock = Clock::default();
    for (at, number, step) in steps {
        wait_until(started, at, || matches!(step, Step::Begin) && is_over())?;
        let record = &mut injected[number];
        match step {
            Step::Begin if is_over() => record.evidence.push("the load had ended".to_owned()),
            Step::Begin => {
                record.injected_at = Some(started.elapsed().as_secs_f64());
                let (injected, evidence) = begin(testbed, &mut clock, faults[number])?;
                record.injected = injected;
                record.evidence.extend(evidence);
            }
            Step::End if record.injected => end(testbed, &mut clock, faults[number])?,
            Step::End => {}
        }
    }
    Ok(injected)
}

pub fn not_injected(fault: &Fault) -> Injected {
    Injected { fault: fault.clone(), injected: false, injected_at: None, evidence: Vec::new() }
}

/// Waits for a time after the start, or until `ends_early`.
pub fn wait_until(started: Instant, at: f64, ends_early: impl Fn() -> bool) -> Result<()> {
    while started.elapsed().as_secs_f64() < at && !ends_early() {
        check_interrupted()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The clock of arrivals, in seconds ahead of the machine's clock.
#[derive(Default)]
struct Clock {
    /// Since midnight was moved near.
    ahead: f64,
    /// While it jumps.
    jump: f64,
}

impl Clock {
    fn set(&self, testbed: &Testbed<'_>) -> Result<()> {
        testbed.set_clock(self.ahead + self.jump)
    }

    fn move_midnight_near(&mut self, testbed: &Testbed<'_>) -> Result<Vec<String>> {
        let now = Utc::now();
        let midnight = (now + TimeDelta::days(1)).date_naive().and_time(NaiveTime::MIN).and_utc();
        self.ahead = (midnight - now).as_seconds_f64() - BEFORE_MIDNIGHT;
        self.set(testbed)?;
        Ok(vec![format!("arrivals were {:.0} s ahead from then on", self.ahead)])
    }

    /// Jumps ahead or back. The same fault always jumps by the same amount.
    fn jump(&mut self, testbed: &Testbed<'_>, fault: &Fault) -> Result<Vec<String>> {
        let drawn = fastrand::Rng::with_seed(fault.at.to_bits()).f64();
        self.jump = ((drawn * 2.0 - 1.0) * FURTHEST_JUMP).round();
        self.set(testbed)?;
        Ok(vec![format!("by {} s", self.jump)])
    }
}

/// Injects a fault. Returns whether it could, and the evidence.
fn begin(testbed: &Testbed<'_>, clock: &mut Clock, fault: &Fault) -> Result<(bool, Vec<String>)> {
    let evidence = match fault.fault {
        Kind::KillFunction if !Path::new(PROCESSES).is_dir() => {
            return Ok((false, vec![format!("finding functions requires {PROCESSES}")]));
        }
        Kind::KillFunction => kill_function(testbed, &fault.target)?,
        Kind::KillEmulator => kill_emulator(testbed)?,
        Kind::Midnight => clock.move_midnight_near(testbed)?,
        Kind::ClockJump => clock.jump(testbed, fault)?,
        other => bail!("{} is not a fault of the load", other.name()),
    };
    Ok((true, evidence))
}

fn end(testbed: &Testbed<'_>, clock: &mut Clock, fault: &Fault) -> Result<()> {
    match fault.fault {
        Kind::ClockJump => {
            clock.jump = 0.0;
            clock.set(testbed)
        }
        _ => Ok(()),
    }
}

/// Kills functions with this name until one dies in the middle of a call.
fn kill_function(testbed: &Testbed<'_>, target: &str) -> Result<Vec<String>> {
    let log = testbed.emulator_log();
    let before = count_lines(&log, DIED_IN_A_CALL)?;
    let mut kills = 0;
    for _ in 0..MOST_KILLS {
        check_interrupted()?;
        if let Some(pid) = functions(testbed, target)?.first() {
            kills += usize::from(kill_process(*pid, Signal::KILL).is_ok());
        }
        // Time to restart, so that the next one is killed during a call and not before.
        std::thread::sleep(Duration::from_millis(400));
        if count_lines(&log, DIED_IN_A_CALL)? > before {
            return Ok(vec![format!("killed {kills} times: the last in the middle of a call")]);
        }
    }
    Ok(vec![format!("killed {kills} times, never in the middle of a call")])
}

/// The processes of this emulator's functions whose names contain `part`.
fn functions(testbed: &Testbed<'_>, part: &str) -> Result<Vec<Pid>> {
    const NAME: &[u8] = b"AWS_LAMBDA_FUNCTION_NAME=";
    let group = testbed.emulator_id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(PROCESSES)?.flatten() {
        // Kernel threads have neither variables nor a group.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let name = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(NAME));
        if !name.is_some_and(|name| String::from_utf8_lossy(name).contains(part)) {
            continue;
        }
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        found.extend(pid.filter(|pid| getpgid(Some(*pid)).ok() == group));
    }
    Ok(found)
}

/// Kills the emulator and starts it again.
pub fn kill_emulator(testbed: &Testbed<'_>) -> Result<Vec<String>> {
    let saved = state_saved(&testbed.instance.emulator().join("state"))?;
    let seconds = testbed.kill_emulator()?;
    Ok(vec![
        format!("it answered again after {seconds:.1} s"),
        format!("its last saved state was from {}", saved.format("%H:%M:%S UTC")),
    ])
}

/// When the emulator last saved its state. Everything except S3 is only in memory until then.
fn state_saved(folder: &Path) -> Result<DateTime<Utc>> {
    let mut latest: Option<DateTime<Utc>> = None;
    for entry in std::fs::read_dir(folder).context("the emulator has not saved its state")? {
        latest = latest.max(Some(entry?.metadata()?.modified()?.into()));
    }
    latest.context("the emulator has not saved its state")
}

/// Counts the lines of a log that contain a text.
pub fn count_lines(log: &Path, text: &str) -> Result<usize> {
    let bytes = std::fs::read(log).with_context(|| format!("failed to read {}", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).count())
}
