//! Nightly batches with faults, and how an operator repairs them.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{Days, NaiveDate};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use uuid::Uuid;

use super::gather;
use super::inject::{self, count_lines, not_injected, wait_until};
use super::load;
use super::operator::{CommandRun, Operator, batch};
use super::report::Injected;
use super::schedule::{Fault, Kind, Phase};
use super::testbed::Testbed;
use crate::local::spark;
use crate::local::stack::Output;
use crate::local::tools::ToolSet;
use crate::process::Tool;
use crate::ui::note;

/// The number of impressions of the imported day.
const IMPORTED: u64 = 500;
/// Its ads, as in `load-generator/config.yaml`. The load has more.
const IMPORTED_ADS: usize = 100;
/// How many days it is before the first.
const IMPORTED_BEFORE: u64 = 10;

/// The system's message for a full disk.
const DISK_IS_FULL: &str = "No space left on device";

/// The nights of a run.
pub struct Nights<'a> {
    pub testbed: &'a Testbed<'a>,
    pub operator: Operator,
    /// The days of arrival.
    pub first: NaiveDate,
    pub last: NaiveDate,
    pub started: Instant,
    pub seed: u64,
    pub done: Mutex<Vec<CommandRun>>,
    pub imported: Option<NaiveDate>,
    /// The imported files.
    pub import: Option<PathBuf>,
    /// The ad that is erased.
    pub erased: Option<String>,
    /// Its events, by type.
    pub erased_ids: HashMap<String, HashSet<Uuid>>,
    /// Whether DynamoDB lost loaded items in a restart.
    pub forgot_items: bool,
}

impl<'a> Nights<'a> {
    pub fn new(
        testbed: &'a Testbed<'a>,
        started: Instant,
        (first, last): (NaiveDate, NaiveDate),
        seed: u64,
    ) -> Result<Self> {
        Ok(Self {
            testbed,
            operator: Operator::new(testbed.workspace, &testbed.instance)?,
            first,
            last,
            started,
            seed,
            done: Mutex::default(),
            imported: None,
            import: None,
            erased: None,
            erased_ids: HashMap::new(),
            forgot_items: false,
        })
    }

    /// Runs a command as an operator.
    fn operate(&self, arguments: &[&str]) -> Result<bool> {
        let at = self.started.elapsed().as_secs_f64();
        let succeeded = self.operator.run(arguments)?;
        let command = format!("cargo dataless {}", arguments.join(" "));
        note(&format!("  {} {command}", if succeeded { "✓" } else { "✗" }));
        let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.push(CommandRun { command, at: (at * 10.0).round() / 10.0, succeeded });
        Ok(succeeded)
    }

