//! Takes batches from the feed and sees each through to its end.

use crate::account::{Account, Fate};
use crate::answer::{CONNECT_FAILED, Code, Trouble, Verdict, Verdicts, backoff, judge};
use crate::client::Connection;
use crate::config::Requests;
use crate::dispatch::Batch;
use crate::event::{Event, Table, Writer};
use crate::feed::Feed;
use crate::journal::Entry;
use crate::progress::Progress;
use crate::random::Stream;
use crate::types::Types;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tokio::sync::watch;

/// After so many batches in a row that no beacon took as a whole, the run ends.
///
/// Those are batches for which no connection could be made, or whose every event was refused by status (a wrong URL,
/// a missing key): more of them would tell nothing new. A server that is slow or says to come back later is not left.
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

/// Ends a run before its time.
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
        // Written only when it changes something, as every connection reads it.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

/// What all couriers of a run share.
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
    /// Shown while the run goes on.
    pub progress: Progress,
}

impl Shared {
    /// Ends the run; the first reason stands.
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
pub struct Courier {
    shared: Arc<Shared>,
    connection: Connection,
    writer: Writer,
    jitter: Stream,
    account: Account,
    journal: Option<Entry>,
}

impl Courier {
    /// A courier that spreads its retries by `jitter`.
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
            let Some(trouble) = self.settle(table, &mut events, verdicts, maybe_stored, tries) else { break };
            maybe_stored |= trouble.maybe_stored;
            *self.account.causes.entry(trouble.code.clone()).or_default() += 1;
            if tries >= shared.requests.tries || !self.wait(tries, &trouble).await {
                self.give_up(table, &events, trouble.code, maybe_stored, tries);
                break;
            }
            self.account.retries += 1;
            self.account.count(table).retried += events.len() as u64;
            shared.progress.retried(events.len() as u64);
        }
        // Whatever became of it, its clicks need wait no longer.
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
        if !matches!(&answer, Err(trouble) if trouble.code == CONNECT_FAILED) {
            self.account.bytes_sent += length;
        }
        match answer {
            Ok(answer) => {
                self.account.bytes_received += answer.body.len() as u64;
                judge(answer.status, answer.retry_after, &answer.body, events.len())
            }
            Err(trouble) => Verdicts::All(Verdict::Again(trouble)),
        }
    }

    fn body(&mut self, table: Table, events: &[Event]) -> Bytes {
        let mut body = Vec::with_capacity(256 * events.len());
        self.writer.batch(table, events, &self.shared.types, &mut body);
        if self.shared.requests.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // A vector takes every write.
            let written = encoder.write_all(&body);
            debug_assert!(written.is_ok());
            body = encoder.finish().unwrap_or_default();
        }
        body.into()
    }

    /// Settles what a try has settled and leaves the rest in `events`, with the reason. `maybe_stored` tells whether an
    /// earlier try may have stored them.
    fn settle(
        &mut self,
        table: Table,
        events: &mut Vec<Event>,
        verdicts: Verdicts,
        maybe_stored: bool,
        tries: u32,
    ) -> Option<Trouble> {
        let shared = Arc::clone(&self.shared);
        match verdicts {
            Verdicts::All(Verdict::Acknowledged) => {
                shared.control.succeeded();
                self.settle_all(table, events, &Fate::Acknowledged, tries);
                None
            }
            Verdicts::All(Verdict::Refused(code)) => {
                shared.failed(Stopped::Refused);
                // The status is about this request: what became of the one before is as unknown as it was.
                let fate = if maybe_stored { Fate::Unknown(code) } else { Fate::Refused(code) };
                self.settle_all(table, events, &fate, tries);
                None
            }
            Verdicts::All(Verdict::Again(trouble)) => Some(trouble),
            Verdicts::Each(verdicts) => {
                shared.control.succeeded();
                let mut again = None;
                let mut verdicts = verdicts.into_iter();
                events.retain(|event| {
                    let fate = match verdicts.next() {
                        Some(Verdict::Acknowledged) => Fate::Acknowledged,
                        // This is about the event, which is what it was before.
                        Some(Verdict::Refused(code)) => Fate::Refused(code),
                        Some(Verdict::Again(trouble)) => {
                            again = Some(trouble);
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

    /// Waits before the next try; `false` when there is to be none, as the run has been ended.
    async fn wait(&mut self, tries: u32, trouble: &Trouble) -> bool {
        let time = backoff(tries, self.jitter.unit(), trouble.retry_after);
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.shared.control.wait() => false,
        }
    }
}
