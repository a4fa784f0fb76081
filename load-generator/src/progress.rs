//! What is shown while a run goes on.

use crate::account::Fate;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::convert::Infallible;
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts that change while a run goes on.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    retried: AtomicU64,
}

impl Progress {
    /// Counts the end of `count` events.
    pub fn settled(&self, fate: &Fate, count: u64) {
        let counter = match fate {
            Fate::Acknowledged => &self.acknowledged,
            Fate::Refused(_) => &self.refused,
            Fate::Unknown(_) => &self.unknown,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts events that are tried once more.
    pub fn retried(&self, count: u64) {
        self.retried.fetch_add(count, Ordering::Relaxed);
    }

    fn show(&self, bar: &ProgressBar) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (refused, unknown, retried) = (read(&self.refused), read(&self.unknown), read(&self.retried));
        bar.set_position(read(&self.acknowledged) + refused + unknown);
        let mut message = String::new();
        for (count, what) in [(refused, "refused"), (unknown, "unknown"), (retried, "retried")] {
            if count > 0 {
                message.push_str(&format!(", {} {what}", HumanCount(count)));
            }
        }
        bar.set_message(message);
    }
}

/// How often the line is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// A line on the terminal, gone when dropped; none when errors don't go to a terminal.
#[derive(Debug)]
pub struct Line(Option<ProgressBar>);

impl Line {
    /// A line for about so many events.
    pub fn new(events: u64) -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(events);
        let style = "{elapsed_precise} {wide_bar} {human_pos} of about {human_len} events, {per_sec}{msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Shows so many events more.
    pub fn add(&self, events: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(events);
        }
    }

    /// Redraws the line for ever.
    pub async fn follow(&self, progress: &Progress) -> Infallible {
        let Some(bar) = &self.0 else { return std::future::pending().await };
        loop {
            progress.show(bar);
            tokio::time::sleep(REDRAW).await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
