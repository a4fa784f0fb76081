#![doc = include_str!("../README.md")]

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use fuzz::memory::Counting;
use fuzz::{rng, run, targets};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The case at work: its target, number and input, for whoever reads of a panic.
static CASE: Mutex<(&str, u64, Vec<u8>)> = Mutex::new(("", 0, Vec::new()));

/// Everything that reads bytes from outside, under random and damaged input.
#[derive(Parser)]
struct Arguments {
    /// How long all targets may take together
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The most cases of a target
    #[arg(long, default_value_t = u64::MAX)]
    cases: u64,
    /// What the cases are drawn from: the same seed makes the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// These targets alone
    #[arg(long)]
    target: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let case = CASE.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("{}: case {} with the input \"{}\"", case.0, case.1, case.2.escape_ascii());
    }));
    let mut chosen = targets::all();
    chosen.retain(|target| arguments.target.is_empty() || arguments.target.iter().any(|name| name == target.name()));
    if chosen.is_empty() {
        eprintln!("there is no such target");
        return ExitCode::FAILURE;
    }
    eprintln!("seed {}, {} seconds for {} targets", arguments.seed, arguments.seconds, chosen.len());
    eprintln!(
        "{:10} {:>12} {:>8} {:>6} {:>9} {:>7} {:>12} {:>12}",
        "target", "cases", "seconds", "taken", "cases/s", "bytes", "most at once", "largest"
    );
    let time = Duration::from_secs(arguments.seconds) / u32::try_from(chosen.len()).unwrap_or(u32::MAX);
    let mut total = 0;
    for target in &mut chosen {
        let name = target.name();
        let outcome = run(target.as_mut(), &mut rng(name, arguments.seed), arguments.cases, time, |number, input| {
            let mut case = CASE.lock().unwrap_or_else(PoisonError::into_inner);
            (case.0, case.1) = (name, number);
            case.2.clear();
            case.2.extend_from_slice(input);
        });
        let cases = outcome.cases.max(1) as f64;
        eprintln!(
            "{name:10} {:12} {:8.1} {:5.1}% {:9.0} {:7.0} {:12} {:12}",
            outcome.cases,
            outcome.time.as_secs_f64(),
            100.0 * outcome.taken as f64 / cases,
            cases / outcome.time.as_secs_f64(),
            outcome.bytes as f64 / cases,
            outcome.most.peak,
            outcome.most.largest
        );
        total += outcome.cases;
    }
    eprintln!("{:10} {total:12}", "all");
    ExitCode::SUCCESS
}
