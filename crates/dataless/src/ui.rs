//! Output: steps with their times, colours only on a terminal, results on standard output and everything else on standard
//! error.

use std::cell::RefCell;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::log_file::last_line;

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// The spinners of steps that run at the same time, below each other.
static SPINNERS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// How often a running step is reported if standard error is not a terminal.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// The most characters of a log that a heartbeat quotes.
const QUOTED_CHARS: usize = 80;

/// The log of the command that a step is running.
type CurrentLog = Arc<Mutex<Option<PathBuf>>>;

thread_local! {
    /// The log of the step of this thread.
    static CURRENT_LOG: RefCell<Option<CurrentLog>> = const { RefCell::new(None) };
}

/// The first error of standard output.
static OUTPUT_ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a result to standard output like `print!`, but without a panic if the reader has gone.
macro_rules! out {
    ($($text:tt)*) => { $crate::ui::print(format_args!($($text)*)) };
}

/// As [`out!`], with a newline.
macro_rules! outln {
    () => { $crate::ui::print(format_args!("\n")) };
    ($($text:tt)*) => { $crate::ui::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints to standard output. After an error, the command continues without output, so that it never stops halfway because
/// its reader has gone. [`finish_output`] reports the error.
pub fn print(text: Arguments<'_>) {
    let mut error = OUTPUT_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if error.is_none() {
        *error = io::stdout().write_fmt(text).err();
    }
}

/// Fails if something could not be printed. A closed pipe is not an error.
pub fn finish_output() -> Result<()> {
    let error = OUTPUT_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take();
    match error.map_or_else(|| io::stdout().flush(), Err) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("failed to print the result"),
        _ => Ok(()),
    }
}

/// Prints each command before it runs.
pub fn set_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// Prints a command that is about to run, if the user wants that.
pub fn verbose(command: &str) {
    if VERBOSE.load(Ordering::Relaxed) {
        note(&format!("{} {command}", style("$").for_stderr().dim()));
    }
}

/// Prints a line to standard error.
pub fn note(text: &str) {
    // An error means that the user closed it.
    SPINNERS.suspend(|| drop(writeln!(io::stderr(), "{text}")));
}

/// Sets the log of the command that this thread's step runs now. The progress of the step quotes its last line.
pub fn runs_with_log(log: &Path) {
    CURRENT_LOG.with_borrow(|current| {
        if let Some(current) = current {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(log.to_owned());
        }
    });
}

/// Runs a long step. On a terminal a spinner shows its time; elsewhere it prints a line at its start and every 20 seconds.
/// At its end it prints a line with the time and the summary.
pub fn step<T>(
    name: &str,
    work: impl FnOnce() -> Result<T>,
    summary: impl FnOnce(&T) -> String,
) -> Result<(T, Duration)> {
    let started = Instant::now();
    let log = CurrentLog::default();
    let progress = Progress::start(name, &log);
    let outer = CURRENT_LOG.replace(Some(log));
    let result = work();
    CURRENT_LOG.set(outer);
    let elapsed = started.elapsed();
    progress.end();
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

/// The progress of a running step.
enum Progress {
    Spinner(ProgressBar),
    /// Lines, until the sender is dropped.
    Lines(Sender<()>, thread::JoinHandle<()>),
}

impl Progress {
    fn start(name: &str, log: &CurrentLog) -> Self {
        if Term::stderr().is_term() && !VERBOSE.load(Ordering::Relaxed) {
            return Self::Spinner(spinner(name));
        }
        note(&format!("→ {name}"));
        let (ended, end) = channel::<()>();
        let (name, log, started) = (name.to_owned(), Arc::clone(log), Instant::now());
        let heartbeat = move || {
            while end.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                let log = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let doing = log.and_then(|log| last_line(&log)).unwrap_or_default();
                note(&still_running(&name, started.elapsed(), &doing));
            }
        };
        Self::Lines(ended, thread::spawn(heartbeat))
    }

    fn end(self) {
        match self {
            Self::Spinner(bar) => bar.finish_and_clear(),
            Self::Lines(ended, heartbeat) => {
                drop(ended);
                let _ = heartbeat.join();
            }
        }
    }
}

fn still_running(name: &str, elapsed: Duration, doing: &str) -> String {
    let doing: String = doing.trim().chars().take(QUOTED_CHARS).collect();
    let separator = if doing.is_empty() { "" } else { ": " };
    format!("… {name}, {} s so far{separator}{doing}", elapsed.as_secs())
}

fn spinner(name: &str) -> ProgressBar {
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
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate for people: `0.2937` as `29.37 %`.
pub fn percent(rate: f64) -> String {
    format!("{:.2} %", rate * 100.0)
}

/// A rate for programs, rounded to four decimals like that of `GET /traffic/{ad-id}`; 0 if the whole is 0.
pub fn rate(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0 }
}

/// `1 line`, `1,234 lines`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Tool;

    #[test]
    fn thousands_are_separated() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (20_000, "20,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), expected);
        }
    }

    #[test]
    fn a_rate_has_one_form_for_people_and_one_for_programs() {
        assert_eq!([rate(5_118, 20_000), rate(1, 3), rate(2, 3), rate(0, 0)], [0.2559, 0.3333, 0.6667, 0.0]);
        assert_eq!([0.2559, 1.0, 0.0].map(percent), ["25.59 %", "100.00 %", "0.00 %"]);
    }

    #[test]
    fn a_noun_is_singular_for_one() {
        assert_eq!([0, 1, 1_200].map(|count| counted(count, "line")), ["0 lines", "1 line", "1,200 lines"]);
    }

    #[test]
    fn a_heartbeat_quotes_what_the_step_does() {
        assert_eq!(still_running("build", Duration::from_secs(41), ""), "… build, 41 s so far");
        let long = format!("   Compiling {}", "x".repeat(200));
        let line = still_running("build", Duration::from_secs(41), &long);
        assert!(line.starts_with("… build, 41 s so far: Compiling xxx") && line.ends_with("xxx"), "{line}");
        assert!(line.chars().count() < 110, "{line}");
    }

    #[test]
    fn a_step_knows_the_log_of_the_command_that_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool.log");
        let of_step = || {
            Tool::new("true", path.clone()).run()?;
            Ok(CURRENT_LOG.with_borrow(|current| current.as_ref().unwrap().lock().unwrap().clone()))
        };
        let (log, _) = step("try", of_step, |_| String::new()).unwrap();
        assert_eq!(log, Some(path));
        assert!(CURRENT_LOG.with_borrow(Option::is_none));
    }
}
