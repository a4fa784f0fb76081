//! Hands batches to the connections that ask for them.

use crate::dispatch::{Batch, Dispatcher, Next};
use crate::event::Table;
use crate::traffic::Traffic;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Mutex as AsyncMutex, Notify};

/// Whether the users wait for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// The users' clock stands still while no connection is free: a slow server has slower users.
    Closed,
    /// The users' clock goes on whatever the server does, and latency counts from when a batch was to be sent.
    Open,
}

/// The batches of a run, for any number of connections on any number of threads.
#[derive(Debug)]
pub struct Feed {
    state: Mutex<State>,
    /// Held by the one connection that waits for the clock, so that an event wakes one of them and not all.
    turn: AsyncMutex<()>,
    changed: Notify,
    kind: Loop,
}

#[derive(Debug)]
struct State {
    dispatcher: Dispatcher<Traffic>,
    /// When the users' clock showed 0, as if it had never stood still.
    start: Instant,
    /// Connections that are free.
    free: usize,
    /// Since when the users' clock has stood still.
    paused: Option<Instant>,
}

impl Feed {
    /// A feed whose clock starts now.
    pub fn new(dispatcher: Dispatcher<Traffic>, kind: Loop) -> Self {
        let state = State { dispatcher, start: Instant::now(), free: 0, paused: None };
        Self { state: Mutex::new(state), turn: AsyncMutex::new(()), changed: Notify::new(), kind }
    }

    /// The next batch, once it's time for it, with the moment from which its latency counts; `None` when there are no
    /// more.
    pub async fn next(&self) -> Option<(Batch, Instant)> {
        let mut asked = self.ask(true);
        let mut turn = None;
        loop {
            match asked {
                Asked::Batch(batch, since) => return Some((batch, since)),
                Asked::Finished => return None,
                Asked::WaitUntil(_) | Asked::WaitForHandover if turn.is_none() => turn = Some(self.turn.lock().await),
                Asked::WaitUntil(time) => tokio::select! {
                    () = tokio::time::sleep_until(time.into()) => {}
                    () = self.changed.notified() => {}
                },
                // A handover since the question was asked has left its permit.
                Asked::WaitForHandover => self.changed.notified().await,
            }
            asked = self.ask(false);
        }
    }

    /// Tells that the request of a batch is on its way.
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
                let since = if self.kind == Loop::Open { start + batch.intended } else { now };
                Asked::Batch(batch, since)
            }
        };
        state.free -= 1;
        if state.free == 0 && self.kind == Loop::Closed {
            state.paused = Some(now);
        }
        asked
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to what is to be sent now.
enum Asked {
    Batch(Batch, Instant),
    WaitUntil(Instant),
    WaitForHandover,
    Finished,
}
