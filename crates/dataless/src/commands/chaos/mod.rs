//! `chaos`: injects faults while events arrive and nightly batches run, repairs them as documented, and searches for every
//! event. `docs/chaos.md` describes it.

mod account;
mod gather;
mod inject;
mod load;
mod nights;
mod operator;
mod realtime;
mod report;
pub mod schedule;
mod testbed;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use event_types::EventType;
use serde_json::Value;

use self::account::{Account, Observed};
use self::gather::Sent;
use self::load::Amounts;
use self::nights::Nights;
use self::realtime::{RealTime, Window};
use self::report::{EmulatorLosses, Injected, Repeated, Report};
use self::schedule::{Fault, Kind, Phase};
use self::testbed::{Settings, Testbed};
use crate::cli::Chaos;
use crate::local::books::METRICS_LIMIT;
use crate::local::realtime::{Minutes, count_by_minute};
use crate::local::stack::{Output, Profile};
use crate::local::tools::ToolSet;
use crate::outcome::Outcome;
use crate::ui::{note, step, thousands};
use crate::workspace::{InstanceName, Workspace};

/// What to do, from the options or from the report to repeat.
struct Plan {
    seed: u64,
    events: u64,
    minutes: f64,
    batch_size: Option<u16>,
    faults: Vec<Fault>,
}

impl Plan {
    fn of(options: &Chaos) -> Result<Self> {
        if let Some(path) = &options.replay {
            let Repeated { seed, events, minutes, batch_size, schedule } = Repeated::read(path)?;
            return Ok(Self { seed, events, minutes, batch_size, faults: schedule });
        }
        // Short enough to retype.
        let seed = options.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000_000);
        let faults = schedule::draw(&options.faults, seed, options.minutes * 60.0);
        let &Chaos { events, minutes, batch_size, .. } = options;
        Ok(Self { seed, events, minutes, batch_size, faults })
    }

    fn call_faults(&self) -> Vec<&Fault> {
        self.faults.iter().filter(|fault| fault.fault.phase() == Phase::Calls).collect()
    }
}

/// The state after the events were sent.
struct Loaded {
    started: Instant,
    since: DateTime<Utc>,
    report: Value,
    faults: Vec<Injected>,
    proxied: BTreeMap<String, u64>,
    real_time: BTreeMap<String, RealTime>,
}

impl Loaded {
    fn injected(&self, kind: Kind) -> bool {
        self.faults.iter().any(|found| found.injected && found.fault.fault == kind)
    }

    /// The first and the last day on which events arrived, by the clock of arrivals.
    fn days_of_arrival(&self) -> (NaiveDate, NaiveDate) {
        let hour = if self.injected(Kind::ClockJump) { TimeDelta::hours(1) } else { TimeDelta::zero() };
        let ahead = if self.injected(Kind::Midnight) { TimeDelta::days(1) } else { hour };
        ((self.since - hour).date_naive(), (Utc::now() + ahead).date_naive())
    }
}

pub fn run(workspace: &Workspace, options: &Chaos) -> Result<Outcome> {
    let began = Instant::now();
    let plan = Plan::of(options)?;
    let instance = workspace.instance(InstanceName::Chaos);
    let _lock = instance.recreate()?;
    if !plan.call_faults().is_empty() {
        super::set_up::install(workspace, &[ToolSet::Chaos])?;
    }
    let profile = if options.release { Profile::Release } else { Profile::Local };
    let settings = Settings::choose(options.port, !plan.call_faults().is_empty(), plan.seed)?;
    std::fs::write(testbed::schedule(&instance), serde_json::to_string_pretty(&plan.call_faults())?)?;
    let testbed = Testbed::deploy(workspace, instance, settings, profile)?;
    let mut seconds = BTreeMap::new();
    let mut timed = |name: &str| seconds.insert(name.to_owned(), (began.elapsed().as_secs_f64() * 10.0).round() / 10.0);
    timed("up");
    let result = (|| {
        let mut loaded = send(&testbed, &plan)?;
        timed("sent");
        let days = loaded.days_of_arrival();
        let mut nights = Nights::new(&testbed, loaded.started, days, plan.seed)?;
        // Before anything is restored, erased or lost.
        nights.fetch()?;
        loaded.real_time = real_time(&testbed, loaded.since, &loaded.faults)?;
        nights.restore()?;
        let night_faults = nights.run(&plan.faults)?;
        timed("nights");
        let settled = nights.settle()?;
        timed("settled");
        let report = reconcile(&testbed, &plan, loaded, nights, (night_faults, settled))?;
        timed("compared");
        Ok(report)
    })();
    let mut report = testbed.explain(result)?;
    report.seconds = seconds;
    let path = testbed.instance.dir().join("report.json");
    let text = serde_json::to_string_pretty(&report)?;
    std::fs::write(&path, &text).context("failed to write the report")?;
    if options.json {
        outln!("{text}");
    } else {
        report.print();
    }
    note(&format!("Report: {}", path.display()));
    Ok(report.balanced.into())
}

