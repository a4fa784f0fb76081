//! A run over HTTP: threads, connections, signals, and the report at the end.

use crate::account::Account;
use crate::client::{Connection, Target};
use crate::config::Config;
use crate::deliver::{Control, Courier, Shared, Stopped};
use crate::dispatch::Dispatcher;
use crate::feed::{Feed, Loop};
use crate::journal::Entry;
use crate::plan::{Plan, Schedule};
use crate::progress::{Line, Progress};
use crate::random::Key;
use crate::report::Report;
use anyhow::Context;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The exit status of what a signal ended, as shells have it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Sends the traffic of a plan to `base_url` and reports; what becomes of each event goes to the journal.
pub fn run(
    config: &Config,
    plan: Plan,
    base_url: &str,
    target: Target,
    journal: Option<Entry>,
) -> anyhow::Result<Report> {
    let plan = Arc::new(plan);
    let requests = config.requests;
    let (age, kind) = match plan.schedule() {
        Schedule::Live { rate: None, .. } => (Some(requests.batch_age), Loop::Closed),
        Schedule::Day { rate: None, .. } => (None, Loop::Closed),
        Schedule::Live { .. } | Schedule::Day { .. } => (Some(requests.batch_age), Loop::Open),
    };
    let shared = Arc::new(Shared {
        feed: Feed::new(Dispatcher::new(plan.all_traffic(), requests.batch_size, age), kind),
        types: Arc::clone(&plan.types),
        requests,
        control: Control::new(),
        progress: Progress::default(),
    });
    let target = Arc::new(target);
    let runtime = single_thread()?;
    let interrupted = {
        let _guard = runtime.enter();
        signals()?
    };
    let started = Instant::now();
    let accounts = start_threads(&shared, &target, plan.seed(), journal)?;
    let account = runtime.block_on(async {
        let line = Line::new(plan.expected_events());
        tokio::select! {
            account = collect(accounts) => account,
            never = line.follow(&shared.progress) => match never {},
            never = end_early(&shared, interrupted) => match never {},
        }
    })?;
    let mut report = Report::new(&plan, base_url.to_owned(), account, shared.control.stopped(), started.elapsed());
    report.requests.connection_error = target.error();
    Ok(report)
}

fn single_thread() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("could not start the asynchronous runtime")
}

/// Starts the threads, each with connections of its own.
fn start_threads(
    shared: &Arc<Shared>,
    target: &Arc<Target>,
    seed: u64,
    journal: Option<Entry>,
) -> anyhow::Result<Vec<oneshot::Receiver<Account>>> {
    let connections = shared.requests.connections;
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get()).min(connections);
    let mut accounts = Vec::new();
    for thread in 0..threads {
        let (shared, target, journal) = (Arc::clone(shared), Arc::clone(target), journal.clone());
        let (sender, receiver) = oneshot::channel();
        let runtime = single_thread()?;
        let work = async move {
            let mut couriers = JoinSet::new();
            for number in (thread..connections).step_by(threads) {
                let connection = Connection::new(Arc::clone(&target));
                for stream in 0..shared.requests.streams {
                    let jitter = Key::new(seed).child(u64::MAX - number as u64).child(stream as u64).stream();
                    let courier =
                        Courier::new(Arc::clone(&shared), connection.another_stream(), jitter, journal.clone());
                    couriers.spawn(courier.run());
                }
            }
            drop(journal);
            let mut account = Account::new();
            while let Some(Ok(part)) = couriers.join_next().await {
                account.add(&part);
            }
            // Nobody listens only when the run has failed already.
            let _ = sender.send(account);
        };
        std::thread::Builder::new()
            .name(format!("loadgen-{thread}"))
            .spawn(move || runtime.block_on(work))
            .context("could not start a thread")?;
        accounts.push(receiver);
    }
    Ok(accounts)
}

async fn collect(accounts: Vec<oneshot::Receiver<Account>>) -> anyhow::Result<Account> {
    let mut whole = Account::new();
    for account in accounts {
        whole.add(&account.await.context("a thread has failed")?);
    }
    Ok(whole)
}

/// Ends the run when it's told to, by a signal or by those who send; never returns.
async fn end_early(shared: &Shared, interrupted: impl Future<Output = ()>) -> Infallible {
    tokio::select! {
        () = shared.control.wait() => {}
        () = interrupted => shared.control.stop(Stopped::Interrupted),
    }
    shared.feed.stop();
    std::future::pending().await
}

/// Waits for Ctrl-C or a request to terminate. From then on, another one ends the process at once.
#[cfg(unix)]
fn signals() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(i32::from(INTERRUPTED));
        });
    })
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
fn signals() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler, the system's own ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
