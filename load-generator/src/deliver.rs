//! Takes batches from the feed and sends each until all of its events are settled.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::account::{Account, Fate};
use crate::answer::{AttemptError, CONNECT_FAILED, Code, Verdict, Verdicts, backoff, judge};
use crate::client::Connection;
use crate::config::Requests;
use crate::dispatch::Batch;
use crate::event::{Event, Table, Writer};
use crate::feed::Feed;
use crate::journal::Entry;
use crate::progress::Progress;
use crate::random::Stream;
use crate::types::Types;

/// The run ends after this many failed batches in a row.
///
/// A batch counts as failed if no connection could be made, or if it was refused by status (a wrong URL, a missing key): more
/// of them would fail in the same way. A server that is slow or asks to retry later is not given up.
pub const GIVE_UP_AFTER: u32 = 3;

/// Why a run ended before its traffic did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// By a signal.
    Interrupted,
    /// No connection could be made.
    Unreachable,
    /// The server refused whole batches.
    Refused,
}

/// Ends a run early.
#[derive(Debug, Default)]
pub struct Control {
    stopped: watch::Sender<Option<Stopped>>,
    failures: AtomicU32,
}

impl Control {
    fn stop(&self, reason: Stopped) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert(reason);
            first
        });
    }

    /// Why the run was ended, if it was.
    pub fn stopped(&self) -> Option<Stopped> {
        *self.stopped.borrow()
    }

    /// Waits until the run is ended.
    pub async fn wait(&self) {
        // The sender lives as long as this.
        drop(self.stopped.subscribe().wait_for(Option::is_some).await);
    }

    fn succeeded(&self) {
        // Written only if it changes, since every connection reads it.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

/// The state that all workers of a run share.
#[derive(Debug)]
pub struct Shared {
    /// Where batches come from.
    pub feed: Feed,
    /// The types, for writing events.
    pub types: Arc<Types>,
    /// How to send.
    pub requests: Requests,
    /// Ends the run.
    pub control: Control,
    /// Shows the progress of the run.
    pub progress: Progress,
}

impl Shared {
    /// Ends the run. The first reason is kept.
    pub fn stop(&self, reason: Stopped) {
        self.control.stop(reason);
        self.feed.stop();
    }

    fn failed(&self, reason: Stopped) {
        if self.control.failures.fetch_add(1, Ordering::Relaxed) + 1 >= GIVE_UP_AFTER {
            self.stop(reason);
        }
    }
}

/// Sends batches over one connection, one after another.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    connection: Connection,
    writer: Writer,
    jitter: Stream,
    account: Account,
    journal: Option<Entry>,
}

impl Worker {
    /// A worker that spreads its retries by `jitter`.
    pub fn new(shared: Arc<Shared>, connection: Connection, jitter: Stream, journal: Option<Entry>) -> Self {
        Self { shared, connection, writer: Writer::default(), jitter, account: Account::new(), journal }
    }

    /// Sends until there is no more to send.
    pub async fn run(mut self) -> Account {
        while let Some((batch, since)) = self.shared.feed.next().await {
            self.deliver(batch, since).await;
            if self.shared.control.stopped().is_some() {
                break;
            }
        }
        self.account
    }

    /// Sends a batch until each of its events is settled.
    async fn deliver(&mut self, batch: Batch, since: Instant) {
        let Batch { table, number, mut events, .. } = batch;
        for event in &events {
            self.account.count(table).sent(event);
        }
        let shared = Arc::clone(&self.shared);
        let mut tries = 0;
        let mut maybe_stored = false;
        let feed = Arc::clone(&self.shared);
        let sent = move || feed.feed.handed_over(table, number);
        while !events.is_empty() {
            tries += 1;
            let verdicts = self.try_once(table, &events, sent.clone()).await;
            let Some(error) = self.settle(table, &mut events, verdicts, maybe_stored, tries) else { break };
            maybe_stored |= error.maybe_stored;
            *self.account.causes.entry(error.code.clone()).or_default() += 1;
            if tries >= shared.requests.tries || !self.wait(tries, &error).await {
                self.give_up(table, &events, error.code, maybe_stored, tries);
                break;
            }
            self.account.retries += 1;
            self.account.count(table).retried += events.len() as u64;
            shared.progress.retried(events.len() as u64);
        }
        // Whatever the result, its clicks need not wait any longer.
        sent();
        self.account.table(table).latency.record(since.elapsed());
    }

