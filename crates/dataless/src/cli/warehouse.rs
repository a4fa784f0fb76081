//! Commands that start, feed, watch and stop a warehouse.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::commands::chaos::schedule::{Kind, read_kinds};

#[derive(Args, Debug)]
pub struct Demo {
    /// Number of impressions to send.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub impressions: u64,
    /// Other types of events to send, random from their schemas, such as orders or orders=500. The default number is 1000.
    #[arg(long, value_name = "TYPE[=N]", value_delimiter = ',', value_parser = read_event_count)]
    pub events: Vec<(String, u64)>,
    /// Seed of the random events: the same seed sends the same events on the same day.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Port of the emulator, on the loopback interface. Default: 4566, or any free port if it is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Build by buildspec.yml and deploy from S3, as the pipeline of build.yaml does.
    #[arg(long)]
    pub delivered: bool,
    /// Build the functions as for AWS, by `sam build` with Cargo's release profile: about six minutes the first time. Use
    /// it to measure functions.
    #[arg(long)]
    pub release: bool,
}

#[derive(Args, Debug)]
pub struct Chaos {
    /// Number of events to send, all types together.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub events: u64,
    /// Seed of the random events and faults. Default: a new one.
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Minutes to send events for.
    #[arg(long, value_name = "M", default_value_t = 1.0, value_parser = read_minutes)]
    pub minutes: f64,
    /// Maximum number of events in a request. Default: 100, so that many requests meet a fault.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub batch_size: Option<u16>,
    /// Kinds of faults: all, none, or a list such as kill-function,lost-answer. docs/chaos.md describes them.
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = read_kinds)]
    pub faults: std::vec::Vec<Kind>,
    /// Repeat the run of a report, with the same events and faults.
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["events", "seed", "minutes", "batch_size", "faults"])]
    pub replay: Option<PathBuf>,
    /// Port of the emulator, on the loopback interface. Default: any free port.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Build the functions as for AWS, by `sam build` with Cargo's release profile: about six minutes the first time.
    #[arg(long)]
    pub release: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

fn read_minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=1440.0).contains(&minutes) => Ok(minutes),
        _ => Err("it must be from 0.1 to 1440".to_owned()),
    }
}

/// A type of events and their number.
fn read_event_count(text: &str) -> Result<(String, u64), String> {
    let (name, count) = text.split_once('=').unwrap_or((text, "1000"));
    match count.parse() {
        Ok(count @ 1..=10_000_000) if !name.is_empty() => Ok((name.to_owned(), count)),
        _ => Err("it must be a type, or a type and a count up to 10000000: orders=500".to_owned()),
    }
}

#[derive(Args, Debug)]
pub struct Up {
    /// Port of the emulator, on the loopback interface. Default: 4566, or any free port if it is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Build the functions as for AWS, by `sam build` with Cargo's release profile: about six minutes the first time. Use
    /// it to measure functions.
    #[arg(long)]
    pub release: bool,
}

#[derive(Args, Debug)]
pub struct Down {
    /// Also delete the data.
    #[arg(long)]
    pub purge: bool,
}

#[derive(Args, Debug)]
pub struct Status {
    /// Print the outputs of the stack as JSON.
    #[arg(long, conflicts_with = "base_url")]
    pub json: bool,
    /// Print the address of the API only.
    #[arg(long)]
    pub base_url: bool,
}

#[derive(Args, Debug)]
pub struct Loadgen {
    /// Arguments of the load generator: run, files or ads, and options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
}

#[derive(Args, Debug)]
pub struct Dashboard {
    /// Port of the page. Default: 8088, or any free port if it is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
    /// Open the page in a browser.
    #[arg(long)]
    pub open: bool,
    /// Show the stack that the tests deployed.
    #[arg(long, hide = true)]
    pub of_tests: bool,
}

#[derive(Args, Debug)]
pub struct Logs {
    /// Name of the log. Without it, list all logs.
    pub name: Option<String>,
    /// Show the logs of `demo` instead of those of `up`.
    #[arg(long)]
    pub demo: bool,
    /// Number of lines from its end.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub lines: usize,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    #[test]
    fn arguments_of_the_load_generator_are_passed_on_unchanged() {
        let given = ["files", "--help", "--seed", "1", "-c", "x.yaml", "--", "--verbose"];
        match Arguments::try_parse_from([&["dataless", "loadgen"], &given[..]].concat()).unwrap().command {
            Command::Loadgen(loadgen) => assert_eq!(loadgen.arguments, given),
            other => panic!("{other:?}"),
        }
        let of_its_own = Arguments::try_parse_from(["dataless", "loadgen", "--help"]).unwrap();
        assert!(matches!(of_its_own.command, Command::Loadgen(loadgen) if loadgen.arguments == ["--help"]));
    }

    #[test]
    fn types_of_a_demo_may_have_a_count() {
        let events = |text| match Arguments::try_parse_from(["dataless", "demo", "--events", text]) {
            Ok(Arguments { command: Command::Demo(demo), .. }) => Ok(demo.events),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(events("orders,returns=20").unwrap(), [("orders".to_owned(), 1_000), ("returns".to_owned(), 20)]);
        for wrong in ["orders=", "orders=0", "=5", "orders=many", ""] {
            assert!(events(wrong).unwrap_err().contains("a type, or a type and a count"), "{wrong}");
        }
    }

    #[test]
    fn chaos_repeats_a_report_or_takes_options() {
        let chaos = |arguments: &[&str]| match Arguments::try_parse_from([&["dataless", "chaos"], arguments].concat()) {
            Ok(Arguments { command: Command::Chaos(chaos), .. }) => Ok(chaos),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        let named = chaos(&["--events", "1000000", "--seed", "7", "--faults", "cut,kill-spark"]).unwrap();
        assert_eq!((named.events, named.seed, named.faults), (1_000_000, Some(7), vec![Kind::Cut, Kind::KillSpark]));
        let repeated = chaos(&["--replay", "report.json", "--json"]).unwrap();
        assert_eq!(repeated.replay, Some("report.json".into()));
        for wrong in [
            &["--replay", "report.json", "--seed", "7"][..],
            &["--replay", "report.json", "--faults", "none"],
            &["--minutes", "0"],
            &["--events", "999"],
            &["--faults", "earthquake"],
        ] {
            assert!(chaos(wrong).is_err(), "{wrong:?}");
        }
    }
}
