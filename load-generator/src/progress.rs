//! The progress line of a run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::account::Fate;

/// A line on the terminal, removed on drop. Without a terminal on standard error, there is none.
#[derive(Debug)]
pub struct Progress {
    line: ProgressBar,
    refused: AtomicU64,
    unknown: AtomicU64,
    retried: AtomicU64,
}

impl Progress {
    /// A line for about this many events.
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

    /// Counts more events.
    pub fn add(&self, events: u64) {
        self.line.inc(events);
    }

    /// Counts the fate of events.
    pub fn settled(&self, fate: &Fate, events: u64) {
        match fate {
            Fate::Acknowledged => {}
            Fate::Refused(_) => self.note(&self.refused, events),
            Fate::Unknown(_) => self.note(&self.unknown, events),
        }
        self.add(events);
    }

    /// Counts events that are retried.
    pub fn retried(&self, events: u64) {
        self.note(&self.retried, events);
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.line.finish_and_clear();
    }

    fn note(&self, counter: &AtomicU64, events: u64) {
        counter.fetch_add(events, Ordering::Relaxed);
        if self.line.is_hidden() {
            return;
        }
        let counters = [(&self.refused, "refused"), (&self.unknown, "unknown"), (&self.retried, "retried")];
        let counts = counters.map(|(counter, label)| (counter.load(Ordering::Relaxed), label));
        let notes = counts.iter().filter(|(count, _)| *count > 0);
        self.line
            .set_message(notes.map(|(count, label)| format!(", {} {label}", HumanCount(*count))).collect::<String>());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