/// Sends the events while faults are injected.
fn send(testbed: &Testbed<'_>, plan: &Plan) -> Result<Loaded> {
    let seconds = plan.minutes * 60.0;
    let amounts = Amounts::of(plan.events, &testbed.types);
    let proxied = plan.call_faults();
    let _proxy = if proxied.is_empty() { None } else { Some(testbed.start_proxy()?) };
    let base_url = testbed.stack.base_url()?;
    let (started, since) = (Instant::now(), Utc::now());
    std::fs::write(testbed::schedule(&testbed.instance).with_extension("json.start"), "")?;
    let loadgen = testbed.loadgen()?;
    let work = || {
        std::thread::scope(|scope| -> Result<(Value, Vec<Injected>)> {
            let sending = scope.spawn(|| {
                let (what, how) = ((&testbed.types[..], &amounts), (plan.seed, seconds, plan.batch_size));
                load::send(testbed.workspace, &testbed.instance, loadgen, &base_url, what, how)
            });
            let injected = inject::run(testbed, &plan.faults, started, &|| sending.is_finished())?;
            let report = sending.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
            Ok((report, injected))
        })
    };
    let summary = |(report, _): &(Value, _)| format!("{} events", thousands(sent_of(report)));
    let ((report, mut faults), _) = step("send events", work, summary)?;
    let (met, counts) = read_call_log(&testbed::call_log(&testbed.instance), &proxied)?;
    faults.extend(met);
    wait_for_held_back(&testbed::held_back(&testbed.instance))?;
    Ok(Loaded { started, since, report, faults, proxied: counts, real_time: BTreeMap::new() })
}

fn sent_of(report: &Value) -> u64 {
    let types = report["events"].as_object().into_iter().flatten();
    types.filter_map(|(_, counts)| counts["sent"].as_u64()).sum()
}

/// What the proxy and Firehose injected, per fault of the schedule and in total.
fn read_call_log(log: &Path, faults: &[&Fault]) -> Result<(Vec<Injected>, BTreeMap<String, u64>)> {
    #[derive(serde::Deserialize)]
    struct Line {
        at: f64,
        fault: String,
        target: String,
    }
    let text = if faults.is_empty() { String::new() } else { std::fs::read_to_string(log).unwrap_or_default() };
    let lines: Vec<Line> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("failed to read the log of injected faults")?;
    let mut counts = BTreeMap::new();
    for line in &lines {
        *counts.entry(format!("{} of {}", line.fault, line.target)).or_default() += 1;
    }
    let injected = faults.iter().map(|fault| {
        let met = |line: &&Line| {
            line.fault == fault.fault.name()
                && line.target == fault.target
                && line.at >= fault.at
                && line.at <= fault.at + fault.seconds
        };
        let count = lines.iter().filter(met).count();
        Injected {
            fault: (*fault).clone(),
            injected: count > 0,
            injected_at: lines.iter().find(met).map(|line| line.at),
            evidence: vec![format!("{count} requests")],
        }
    });
    Ok((injected.collect(), counts))
}

