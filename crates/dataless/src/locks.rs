//! Commands that conflict on one warehouse wait for each other, and print for which command they wait.
//!
//! The locks are `flock`s, which the system releases when their process ends. Each process that holds or waits for locks
//! writes a note and locks it too. A note that can be locked belongs to a process that has ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use crate::process::check_interrupted;
use crate::ui::note;

const POLL: Duration = Duration::from_millis(100);

/// What commands lock, in the order in which they lock it, so that there is no deadlock.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// The running warehouse. A command that starts or stops it needs it exclusively.
    Warehouse,
    /// The lines and everything derived from them. An erasure needs them exclusively. All others can share them: a run of
    /// the ETL replaces partitions in one step, and Spark runs one job at a time.
    Lines,
    /// A backfill. Two at once would make each other's days stale.
    Days,
    /// The records that Firehose set aside. They are copied to raw and then deleted.
    Undelivered,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Shared,
    Exclusive,
}

/// What a command needs, in the order of [`Resource`].
pub type Needs = &'static [(Resource, Mode)];

/// A process that holds locks or waits for them.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Holder {
    /// Only its name: the arguments of an erasure must not be stored.
    command: String,
    pid: u32,
    since: DateTime<Utc>,
    needs: Vec<(Resource, Mode)>,
}

/// Holds locks until it is dropped.
#[derive(Debug)]
pub struct Guard {
    _locks: Vec<File>,
    note: PathBuf,
    _note: File,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Until the process ends, the note is locked. Afterwards any other process may remove it.
        let _ = std::fs::remove_file(&self.note);
    }
}

/// Locks what a command needs, and waits for it until Ctrl-C is pressed. `folder` has the locks of one warehouse.
pub fn acquire(folder: &Path, command: &str, needs: Needs) -> Result<Guard> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let holder = Holder {
        command: command.to_owned(),
        pid: std::process::id(),
        since: Utc::now().trunc_subsecs(0),
        needs: needs.to_vec(),
    };
    let (path, file) = write_note(folder, &holder)?;
    let mut guard = Guard { _locks: Vec::new(), note: path, _note: file };
    for (resource, mode) in needs {
        let name = format!("{resource:?}").to_lowercase();
        // A waiting process holds this lock, so that later processes that share the resource can't starve it.
        let _door = wait(&folder.join(format!("{name}.door")), Mode::Exclusive, folder, &holder)?;
        guard._locks.push(wait(&folder.join(format!("{name}.lock")), *mode, folder, &holder)?);
    }
    Ok(guard)
}

fn wait(path: &Path, mode: Mode, folder: &Path, holder: &Holder) -> Result<File> {
    let file = open(path)?;
    let mut announced = Vec::new();
    loop {
        let taken = if mode == Mode::Exclusive { file.try_lock() } else { file.try_lock_shared() };
        match taken {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        check_interrupted()?;
        let others = conflicting(folder, holder);
        if !others.is_empty() && others != announced {
            note(&format!("Waiting for {}. Press Ctrl-C to stop waiting.", others.join(" and ")));
            announced = others;
        }
        std::thread::sleep(POLL);
    }
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    file.with_context(|| format!("failed to create {}", path.display()))
}

/// Writes and locks a note under a temporary name, and then renames it.
fn write_note(folder: &Path, holder: &Holder) -> Result<(PathBuf, File)> {
    let path = folder.join(format!("{}.note", holder.pid));
    let partial = path.with_extension("partial");
    let write = || -> std::io::Result<File> {
        let mut file = File::create(&partial)?;
        file.lock()?;
        file.write_all(serde_json::to_string(holder)?.as_bytes())?;
        std::fs::rename(&partial, &path)?;
        Ok(file)
    };
    let file = write().with_context(|| format!("failed to write {}", path.display()))?;
    Ok((path, file))
}

/// The processes that hold, or wait for, locks that conflict with the holder's.
fn conflicting(folder: &Path, holder: &Holder) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let notes = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("note".as_ref()));
    let others = notes.filter_map(|path| read_note(&path)).filter(|other| other.pid != holder.pid);
    let mut others: Vec<Holder> = others.filter(|other| conflict(&other.needs, &holder.needs)).collect();
    others.sort_by_key(|other| (other.since, other.pid));
    let named = |other: &Holder| {
        let Holder { command, pid, since, .. } = other;
        format!("`cargo dataless {command}` (process {pid}, since {})", since.format("%F %T UTC"))
    };
    others.iter().map(named).collect()
}

/// Reads a note. If its process has ended, removes it.
fn read_note(path: &Path) -> Option<Holder> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            None
        }
        Err(_) => serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok(),
    }
}

