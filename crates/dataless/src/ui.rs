//! What the user sees: steps with their times, colours only on a terminal, results on standard output and all else on
//! standard error.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// The spinners of steps that run at the same time, below each other.
static SPINNERS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shows each command that is run.
pub fn set_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// A command that is about to run.
pub fn verbose(command: &str) {
    if VERBOSE.load(Ordering::Relaxed) {
        note(&format!("{} {command}", style("$").for_stderr().dim()));
    }
}

/// A line about what is going on.
pub fn note(text: &str) {
    SPINNERS.suspend(|| eprintln!("{text}"));
}

/// Runs a long step: a spinner with the time on a terminal, a line at its end everywhere. The step's own summary stands
/// behind its name.
pub fn step<T>(
    name: &str,
    work: impl FnOnce() -> Result<T>,
    summary: impl FnOnce(&T) -> String,
) -> Result<(T, Duration)> {
    let started = Instant::now();
    let spinner = spinner(name);
    let result = work();
    let elapsed = started.elapsed();
    spinner.finish_and_clear();
    let seconds = format!("{:>6.1} s", elapsed.as_secs_f64());
    match result {
        Ok(value) => {
            let mark = style("✓").for_stderr().green();
            note(&format!("{mark} {name:<28} {}  {}", style(seconds).for_stderr().dim(), summary(&value)));
            Ok((value, elapsed))
        }
        Err(error) => {
            let mark = style("✗").for_stderr().red();
            note(&format!("{mark} {name:<28} {}", style(seconds).for_stderr().dim()));
            Err(error)
        }
    }
}

fn spinner(name: &str) -> ProgressBar {
    if !Term::stderr().is_term() || VERBOSE.load(Ordering::Relaxed) {
        return ProgressBar::hidden();
    }
    let bar = SPINNERS.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg:<28} {elapsed:>8}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// `12345` as `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (20_000, "20,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), expected);
        }
    }
}
