//! The schedule of faults: random from a seed, or from a report.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A kind of fault.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The service throttles the call.
    Throttle,
    /// The service answers 500.
    #[value(name = "error-500")]
    #[serde(rename = "error-500")]
    Error500,
    /// Some records of a batch are refused.
    PartialBatch,
    /// The call succeeds, but the answer is lost.
    LostAnswer,
    /// The answer comes too late.
    LateAnswer,
    /// The connection is cut before the request arrives.
    Cut,
    /// The body of the answer is cut.
    Truncate,
    /// Firehose calls the sink twice with the same batch.
    Redeliver,
    /// Firehose delivers batches in another order than it acknowledged them.
    Reorder,
    /// Firehose can't call the metrics sink, and sets acknowledged records aside.
    SinkRefused,
    /// A function is killed in the middle of a call.
    KillFunction,
    /// The emulator is killed with all functions, and started again.
    KillEmulator,
    /// Midnight (UTC) comes while events arrive.
    Midnight,
    /// The clock of arrivals jumps ahead or back, and later returns.
    ClockJump,
    /// Spark is killed in the middle of a night.
    KillSpark,
    /// The execution of the night is stopped at one of its steps.
    StopNight,
    /// The emulator is killed in the middle of a night.
    KillNight,
    /// The disk of the jobs is full.
    FullDisk,
    /// Two operators start the same night.
    TwoOperators,
    /// Files of an old day are imported beside a night.
    ImportBeside,
    /// An ad is erased beside a night.
    EraseBeside,
}

/// When a fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// While events are sent, in a share of the calls of a period: by the proxy between functions and AWS, or in Firehose.
    Calls,
    /// While events are sent, in a process or a clock.
    Load,
    /// In a nightly batch, which then must run again.
    Night,
    /// Beside a nightly batch.
    Beside,
}

impl Kind {
    pub const fn phase(self) -> Phase {
        match self {
            Self::Throttle
            | Self::Error500
            | Self::PartialBatch
            | Self::LostAnswer
            | Self::LateAnswer
            | Self::Cut
            | Self::Truncate
            | Self::Redeliver
            | Self::Reorder
            | Self::SinkRefused => Phase::Calls,
            Self::KillFunction | Self::KillEmulator | Self::Midnight | Self::ClockJump => Phase::Load,
            Self::KillSpark | Self::StopNight | Self::KillNight | Self::FullDisk => Phase::Night,
            Self::TwoOperators | Self::ImportBeside | Self::EraseBeside => Phase::Beside,
        }
    }

    /// The possible targets.
    const fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Throttle | Self::Error500 | Self::LostAnswer | Self::LateAnswer | Self::Cut | Self::Truncate => {
                &["firehose", "cloudwatch"]
            }
            Self::PartialBatch => &["firehose"],
            Self::Redeliver | Self::Reorder | Self::SinkRefused => &["lambda"],
            Self::KillFunction => &["capture", "metrics-sink"],
            Self::Midnight | Self::ClockJump => &["clock"],
            Self::KillEmulator | Self::KillNight => &["emulator"],
            Self::KillSpark | Self::FullDisk => &["spark"],
            Self::StopNight | Self::TwoOperators | Self::ImportBeside | Self::EraseBeside => &["night"],
        }
    }

    /// Its name on the command line and in reports.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether real-time counts may differ from what arrived while it lasts.
    pub const fn reaches_real_time(self) -> bool {
        matches!(self.phase(), Phase::Calls | Phase::Load)
    }
}

/// Reads the kinds of `--faults`: `all`, `none`, or a list.
pub fn read_kinds(text: &str) -> Result<Vec<Kind>, String> {
    match text {
        "all" => Ok(Kind::value_variants().to_vec()),
        "none" => Ok(Vec::new()),
        _ => text.split(',').map(|name| Kind::from_str(name, false)).collect::<Result<_, _>>().map_err(|error| {
            let known: Vec<String> = Kind::value_variants().iter().map(|kind| kind.name()).collect();
            format!("{error}; the values are all, none, {}", known.join(", "))
        }),
    }
}

