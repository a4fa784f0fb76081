//! The commands, one module each.

pub mod chaos;
mod dashboard;
mod demo;
mod doctor;
mod down;
mod erase;
mod events;
mod import;
mod jobs;
mod ledger;
mod loadgen;
mod lock;
mod logs;
mod query;
mod replay;
mod set_up;
mod status;
pub mod test;
mod traffic;
mod undelivered;
mod up;

use anyhow::Result;

use crate::cli::Command;
use crate::locks::{self, Mode, Needs, Resource};
use crate::outcome::Outcome;
use crate::workspace::{InstanceName, Workspace};

/// Runs a command.
pub fn run(command: Command, warehouse: InstanceName) -> Result<Outcome> {
    let workspace = Workspace::find()?.selecting(warehouse);
    let _guard = match needs(&command) {
        Some((name, needs)) => Some(locks::acquire(&workspace.locks(warehouse), name, needs)?),
        None => None,
    };
    match command {
        Command::Chaos(options) => chaos::run(&workspace, &options),
        Command::Demo(options) => demo::run(&workspace, &options),
        Command::Up(options) => up::run(&workspace, &options),
        Command::Down(options) => down::run(&workspace, &options),
        Command::Status(options) => status::run(&workspace, &options),
        Command::Etl(options) => jobs::etl(&workspace, &options),
        Command::Batch(range) => jobs::batch(&workspace, range),
        Command::Loadgen(options) => loadgen::run(&workspace, &options),
        Command::Import(options) => import::run(&workspace, &options),
        Command::Ledger(options) => ledger::ledger(&workspace, &options),
        Command::Verify(range) => jobs::verify(&workspace, range),
        Command::Rejected(options) => ledger::rejected(&workspace, &options),
        Command::Replay(options) if options.undelivered => undelivered::run(&workspace, &options),
        Command::Replay(options) => replay::run(&workspace, &options),
        Command::Erase(options) => erase::run(&workspace, &options),
        Command::Events(options) => events::run(&workspace, &options),
        Command::Query(options) => query::run(&workspace, &options),
        Command::Traffic(options) => traffic::run(&workspace, &options),
        Command::Dashboard(options) => dashboard::run(&workspace, &options),
        Command::Logs(options) => logs::run(&workspace, &options),
        Command::Doctor(options) => doctor::run(&workspace, &options),
        Command::Lock(options) => lock::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
    }
}

/// The name of a command that works on a lasting warehouse, and the locks that it needs. Other commands have a warehouse of
/// their own, or only read the current state.
const fn needs(command: &Command) -> Option<(&'static str, Needs)> {
    const ALONE: Needs = &[(Resource::Warehouse, Mode::Exclusive)];
    const RUNNING: Needs = &[(Resource::Warehouse, Mode::Shared)];
    const SHARED: Needs = &[(Resource::Warehouse, Mode::Shared), (Resource::Lines, Mode::Shared)];
    const ERASES: Needs = &[(Resource::Warehouse, Mode::Shared), (Resource::Lines, Mode::Exclusive)];
    const BACKFILLS: Needs =
        &[(Resource::Warehouse, Mode::Shared), (Resource::Lines, Mode::Shared), (Resource::Days, Mode::Exclusive)];
    // Days that a backfill is changing would differ.
    const COMPARES: Needs =
        &[(Resource::Warehouse, Mode::Shared), (Resource::Lines, Mode::Shared), (Resource::Days, Mode::Shared)];
    const RESTORES: Needs = &[
        (Resource::Warehouse, Mode::Shared),
        (Resource::Lines, Mode::Shared),
        (Resource::Undelivered, Mode::Exclusive),
    ];
    Some(match command {
        Command::Up(_) => ("up", ALONE),
        Command::Down(_) => ("down", ALONE),
        Command::Etl(_) => ("etl", SHARED),
        Command::Batch(_) => ("batch", BACKFILLS),
        Command::Import(_) => ("import", SHARED),
        Command::Ledger(_) => ("ledger", SHARED),
        Command::Verify(_) => ("verify", COMPARES),
        Command::Rejected(_) => ("rejected", SHARED),
        Command::Replay(options) if options.undelivered => ("replay --undelivered", RESTORES),
        Command::Replay(_) => ("replay", SHARED),
        Command::Erase(options) => ("erase", if options.yes { ERASES } else { SHARED }),
        Command::Query(_) => ("query", SHARED),
        Command::Traffic(_) => ("traffic", RUNNING),
        Command::Loadgen(_) => ("loadgen", RUNNING),
        Command::Chaos(_)
        | Command::Demo(_)
        | Command::Status(_)
        | Command::Events(_)
        | Command::Dashboard(_)
        | Command::Logs(_)
        | Command::Doctor(_)
        | Command::Lock(_)
        | Command::Test(_) => return None,
    })
}