    fn night(&self) -> Result<bool> {
        let arguments = batch(self.first, self.last);
        self.operate(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts Spark, with a copy of everything in S3.
    pub fn fetch(&self) -> Result<()> {
        self.operate(&["query", "SELECT 1"]).map(drop)
    }

    /// Restores what Firehose set aside.
    pub fn restore(&self) -> Result<()> {
        for day in self.first.iter_days().take_while(|day| *day <= self.last) {
            self.operate(&["replay", "--undelivered", "--day", &day.to_string()])?;
        }
        Ok(())
    }

    /// Runs one night per fault that breaks it, and one with everything that runs beside it.
    pub fn run(&mut self, faults: &[Fault]) -> Result<Vec<Injected>> {
        let of = |phase: Phase| faults.iter().filter(move |fault| fault.fault.phase() == phase);
        let mut injected = Vec::new();
        for fault in of(Phase::Night) {
            injected.push(self.run_broken(fault)?);
        }
        let beside: Vec<&Fault> = of(Phase::Beside).collect();
        if !beside.is_empty() {
            injected.extend(self.run_all_beside(&beside)?);
        }
        Ok(injected)
    }

    /// Repairs as documented until the books balance. Returns whether `ledger` and `verify` succeed.
    pub fn settle(&self) -> Result<(bool, bool)> {
        const TRIES: usize = 3;
        let mut balances = false;
        for _ in 0..TRIES {
            let succeeded = self.night()?;
            if let Some(day) = self.imported {
                self.operate(&["batch", "--day", &day.to_string()])?;
            }
            balances = self.operate(&["ledger"])?;
            if succeeded && balances {
                break;
            }
        }
        if self.forgot_items {
            self.load_in_full()?;
        }
        let mut verified =
            self.operate(&["verify", "--day", &self.first.to_string(), "--to", &self.last.to_string()])?;
        if let Some(day) = self.imported {
            verified &= self.operate(&["verify", "--day", &day.to_string()])?;
        }
        Ok((balances, verified))
    }

    /// Loads all items of all days, as for a restored table.
    fn load_in_full(&self) -> Result<()> {
        let lookback: u64 =
            self.testbed.stack.output(Output::LookbackDays)?.parse().context("LookbackDays is not a number")?;
        let first = self.first - Days::new(lookback + 1);
        for day in first.iter_days().take_while(|day| *day <= self.last) {
            let arguments = [("--day", day.to_string()), ("--full", "true".to_owned())];
            let arguments = arguments.each_ref().map(|(name, value)| (*name, value.as_str()));
            self.testbed.spark().job(Output::AdTrafficLoadJob, &arguments)?;
        }
        Ok(())
    }

    /// Runs a night that a fault breaks.
    fn run_broken(&mut self, fault: &Fault) -> Result<Injected> {
        let mut record = not_injected(fault);
        if fault.fault == Kind::FullDisk {
            return self.full_disk(record);
        }
        // Spark runs before the night begins, so that the fault hits a job.
        self.fetch()?;
        let began = Instant::now();
        let this = &*self;
        let (succeeded, evidence) = std::thread::scope(|scope| -> Result<_> {
            let night = scope.spawn(|| this.night());
            wait_until(began, fault.at, || night.is_finished())?;
            let evidence = if night.is_finished() {
                Err("the night had ended".to_owned())
            } else {
                record.injected_at = Some(this.started.elapsed().as_secs_f64());
                Ok(this.break_night(fault.fault)?)
            };
            let succeeded = night.join().map_err(|_| anyhow::anyhow!("a night panicked"))??;
            Ok((succeeded, evidence))
        })?;
        self.forgot_items |= fault.fault == Kind::KillNight;
        match evidence {
            Ok(evidence) => {
                record.injected = true;
                record.evidence.extend(evidence);
                record.evidence.push(if succeeded { "the night succeeded" } else { "the night failed" }.to_owned());
            }
            Err(reason) => {
                record.injected_at = None;
                record.evidence.push(reason);
            }
        }
        Ok(record)
    }

    fn break_night(&self, kind: Kind) -> Result<Vec<String>> {
        match kind {
            Kind::KillSpark => {
                let group = spark::runner_group(&self.testbed.instance).context("Spark is not running")?;
                kill_process_group(group, Signal::KILL).context("failed to kill Spark")?;
                Ok(vec![format!("its process group {} was killed", Pid::as_raw_nonzero(group))])
            }
            Kind::StopNight => self.stop_executions(),
            Kind::KillNight => inject::kill_emulator(self.testbed),
            other => bail!("{} does not break a night", other.name()),
        }
    }

    fn stop_executions(&self) -> Result<Vec<String>> {
        let call = |action: &str, request: Value| {
            self.testbed.aws.call("states", &format!("AWSStepFunctions.{action}"), &request)
        };
        let machine = self.testbed.stack.output(Output::DailyPipeline)?;
        let running = call("ListExecutions", json!({ "stateMachineArn": machine, "statusFilter": "RUNNING" }))?;
        let mut stopped = Vec::new();
        for execution in running["executions"].as_array().into_iter().flatten() {
            let arn = execution["executionArn"].as_str().context("an execution has no ARN")?;
            let history =
                call("GetExecutionHistory", json!({ "executionArn": arn, "reverseOrder": true, "maxResults": 50 }))?;
            let entered = history["events"].as_array().into_iter().flatten();
            let state = entered.filter_map(|event| event["stateEnteredEventDetails"]["name"].as_str()).next();
            call("StopExecution", json!({ "executionArn": arn, "cause": "chaos" }))?;
            stopped.push(format!("stopped at the step {}", state.unwrap_or("(none yet)")));
        }
        Ok(stopped)
    }

    /// Runs a night whose jobs have a separate disk with space for only half of what they read and write.
    fn full_disk(&self, mut record: Injected) -> Result<Injected> {
        self.fetch()?;
        let instance = &self.testbed.instance;
        let size = used_bytes(&instance.s3())? / 2;
        spark::stop(instance);
        let log = instance.logs().join("full-disk.log");
        let mount = r#"mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@""#;
        let started = Tool::new("unshare", log)
            .args(["--user", "--map-root-user", "--mount", "sh", "-ec", mount, "sh", &size.to_string()])
            .arg(instance.s3())
            .arg(self.testbed.prepared.tools.program(ToolSet::Spark, "python"))
            .arg(self.testbed.workspace.path("glue/local/launch.py"))
            .arg(spark::config_path(instance))
            .run();
        if let Err(error) = started {
            record
                .evidence
                .push(format!("failed to mount a small disk: {error:#}").lines().next().unwrap_or_default().to_owned());
            return Ok(record);
        }
        record.injected_at = Some(self.started.elapsed().as_secs_f64());
        let before = self.full_disks()?;
        let succeeded = self.night()?;
        let met = self.full_disks()? - before;
        spark::stop(instance);
        record.injected = met > 0;
        record.evidence.push(format!("a disk of {size} bytes; {met} lines of the logs say that it is full"));
        record.evidence.push(if succeeded { "the night succeeded" } else { "the night failed" }.to_owned());
        Ok(record)
    }

    fn full_disks(&self) -> Result<usize> {
        let mut count = 0;
        for entry in std::fs::read_dir(self.testbed.instance.logs())? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("spark")) {
                count += count_lines(&path, DISK_IS_FULL)?;
            }
        }
        Ok(count)
    }