fn conflict(one: &[(Resource, Mode)], other: &[(Resource, Mode)]) -> bool {
    one.iter().any(|(resource, mode)| {
        other.iter().any(|(same, its)| resource == same && (*mode == Mode::Exclusive || *its == Mode::Exclusive))
    })
}

/// Tries to lock a file, and returns the lock or its holder, whose name is in the file.
pub fn try_exclusive(path: &Path, command: &str) -> Result<std::result::Result<File, String>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {
            let since = Utc::now().format("%F %T UTC");
            let holder = format!("`cargo dataless {command}` (process {}, since {since})", std::process::id());
            let write = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
            write.with_context(|| format!("failed to write {}", path.display()))?;
            Ok(Ok(file))
        }
        Err(TryLockError::WouldBlock) => Ok(Err(match std::fs::read_to_string(path) {
            Ok(holder) if !holder.is_empty() => holder,
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => "another process".to_owned(),
        })),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::Mode::{Exclusive, Shared};
    use super::Resource::{Days, Lines, Warehouse};
    use super::*;

    const READS: Needs = &[(Warehouse, Shared), (Lines, Shared)];
    const ERASES: Needs = &[(Warehouse, Shared), (Lines, Exclusive)];
    const BACKFILLS: Needs = &[(Warehouse, Shared), (Lines, Shared), (Days, Exclusive)];

    #[test]
    fn an_exclusive_lock_conflicts_with_any_other_lock() {
        for (one, other, expected) in [
            (READS, READS, false),
            (READS, BACKFILLS, false),
            (READS, ERASES, true),
            (BACKFILLS, BACKFILLS, true),
            (ERASES, ERASES, true),
            (&[][..], ERASES, false),
        ] {
            assert_eq!(conflict(one, other), expected, "{one:?} {other:?}");
            assert_eq!(conflict(other, one), expected, "{other:?} {one:?}");
        }
    }

    /// Acquires locks in another thread. Locks of one process exclude each other like locks of two processes.
    fn acquire_in_thread(folder: &Path, needs: Needs) -> mpsc::Receiver<Guard> {
        let (sender, receiver) = mpsc::channel();
        let folder = folder.to_owned();
        thread::spawn(move || sender.send(acquire(&folder, "test", needs).unwrap()));
        receiver
    }

    const SOON: Duration = Duration::from_millis(300);
    const AT_LAST: Duration = Duration::from_secs(30);

    #[test]
    fn shared_locks_are_held_together_and_an_exclusive_one_waits() {
        let folder = tempfile::tempdir().unwrap();
        let first = acquire(folder.path(), "query", READS).unwrap();
        let second = acquire_in_thread(folder.path(), READS).recv_timeout(AT_LAST).unwrap();
        let erasure = acquire_in_thread(folder.path(), ERASES);
        assert!(erasure.recv_timeout(SOON).is_err());
        drop(first);
        assert!(erasure.recv_timeout(SOON).is_err());
        drop(second);
        drop(erasure.recv_timeout(AT_LAST).unwrap());
    }

    #[test]
    fn a_later_shared_lock_does_not_overtake_a_waiting_exclusive_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = acquire(folder.path(), "query", READS).unwrap();
        let erasure = acquire_in_thread(folder.path(), ERASES);
        assert!(erasure.recv_timeout(SOON).is_err());
        let later = acquire_in_thread(folder.path(), READS);
        assert!(later.recv_timeout(SOON).is_err());
        drop(first);
        let erasing = erasure.recv_timeout(AT_LAST).unwrap();
        assert!(later.recv_timeout(SOON).is_err());
        drop(erasing);
        later.recv_timeout(AT_LAST).unwrap();
    }

    #[test]
    fn a_note_without_its_process_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let other = |pid| Holder { command: "erase".into(), pid, since: DateTime::UNIX_EPOCH, needs: ERASES.to_vec() };
        let reader = Holder { command: "query".into(), pid: 1, since: DateTime::UNIX_EPOCH, needs: READS.to_vec() };
        let (gone, file) = write_note(folder.path(), &other(7)).unwrap();
        let (stays, _file) = write_note(folder.path(), &other(8)).unwrap();
        drop(file);
        let expected = ["`cargo dataless erase` (process 8, since 1970-01-01 00:00:00 UTC)"];
        assert_eq!(conflicting(folder.path(), &reader), expected);
        assert!(!gone.exists() && stays.exists());
        assert_eq!(conflicting(folder.path(), &other(8)), [""; 0]);
    }
}
