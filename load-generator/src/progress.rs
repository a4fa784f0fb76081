//! The line that shows how far a run is.

use crate::account::Fate;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A line on the terminal, gone when dropped; there is none when errors don't go to a terminal.
#[derive(Debug)]
pub struct Progress {
    line: ProgressBar,
    refused: AtomicU64,
    unknown: AtomicU64,
    retried: AtomicU64,
}

impl Progress {
    /// A line for about so many events.
    pub fn new(events: u64) -> Self {
        let line = ProgressBar::new(events);
        let style = "{elapsed_precise} {wide_bar} {human_pos} of about {human_len} events, {per_sec}{msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            line.set_style(style);
        }
        if !line.is_hidden() {
            line.enable_steady_tick(Duration::from_millis(200));
        }
        Self { line, refused: AtomicU64::new(0), unknown: AtomicU64::new(0), retried: AtomicU64::new(0) }
    }

    /// Counts so many events more.
    pub fn add(&self, events: u64) {
        self.line.inc(events);
    }

    /// Counts the end of so many events.
    pub fn settled(&self, fate: &Fate, events: u64) {
        match fate {
            Fate::Acknowledged => {}
            Fate::Refused(_) => self.note(&self.refused, events),
            Fate::Unknown(_) => self.note(&self.unknown, events),
        }
        self.add(events);
    }

    /// Counts events that are tried once more.
    pub fn retried(&self, events: u64) {
        self.note(&self.retried, events);
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.line.finish_and_clear();
    }

    fn note(&self, counter: &AtomicU64, events: u64) {
        counter.fetch_add(events, Ordering::Relaxed);
        if self.line.is_hidden() {
            return;
        }
        let counters = [(&self.refused, "refused"), (&self.unknown, "unknown"), (&self.retried, "retried")];
        let counts = counters.map(|(counter, what)| (counter.load(Ordering::Relaxed), what));
        let notes = counts.iter().filter(|(count, _)| *count > 0);
        self.line
            .set_message(notes.map(|(count, what)| format!(", {} {what}", HumanCount(*count))).collect::<String>());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