/// A fault of the schedule.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Fault {
    /// Seconds from the start of the load, or of the night for a fault at night.
    pub at: f64,
    /// How long it lasts; 0 if it happens once.
    pub seconds: f64,
    pub fault: Kind,
    /// The share of affected requests.
    pub share: f64,
    pub target: String,
}

/// The faults of a run, sorted by time within a phase. The same arguments give the same faults.
pub fn draw(kinds: &[Kind], seed: u64, load_seconds: f64) -> Vec<Fault> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut faults = Vec::new();
    for kind in kinds {
        let targets = kind.targets();
        let first = random.usize(..targets.len());
        // Faults of calls affect all targets; for processes, one of them is chosen.
        let count = if kind.phase() == Phase::Calls { targets.len() } else { 1 };
        for number in 0..count {
            let target = targets[(first + number) % targets.len()];
            faults.push(fault(&mut random, *kind, target, load_seconds));
        }
    }
    faults.sort_by(|one, other| one.at.total_cmp(&other.at));
    faults
}

fn fault(random: &mut fastrand::Rng, kind: Kind, target: &str, load_seconds: f64) -> Fault {
    let mut between = |least: f64, most: f64| rounded(least + random.f64() * (most - least));
    let (at, seconds, share) = match kind.phase() {
        Phase::Calls => (between(0.05, 0.5) * load_seconds, between(0.15, 0.3) * load_seconds, between(0.2, 0.5)),
        Phase::Load if kind == Kind::ClockJump => {
            (between(0.1, 0.7) * load_seconds, between(0.1, 0.2) * load_seconds, 1.0)
        }
        // Late, since calls meet no other fault while it is down.
        Phase::Load if kind == Kind::KillEmulator => (between(0.75, 0.9) * load_seconds, 0.0, 1.0),
        Phase::Load => (between(0.1, 0.7) * load_seconds, 0.0, 1.0),
        Phase::Night => (between(1.0, 12.0), 0.0, 1.0),
        Phase::Beside => (between(0.0, 6.0), 0.0, 1.0),
    };
    Fault { at: rounded(at), seconds: rounded(seconds), fault: kind, share, target: target.to_owned() }
}

/// Rounded to hundredths, as in a report.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_and_another_seed_others() {
        let all = read_kinds("all").unwrap();
        assert_eq!(draw(&all, 7, 60.0), draw(&all, 7, 60.0));
        assert_ne!(draw(&all, 7, 60.0), draw(&all, 8, 60.0));
    }

    #[test]
    fn every_kind_is_drawn_within_its_phase() {
        let all = read_kinds("all").unwrap();
        assert_eq!(all.len(), 21);
        for seed in 0..50 {
            let faults = draw(&all, seed, 60.0);
            for kind in &all {
                let of_kind: Vec<&Fault> = faults.iter().filter(|fault| fault.fault == *kind).collect();
                let twice = ["throttle", "error-500", "lost-answer", "late-answer", "cut", "truncate"];
                assert_eq!(of_kind.len(), if twice.contains(&kind.name().as_str()) { 2 } else { 1 }, "{kind:?}");
                for fault in of_kind {
                    assert!(fault.at >= 0.0 && fault.at + fault.seconds <= 60.0, "{fault:?}");
                    assert!(fault.share > 0.0 && fault.share <= 1.0, "{fault:?}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_kind_is_an_error_that_lists_the_known_ones() {
        assert_eq!(read_kinds("error-500,kill-emulator").unwrap(), [Kind::Error500, Kind::KillEmulator]);
        assert_eq!(read_kinds("none").unwrap(), []);
        let error = read_kinds("kill-emulator,earthquake").unwrap_err();
        assert!(
            error.contains("earthquake") && error.contains("the values are all, none, throttle, error-500,"),
            "{error}"
        );
    }

    #[test]
    fn a_fault_has_the_json_form_that_the_proxy_reads() {
        let fault = Fault { at: 1.5, seconds: 2.0, fault: Kind::Error500, share: 0.25, target: "firehose".into() };
        let text = r#"{"at":1.5,"seconds":2.0,"fault":"error-500","share":0.25,"target":"firehose"}"#;
        assert_eq!(serde_json::to_string(&fault).unwrap(), text);
        assert_eq!(serde_json::from_str::<Fault>(text).unwrap(), fault);
    }
}
