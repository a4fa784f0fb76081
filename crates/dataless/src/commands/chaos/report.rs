//! The report: what was done, what was found, and the verdicts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use console::style;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::{Account, TrafficDifference};
use super::load::Amounts;
use super::operator::CommandRun;
use super::realtime::RealTime;
use super::schedule::Fault;
use crate::ui::thousands;

/// A fault of the schedule, and what happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Injected {
    #[serde(flatten)]
    pub fault: Fault,
    pub injected: bool,
    /// Seconds from the start of the load.
    pub injected_at: Option<f64>,
    /// What was done and observed, or why nothing was done.
    pub evidence: Vec<String>,
}

/// What the emulator itself lost, by its own evidence. On AWS these events would be safe.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct EmulatorLosses {
    /// Lines of its log that say that an object could not be stored.
    pub log: Vec<String>,
    /// For each kill: when its state was last saved, and what it lost.
    pub kills: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    pub seed: u64,
    pub events: u64,
    pub minutes: f64,
    /// The maximum number of events in a request, if it was given.
    pub batch_size: Option<u16>,
    pub amounts: Amounts,
    pub started: DateTime<Utc>,
    /// The schedule that `--replay` repeats.
    pub schedule: Vec<Fault>,
    pub faults: Vec<Injected>,
    /// Faults that the proxy injected, by kind and target.
    pub proxied: BTreeMap<String, u64>,
    pub load: Value,
    /// Why events were not acknowledged, by type and code.
    pub codes: BTreeMap<String, u64>,
    pub operator: Vec<CommandRun>,
    pub accounts: BTreeMap<String, Account>,
    /// Ads and days on which the derived tables, DynamoDB and the lake differ.
    pub traffic: Vec<TrafficDifference>,
    /// Ads and days that were compared.
    pub traffic_compared: u64,
    pub real_time: BTreeMap<String, RealTime>,
    /// Whether all days balance in `ledger`.
    pub ledger_balances: bool,
    /// Whether `verify` found the same as the jobs.
    pub verified: bool,
    /// Raw lines without an id of their own.
    pub raw_without_id: u64,
    pub emulator: EmulatorLosses,
    pub seconds: BTreeMap<String, f64>,
    pub balanced: bool,
}

/// The part of a report that `--replay` repeats.
#[derive(Debug, Deserialize)]
pub struct Repeated {
    pub seed: u64,
    pub events: u64,
    pub minutes: f64,
    pub batch_size: Option<u16>,
    pub schedule: Vec<Fault>,
}

impl Repeated {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a report of `chaos`", path.display()))
    }
}

impl Report {
    /// All conditions, and whether they hold.
    pub fn verdicts(&self) -> Vec<(&'static str, bool)> {
        let accounts = || self.accounts.values();
        vec![
            ("nothing acknowledged is lost", accounts().all(|account| account.lost() == 0)),
            ("nothing is counted twice", accounts().all(|account| account.doubled() == 0)),
            ("every event is where it belongs, and no other", accounts().all(Account::balances)),
            ("the books of every day are closed", self.ledger_balances),
            ("a second engine finds the same", self.verified),
            ("the lake, ad_traffic and DynamoDB agree", self.traffic.is_empty() && self.traffic_compared > 0),
            ("real time differs only where a fault explains it", self.real_time.values().all(RealTime::is_explained)),
            ("no raw line is torn", self.raw_without_id == 0),
        ]
    }

    pub fn sum(&self, of: impl Fn(&Account) -> u64) -> u64 {
        self.accounts.values().map(of).sum()
    }