/// Compares everything, and makes the report.
fn reconcile(
    testbed: &Testbed<'_>,
    plan: &Plan,
    loaded: Loaded,
    nights: Nights<'_>,
    (night_faults, (ledger_balances, verified)): (Vec<Injected>, (bool, bool)),
) -> Result<Report> {
    let Loaded { since, report: load, mut faults, proxied, real_time, .. } = loaded;
    faults.extend(night_faults);
    let (mut sent, codes) =
        step("read the journal", || gather::journal(&load::journal(&testbed.instance)), |_| String::new())?.0;
    for (name, events) in nights.imported_ids()? {
        sent.entry(name).or_default().extend(events);
    }
    let out = testbed.instance.dir().join("rows");
    let rows = || gather::rows(&testbed.spark(), &out, &testbed.types);
    let (rows, _) =
        step("read the lake", rows, |rows| format!("{} ads and days", thousands(rows.ad_traffic.len() as u64)))?;
    let items = gather::items(&testbed.aws, testbed.stack.output(Output::AdTrafficTable)?)?;
    let accounts =
        step("compare what was sent and found", || accounts(testbed, &sent, &rows, &nights), |_| String::new())?.0;
    let traffic = account::compare_traffic(&rows.by_ad, &rows.ad_traffic, &items);
    let emulator = EmulatorLosses { log: emulator_losses(&testbed.emulator_log())?, kills: kills(&faults) };
    let without_id = accounts.values().map(|(_, without_id)| without_id).sum();
    let mut report = Report {
        seed: plan.seed,
        events: plan.events,
        minutes: plan.minutes,
        batch_size: plan.batch_size,
        amounts: Amounts::of(plan.events, &testbed.types),
        started: since,
        schedule: plan.faults.clone(),
        faults,
        proxied,
        load,
        codes,
        operator: nights.done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        accounts: accounts.into_iter().map(|(name, (account, _))| (name, account)).collect(),
        traffic,
        traffic_compared: items.len() as u64,
        real_time,
        ledger_balances,
        verified,
        raw_without_id: without_id,
        emulator,
        seconds: BTreeMap::new(),
        balanced: false,
    };
    report.balanced = report.verdicts().iter().all(|(_, holds)| *holds);
    Ok(report)
}

type Accounts = BTreeMap<String, (Account, u64)>;

/// The account of each type, with the number of raw lines that have no id.
fn accounts(testbed: &Testbed<'_>, sent: &Sent, rows: &gather::Rows, nights: &Nights<'_>) -> Result<Accounts> {
    let data = testbed.spark().data()?;
    let mut accounts = Accounts::new();
    for event_type in &testbed.types {
        let name = &event_type.name;
        let raw = gather::raw(&data, event_type, None)?;
        let observed = Observed {
            raw: raw.ids,
            set_aside: gather::set_aside(&data, event_type)?,
            lake: rows.events.get(name).cloned().unwrap_or_default(),
            derived: (name == "impressions").then(|| rows.advertising.clone()),
            erased: nights.erased_ids.get(name).cloned().unwrap_or_default(),
        };
        let Some(sent) = sent.get(name) else { bail!("the journal has no {name}") };
        accounts.insert(name.clone(), (account::account(sent, &observed), raw.without_id));
    }
    Ok(accounts)
}

