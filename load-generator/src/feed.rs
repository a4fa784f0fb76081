//! Distributes batches to the free connections.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::Instant;

use crate::dispatch::{Batch, Dispatcher, Next};
use crate::event::Table;
use crate::traffic::Traffic;

/// Whether the users wait for the server: a closed or an open workload model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadModel {
    /// The users' clock stops while no connection is free: a slow server has slower users.
    Closed,
    /// The users' clock never stops, and latency counts from the time when a batch was to be sent.
    Open,
}

/// The batches of a run, for any number of connections on any number of threads.
#[derive(Debug)]
pub struct Feed {
    state: Mutex<State>,
    /// Held by the one connection that waits for the clock, so that an event wakes only one of them.
    turn: AsyncMutex<()>,
    changed: Notify,
    model: LoadModel,
}

#[derive(Debug)]
struct State {
    dispatcher: Dispatcher<Traffic>,
    /// When the users' clock was at 0, if it had never stopped.
    start: Instant,
    /// Connections that are free.
    free: usize,
    /// Since when the users' clock is stopped.
    paused: Option<Instant>,
}

impl Feed {
    /// A feed whose clock starts now.
    pub fn new(dispatcher: Dispatcher<Traffic>, model: LoadModel) -> Self {
        let state = State { dispatcher, start: Instant::now(), free: 0, paused: None };
        Self { state: Mutex::new(state), turn: AsyncMutex::new(()), changed: Notify::new(), model }
    }

    /// The next batch, once it is due, with the time from which its latency counts. `None` when there are no more.
    pub async fn next(&self) -> Option<(Batch, Instant)> {
        let mut asked = self.ask(true);
        let mut turn = None;
        loop {
            match asked {
                Asked::Batch(batch, since) => return Some((batch, since)),
                Asked::Finished => return None,
                Asked::WaitUntil(_) | Asked::WaitForHandover if turn.is_none() => turn = Some(self.turn.lock().await),
                Asked::WaitUntil(time) => tokio::select! {
                    () = tokio::time::sleep_until(time) => {}
                    () = self.changed.notified() => {}
                },
                // A handover since the last call of `ask` has left its permit.
                Asked::WaitForHandover => self.changed.notified().await,
            }
            asked = self.ask(false);
        }
    }

    /// Marks the request of a batch as being sent.
    pub fn handed_over(&self, table: Table, number: u64) {
        if table == Table::Impressions {
            self.lock().dispatcher.handed_over(number);
            self.changed.notify_one();
        }
    }

    /// Hands out no more batches.
    pub fn stop(&self) {
        self.lock().dispatcher.stop();
        self.changed.notify_one();
    }

    fn ask(&self, comes_free: bool) -> Asked {
        let now = Instant::now();
        let mut state = self.lock();
        if comes_free {
            state.free += 1;
            if let Some(paused) = state.paused.take() {
                state.start += now.saturating_duration_since(paused);
            }
        }
        let start = state.start;
        let asked = match state.dispatcher.next(now.saturating_duration_since(start)) {
            Next::WaitUntil(time) => return Asked::WaitUntil(start + time),
            Next::WaitForHandover => return Asked::WaitForHandover,
            Next::Finished => Asked::Finished,
            Next::Batch(batch) => {
                let since = if self.model == LoadModel::Open { start + batch.intended } else { now };
                Asked::Batch(batch, since)
            }
        };
        state.free -= 1;
        if state.free == 0 && self.model == LoadModel::Closed {
            state.paused = Some(now);
        }
        asked
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so a panic elsewhere does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be sent now.
enum Asked {
    Batch(Batch, Instant),
    WaitUntil(Instant),
    WaitForHandover,
    Finished,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::DateTime;
    use tokio::time::sleep;

    use super::*;
    use crate::config::Config;
    use crate::plan::{Plan, Schedule};

    /// Two impressions, due after 0 and 100 ms, each in its own batch.
    fn feed(model: LoadModel) -> Feed {
        let text = "\
Duration: 1m
Ads: {Count: 1}
Users: {Count: 1, ClickthroughProbability: 0, ViewFrequency: 1s, ConsiderDuration: 1s}
";
        let config = Config::parse("config.yaml", text).unwrap();
        let schedule =
            Schedule::Live { start: DateTime::UNIX_EPOCH, until: None, impressions: Some(2), rate: Some(10.0) };
        let plan = Arc::new(Plan::new(&config, 1, schedule, Vec::new()));
        Feed::new(Dispatcher::new(plan.all_traffic(), 1, Some(Duration::from_millis(1))), model)
    }

    /// The start of the latency measurement of both batches, if the server takes one second for the first.
    async fn starts(model: LoadModel) -> [Duration; 2] {
        let (feed, start) = (feed(model), Instant::now());
        let (_, first) = feed.next().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let (_, second) = feed.next().await.unwrap();
        assert!(feed.next().await.is_none());
        [first - start, second - start]
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_closed_model_users_wait_for_a_slow_server() {
        assert_eq!(starts(LoadModel::Closed).await, [Duration::ZERO, Duration::from_millis(1_100)]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_open_model_latency_counts_from_when_a_batch_was_due() {
        assert_eq!(starts(LoadModel::Open).await, [Duration::ZERO, Duration::from_millis(100)]);
    }
}