    pub fn print(&self) {
        outln!("\n{}", style(format!("Chaos, seed {}", self.seed)).bold());
        for found in &self.faults {
            let Injected { fault, injected, injected_at, evidence } = found;
            let mark = if *injected { style("✓").green() } else { style("·").yellow() };
            let at = injected_at.map_or_else(|| "not injected".to_owned(), |at| format!("at {at:.1} s"));
            outln!("{mark} {:<14} {:<12} {at:<14} {}", fault.fault.name(), fault.target, evidence.join("; "));
        }
        for (name, count) in &self.proxied {
            outln!("  {name}: {}", thousands(*count));
        }
        outln!();
        let figures: [(&str, u64); 9] = [
            ("acknowledged", self.sum(|account| account.acknowledged)),
            ("refused: not an event", self.sum(|account| account.refused)),
            ("refused: to be sent again", self.sum(|account| account.not_stored)),
            ("  of these stored anyway", self.sum(|account| account.not_stored_but_stored)),
            ("unknown", self.sum(|account| account.unknown)),
            ("  of these stored", self.sum(|account| account.unknown_stored)),
            ("erased", self.sum(|account| account.erased)),
            ("lost", self.sum(Account::lost)),
            ("doubled", self.sum(Account::doubled)),
        ];
        for (name, count) in figures {
            outln!("{name:<32} {:>14}", thousands(count));
        }
        outln!();
        for (name, holds) in self.verdicts() {
            let mark = if holds { style("✓").green() } else { style("✗").red() };
            outln!("{mark} {name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "11111111-1111-4111-8111-111111111111";

    /// A report of a successful run.
    fn report() -> Value {
        let none = json!({ "count": 0, "ids": [] });
        let account = json!({
            "acknowledged": 5, "refused": 1, "not_stored": 0, "unknown": 2, "unknown_stored": 1, "not_stored_but_stored": 0,
            "sent_again": 0, "erased": 0, "missing": {}, "doubled": {}, "refused_but_stored": none, "never_sent": none,
            "not_erased": none,
        });
        let explained =
            json!({ "minute": "2026-11-20T10:00:00Z", "counted": 4, "arrived": 5, "explained_by": ["throttle"] });
        json!({
            "seed": 7, "events": 8, "minutes": 0.5, "batch_size": 500, "amounts": { "impressions": 8, "others": 0 },
            "started": "2026-11-20T10:00:00Z",
            "schedule": [{ "at": 1.5, "seconds": 2.0, "fault": "throttle", "share": 0.25, "target": "firehose" }],
            "faults": [{ "at": 1.5, "seconds": 2.0, "fault": "throttle", "share": 0.25, "target": "firehose",
                "injected": true, "injected_at": 1.6, "evidence": ["3 requests"] }],
            "proxied": { "throttle of firehose": 3 }, "load": {}, "codes": {}, "operator": [],
            "accounts": { "impressions": account },
            "traffic": [], "traffic_compared": 2,
            "real_time": { "impressions": { "counted": 4, "arrived": 5, "differences": [explained] } },
            "ledger_balances": true, "verified": true, "raw_without_id": 0, "emulator": { "log": [], "kills": [] },
            "seconds": {}, "balanced": true,
        })
    }

    fn broken(path: &str, value: Value) -> Vec<&'static str> {
        let mut report = report();
        *report.pointer_mut(path).unwrap() = value;
        let report: Report = serde_json::from_value(report).unwrap();
        report.verdicts().into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_successful_run_has_no_failed_verdict() {
        assert_eq!(broken("/seed", json!(7)), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_wrong_fails_the_run() {
        let one = json!({ "count": 1, "ids": [ID] });
        let where_it_belongs = "every event is where it belongs, and no other";
        let account = "/accounts/impressions/";
        let account = |field: &str| format!("{account}{field}");
        for stage in ["raw", "set-aside", "lake", "derived"] {
            let lost = broken(&account("missing"), json!({ stage: one }));
            assert_eq!(lost, ["nothing acknowledged is lost", where_it_belongs], "{stage}");
        }
        assert_eq!(broken(&account("doubled"), json!({ "lake": one })), ["nothing is counted twice", where_it_belongs]);
        for field in ["refused_but_stored", "never_sent", "not_erased"] {
            assert_eq!(broken(&account(field), one.clone()), [where_it_belongs], "{field}");
        }
        assert_eq!(broken("/ledger_balances", json!(false)), ["the books of every day are closed"]);
        assert_eq!(broken("/verified", json!(false)), ["a second engine finds the same"]);
        let difference =
            json!([{ "ad": "a", "day": "2026-11-20", "advertising": [1, 0], "ad_traffic": [1, 0], "dynamodb": null }]);
        for (path, value) in [("/traffic", difference), ("/traffic_compared", json!(0))] {
            assert_eq!(broken(path, value), ["the lake, ad_traffic and DynamoDB agree"]);
        }
        let path = "/real_time/impressions/differences/0/explained_by";
        assert_eq!(broken(path, json!([])), ["real time differs only where a fault explains it"]);
        assert_eq!(broken("/raw_without_id", json!(1)), ["no raw line is torn"]);
    }

    #[test]
    fn a_run_is_repeated_from_the_seed_and_schedule_of_its_report() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        std::fs::write(&path, report().to_string()).unwrap();
        let Repeated { seed, events, minutes, batch_size, schedule } = Repeated::read(&path).unwrap();
        assert_eq!((seed, events, minutes, batch_size), (7, 8, 0.5, Some(500)));
        let fault = Fault {
            at: 1.5,
            seconds: 2.0,
            fault: super::super::schedule::Kind::Throttle,
            share: 0.25,
            target: "firehose".into(),
        };
        assert_eq!(schedule, [fault]);
        std::fs::write(&path, "{}").unwrap();
        assert!(Repeated::read(&path).unwrap_err().to_string().ends_with("report.json is not a report of `chaos`"));
    }
}