    /// Runs a night with something else beside it.
    fn run_all_beside(&mut self, faults: &[&Fault]) -> Result<Vec<Injected>> {
        self.fetch()?;
        for fault in faults {
            self.prepare(fault.fault)?;
        }
        let this = &*self;
        let began = Instant::now();
        std::thread::scope(|scope| -> Result<Vec<Injected>> {
            let night = scope.spawn(|| this.night());
            let others: Vec<_> = faults
                .iter()
                .map(|fault| {
                    scope.spawn(move || -> Result<Injected> {
                        wait_until(began, fault.at, || false)?;
                        let mut record = not_injected(fault);
                        record.injected_at = Some(this.started.elapsed().as_secs_f64());
                        let (command, succeeded) = this.run_beside(fault.fault)?;
                        record.injected = true;
                        let ended = if succeeded { "succeeded" } else { "failed" };
                        record.evidence.push(format!("{command} beside a night {ended}"));
                        Ok(record)
                    })
                })
                .collect();
            night.join().map_err(|_| anyhow::anyhow!("a night panicked"))??;
            let records =
                others.into_iter().map(|other| other.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?);
            let records: Result<Vec<Injected>> = records.collect();
            let mut records = records?;
            for record in &mut records {
                self.repeat(record)?;
            }
            Ok(records)
        })
    }

    /// Chooses what to import or erase.
    fn prepare(&mut self, kind: Kind) -> Result<()> {
        let Testbed { workspace, instance, .. } = self.testbed;
        let program = self.testbed.loadgen()?;
        match kind {
            Kind::ImportBeside => {
                let day = self.first - Days::new(IMPORTED_BEFORE);
                let amounts = (IMPORTED, self.seed.wrapping_add(1));
                self.import = Some(load::write_files(workspace, instance, program, &day.to_string(), amounts)?);
                self.imported = Some(day);
            }
            Kind::EraseBeside => {
                let ads = load::ads(workspace, instance, program)?;
                // An ad that is not in the import, which may end before or after the erasure.
                self.erased = ads.into_iter().skip(IMPORTED_ADS).cycle().nth(self.seed as usize % 20);
                let data = self.testbed.spark().data()?;
                for event_type in &self.testbed.types {
                    let raw = gather::raw(&data, event_type, self.erased.as_deref())?;
                    self.erased_ids.insert(event_type.name.clone(), raw.matching);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn run_beside(&self, kind: Kind) -> Result<(String, bool)> {
        let succeeded = match kind {
            Kind::TwoOperators => self.night()?,
            Kind::ImportBeside => self.import()?,
            Kind::EraseBeside => self.erase()?,
            other => bail!("{} does not run beside a night", other.name()),
        };
        let command = match kind {
            Kind::TwoOperators => "the same night",
            Kind::ImportBeside => "an import",
            _ => "an erasure",
        };
        Ok((command.to_owned(), succeeded))
    }

    fn import(&self) -> Result<bool> {
        let folder = self.import.as_ref().context("there is nothing to import")?;
        self.operate(&["import", &folder.display().to_string()])
    }

    fn erase(&self) -> Result<bool> {
        self.operate(&["erase", "--ad", self.erased.as_deref().context("there is nothing to erase")?, "--yes"])
    }

    /// Repeats a failed import or erasure until it succeeds, as documented.
    fn repeat(&self, record: &mut Injected) -> Result<()> {
        const TRIES: usize = 3;
        let failed = record.evidence.iter().any(|line| line.ends_with("failed"));
        if !failed || record.fault.fault == Kind::TwoOperators {
            return Ok(());
        }
        for _ in 0..TRIES {
            std::thread::sleep(Duration::from_millis(500));
            if self.run_beside(record.fault.fault)?.1 {
                record.evidence.push("it succeeded when it was run again".to_owned());
                return Ok(());
            }
        }
        record.evidence.push("it never succeeded".to_owned());
        Ok(())
    }

    /// The imported ids by type. They must be found like acknowledged ones.
    pub fn imported_ids(&self) -> Result<gather::Sent> {
        let Some(folder) = &self.import else { return Ok(gather::Sent::new()) };
        let mut sent = gather::Sent::new();
        for event_type in &self.testbed.types {
            let raw = gather::raw(&folder.join("data"), event_type, None)?;
            let events = raw.ids.into_keys().map(|id| (id, super::account::Fate::Acknowledged)).collect();
            sent.insert(event_type.name.clone(), events);
        }
        Ok(sent)
    }
}

/// The disk space of the files below a folder, in bytes.
fn used_bytes(folder: &std::path::Path) -> Result<u64> {
    const BLOCK: u64 = 4096;
    let mut bytes = BLOCK;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { used_bytes(&entry.path())? } else { metadata.len().div_ceil(BLOCK) * BLOCK };
    }
    Ok(bytes)
}
