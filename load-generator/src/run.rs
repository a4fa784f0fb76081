//! A run over HTTP: connections, signals, and the report at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::client::{Connection, Target};
use crate::config::Config;
use crate::deliver::{Control, Shared, Stopped, Worker};
use crate::dispatch::Dispatcher;
use crate::feed::{Feed, LoadModel};
use crate::journal::Entry;
use crate::plan::{Plan, Schedule};
use crate::progress::Progress;
use crate::random::Key;
use crate::report::Report;

/// The exit status after a signal, as in shells: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Sends the traffic of a plan to `base_url`, and reports on it. The result of each event goes to the journal.
pub fn run(
    config: &Config,
    plan: Plan,
    base_url: &str,
    target: Target,
    journal: Option<Entry>,
) -> anyhow::Result<Report> {
    let plan = Arc::new(plan);
    let requests = config.requests;
    let (age, model) = match plan.schedule() {
        Schedule::Live { rate: None, .. } => (Some(requests.batch_age), LoadModel::Closed),
        Schedule::Day { rate: None, .. } => (None, LoadModel::Closed),
        Schedule::Live { .. } | Schedule::Day { .. } => (Some(requests.batch_age), LoadModel::Open),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shared = Arc::new(Shared {
        feed: Feed::new(Dispatcher::new(plan.all_traffic(), requests.batch_size, age), model),
        types: Arc::clone(&plan.types),
        requests,
        control: Control::default(),
        progress: Progress::new(plan.expected_events()),
    });
    stop_on_signals(&shared)?;
    let target = Arc::new(target);
    let started = Instant::now();
    let account = runtime.block_on(deliver(&shared, &target, plan.seed(), journal))?;
    shared.progress.clear();
    let mut report = Report::new(&plan, base_url.to_owned(), account, shared.control.stopped(), started.elapsed());
    report.requests.connection_error = target.error();
    Ok(report)
}

/// Sends all traffic over the configured number of connections.
async fn deliver(
    shared: &Arc<Shared>,
    target: &Arc<Target>,
    seed: u64,
    journal: Option<Entry>,
) -> anyhow::Result<Account> {
    let mut workers = JoinSet::new();
    for number in 0..shared.requests.connections {
        let connection = Connection::new(Arc::clone(target));
        for stream in 0..shared.requests.streams {
            let jitter = Key::new(seed).child(u64::MAX - number as u64).child(stream as u64).stream();
            let worker = Worker::new(Arc::clone(shared), connection.clone(), jitter, journal.clone());
            workers.spawn(worker.run());
        }
    }
    drop(journal);
    let mut account = Account::new();
    while let Some(part) = workers.join_next().await {
        account.add(&part.context("a connection's task has failed")?);
    }
    Ok(account)
}

/// Ctrl-C or SIGTERM ends the run; a second signal ends the process.
fn stop_on_signals(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let shared = Arc::clone(shared);
    let again = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if again.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        shared.stop(Stopped::Interrupted);
    })
    .context("failed to handle Ctrl-C")
}