/// Waits until Firehose holds nothing back any more.
fn wait_for_held_back(folder: &Path) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(60);
    let started = Instant::now();
    while std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        crate::process::check_interrupted()?;
        if started.elapsed() > LIMIT {
            bail!("Firehose still holds back what is in {}", folder.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Compares real-time counts with the raw lines, from their latest local copy.
fn real_time(testbed: &Testbed<'_>, since: DateTime<Utc>, faults: &[Injected]) -> Result<BTreeMap<String, RealTime>> {
    let (windows, data) = (windows(since, faults), testbed.spark().data()?);
    let compare = |event_type: &EventType| {
        let raw = gather::raw(&data, event_type, None)?;
        let result = wait_for_real_time(testbed, since, event_type, &raw.minutes, &windows)?;
        Ok((event_type.name.clone(), result))
    };
    testbed.types.iter().map(compare).collect()
}

/// The times in which real-time counts may differ.
fn windows(since: DateTime<Utc>, faults: &[Injected]) -> Vec<Window> {
    let after = |seconds: f64| since + TimeDelta::milliseconds((seconds * 1000.0) as i64);
    let reaching = faults.iter().filter(|found| found.injected && found.fault.fault.reaches_real_time());
    let windows = reaching.filter_map(|found| {
        let (at, seconds) = (found.injected_at?, found.fault.seconds);
        let (from, to) = match found.fault.fault {
            // Counts from before a kill were in memory.
            Kind::KillEmulator => (since - TimeDelta::hours(1), after(at)),
            // Until the end on both clocks; CloudWatch rejects metrics that are hours ahead.
            Kind::Midnight => (after(at), Utc::now() + TimeDelta::days(1)),
            Kind::ClockJump => (after(at) - TimeDelta::hours(1), after(at + seconds) + TimeDelta::hours(1)),
            _ => (after(found.fault.at.min(at)), after(at + seconds)),
        };
        Some(Window { from, to, why: found.fault.fault.name() })
    });
    windows.collect()
}

/// Waits for metrics, which may arrive a little after the events. After the limit, returns the differences.
fn wait_for_real_time(
    testbed: &Testbed<'_>,
    since: DateTime<Utc>,
    event_type: &EventType,
    arrived: &Minutes,
    windows: &[Window],
) -> Result<RealTime> {
    let started = Instant::now();
    loop {
        // The clock of arrivals may have jumped.
        let range = (since - TimeDelta::hours(2), Utc::now() + TimeDelta::days(1));
        let counted = count_by_minute(&testbed.aws, &testbed.stack, event_type, range)?;
        let result = realtime::compare(&counted, arrived, windows);
        if result.is_explained() || started.elapsed() > METRICS_LIMIT {
            return Ok(result);
        }
        crate::process::check_interrupted()?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Lines of the emulator's log about data that it accepted and failed to store.
fn emulator_losses(log: &Path) -> Result<Vec<String>> {
    const LOSSES: [&str; 2] = ["Failed to persist S3 object", "Firehose S3 delivery failed"];
    const MOST: usize = 100;
    let bytes = std::fs::read(log).with_context(|| format!("failed to read {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|line| LOSSES.iter().any(|loss| line.contains(loss)));
    Ok(lines.take(MOST).map(str::to_owned).collect())
}

fn kills(faults: &[Injected]) -> Vec<String> {
    let killed = faults
        .iter()
        .filter(|found| found.injected && matches!(found.fault.fault, Kind::KillEmulator | Kind::KillNight));
    killed.map(|found| format!("{}: {}", found.fault.fault.name(), found.evidence.join("; "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind, at: f64, seconds: f64, target: &str) -> Fault {
        Fault { at, seconds, fault: kind, share: 0.5, target: target.into() }
    }

    #[test]
    fn a_call_counts_for_the_fault_of_its_kind_target_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("calls.ndjson");
        let lines = [
            r#"{"at":2.5,"fault":"throttle","target":"firehose","forwarded":false}"#,
            r#"{"at":3.5,"fault":"throttle","target":"firehose","forwarded":false}"#,
            r#"{"at":3.6,"fault":"throttle","target":"cloudwatch","forwarded":false}"#,
            r#"{"at":9.0,"fault":"upstream-gone","target":"firehose","forwarded":true}"#,
        ];
        std::fs::write(&log, lines.join("\n") + "\n").unwrap();
        let faults = [fault(Kind::Throttle, 2.0, 2.0, "firehose"), fault(Kind::Throttle, 4.0, 2.0, "cloudwatch")];
        let (injected, counts) = read_call_log(&log, &faults.iter().collect::<Vec<_>>()).unwrap();
        let found = |number: usize| {
            let Injected { injected, injected_at, evidence, .. } = &injected[number];
            (*injected, *injected_at, evidence.join(""))
        };
        assert_eq!(found(0), (true, Some(2.5), "2 requests".to_owned()));
        assert_eq!(found(1), (false, None, "0 requests".to_owned()));
        let expected = [("throttle of cloudwatch", 1), ("throttle of firehose", 2), ("upstream-gone of firehose", 1)];
        assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn differences_are_explained_by_faults_of_the_load_and_not_of_the_night() {
        let since: DateTime<Utc> = "2026-11-20T10:00:00Z".parse().unwrap();
        let injected = |kind, at, seconds, injected| Injected {
            fault: fault(kind, at, seconds, ""),
            injected,
            injected_at: Some(at),
            evidence: Vec::new(),
        };
        let faults = [
            injected(Kind::KillEmulator, 20.0, 0.0, true),
            injected(Kind::Throttle, 5.0, 10.0, true),
            injected(Kind::Cut, 5.0, 10.0, false),
            injected(Kind::KillSpark, 3.0, 0.0, true),
        ];
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let expected = [
            Window { from: at("2026-11-20T09:00:00Z"), to: at("2026-11-20T10:00:20Z"), why: "kill-emulator".into() },
            Window { from: at("2026-11-20T10:00:05Z"), to: at("2026-11-20T10:00:15Z"), why: "throttle".into() },
        ];
        assert_eq!(windows(since, &faults), expected);
    }
}