    async fn try_once(&mut self, table: Table, events: &[Event], sent: impl Fn() + Clone + Send + 'static) -> Verdicts {
        let body = self.body(table, events);
        self.account.requests += 1;
        let length = body.len() as u64;
        let started = Instant::now();
        let answer = self.connection.post(table, body, sent).await;
        self.account.service.record(started.elapsed());
        if !matches!(&answer, Err(error) if error.code == CONNECT_FAILED) {
            self.account.bytes_sent += length;
        }
        match answer {
            Ok(answer) => {
                self.account.bytes_received += answer.body.len() as u64;
                judge(answer.status, answer.retry_after, &answer.body, events.len())
            }
            Err(error) => Verdicts::All(Verdict::Retry(error)),
        }
    }

    fn body(&mut self, table: Table, events: &[Event]) -> Bytes {
        let mut body = Vec::with_capacity(256 * events.len());
        self.writer.batch(table, events, &self.shared.types, &mut body);
        if self.shared.requests.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing to a vector cannot fail.
            let written = encoder.write_all(&body);
            debug_assert!(written.is_ok());
            body = encoder.finish().unwrap_or_default();
        }
        body.into()
    }

    /// Records the results of an attempt, and leaves the events that need a retry in `events`, with the reason.
    /// `maybe_stored`: an earlier attempt may have stored them.
    fn settle(
        &mut self,
        table: Table,
        events: &mut Vec<Event>,
        verdicts: Verdicts,
        maybe_stored: bool,
        tries: u32,
    ) -> Option<AttemptError> {
        let shared = Arc::clone(&self.shared);
        match verdicts {
            Verdicts::All(Verdict::Acknowledged) => {
                shared.control.succeeded();
                self.settle_all(table, events, &Fate::Acknowledged, tries);
                None
            }
            Verdicts::All(Verdict::Refused(code)) => {
                shared.failed(Stopped::Refused);
                // The status is about this request. The result of an earlier one is still unknown.
                let fate = if maybe_stored { Fate::Unknown(code) } else { Fate::Refused(code) };
                self.settle_all(table, events, &fate, tries);
                None
            }
            Verdicts::All(Verdict::Retry(error)) => Some(error),
            Verdicts::Each(verdicts) => {
                shared.control.succeeded();
                let mut again = None;
                let mut verdicts = verdicts.into_iter();
                events.retain(|event| {
                    let fate = match verdicts.next() {
                        Some(Verdict::Acknowledged) => Fate::Acknowledged,
                        // This is about the event, which has not changed since earlier attempts.
                        Some(Verdict::Refused(code)) => Fate::Refused(code),
                        Some(Verdict::Retry(error)) => {
                            again = Some(error);
                            return true;
                        }
                        None => return true,
                    };
                    self.settle_all(table, std::slice::from_ref(event), &fate, tries);
                    false
                });
                again
            }
        }
    }

    fn settle_all(&mut self, table: Table, events: &[Event], fate: &Fate, tries: u32) {
        let count = self.account.count(table);
        for event in events {
            count.settled(event, fate);
        }
        self.shared.progress.settled(fate, events.len() as u64);
        if let Some(journal) = &self.journal {
            journal.settled(events, fate, tries);
        }
    }

    fn give_up(&mut self, table: Table, events: &[Event], code: Code, maybe_stored: bool, tries: u32) {
        if code == CONNECT_FAILED {
            self.shared.failed(Stopped::Unreachable);
        }
        let fate = if maybe_stored { Fate::Unknown(code) } else { Fate::Refused(code) };
        self.settle_all(table, events, &fate, tries);
    }

    /// Waits before the next attempt. False when the run was ended meanwhile.
    async fn wait(&mut self, tries: u32, error: &AttemptError) -> bool {
        let time = backoff(tries, self.jitter.unit(), error.retry_after);
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.shared.control.wait() => false,
        }
    }
}
