//! Two commands on one warehouse at the same time, in two processes. No emulator.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[path = "support/checkout.rs"]
mod checkout;

use checkout::{Checkout, Emulator, serve};

const DAY: &str = "2026-11-20";
const AD: &str = "7d9f8a52-1c3e-4b6d-8f20-5a4e3c2b1d09";

/// A warehouse that appears to be running, and an endless file that keeps a command reading forever.
struct Warehouse {
    checkout: Checkout,
    _emulator: Emulator,
    endless: PathBuf,
}

impl Warehouse {
    fn new() -> Self {
        let checkout = Checkout::new(serve(), 0);
        let emulator = Emulator::of(&checkout.instance());
        checkout.runs(emulator.0.id());
        let endless = checkout.dir.path().join("endless");
        assert!(Command::new("mkfifo").arg(&endless).status().unwrap().success());
        Self { checkout, _emulator: emulator, endless }
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut command = self.checkout.dataless(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let notes = BufReader::new(child.stderr.take().unwrap());
        Running { child, notes }
    }

    /// Starts a replay of the endless file, and waits until it holds its locks.
    fn replay_for_ever(&self) -> Running {
        let endless = self.endless.to_str().unwrap();
        let replay = self.start(&["replay", "--day", DAY, "--file", endless]);
        // Opening the pipe for writing blocks until the replay opens it for reading. By then it holds its locks.
        std::mem::forget(std::fs::File::options().write(true).open(&self.endless).unwrap());
        replay
    }
}

struct Running {
    child: Child,
    notes: BufReader<ChildStderr>,
}

impl Running {
    fn id(&self) -> u32 {
        self.child.id()
    }

    fn next_note(&mut self) -> String {
        let mut line = String::new();
        self.notes.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the process. Returns its exit code and the rest of its messages.
    fn end(mut self) -> (Option<i32>, String) {
        let rest: Vec<String> = self.notes.by_ref().lines().map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), rest.join("\n"))
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_wait_for(note: &str, command: &str, pid: u32) -> bool {
    note.starts_with(&format!("Waiting for `cargo dataless {command}` (process {pid}, since 2"))
}

#[test]
fn a_waiting_command_names_the_other_and_ctrl_c_ends_the_wait() {
    let warehouse = Warehouse::new();
    let mut replay = warehouse.replay_for_ever();
    for args in [&["down"][..], &["up"], &["erase", "--ad", AD, "--yes"]] {
        let mut second = warehouse.start(args);
        let note = second.next_note();
        assert!(is_wait_for(&note, "replay", replay.id()), "{args:?}: {note}");
        assert!(second.runs());
        second.signal(Signal::INT);
        let (status, rest) = second.end();
        assert_eq!(status, Some(130), "{args:?}: {rest}");
        assert!(rest.contains("interrupted"), "{rest}");
    }
    assert!(replay.runs());
    assert!(warehouse.checkout.instance().join("state.json").exists(), "the warehouse was stopped");
}

#[test]
fn a_killed_process_holds_no_lock() {
    let warehouse = Warehouse::new();
    let replay = warehouse.replay_for_ever();
    let mut down = warehouse.start(&["down"]);
    assert!(is_wait_for(&down.next_note(), "replay", replay.id()));
    replay.signal(Signal::KILL);
    let (status, rest) = down.end();
    assert_eq!(status, Some(0), "{rest}");
    assert!(!warehouse.checkout.instance().join("state.json").exists(), "the warehouse was not stopped: {rest}");
    let mut replay = replay;
    assert_eq!(replay.child.wait().unwrap().signal(), Some(9));
    // The note of the killed process still exists, and is ignored.
    let third = warehouse.start(&["down"]).end();
    assert_eq!((third.0, third.1.as_str()), (Some(0), "no warehouse is running here"));
}

#[test]
fn commands_that_can_share_do_not_wait() {
    let warehouse = Warehouse::new();
    let mut replay = warehouse.replay_for_ever();
    // The commands fail, because the warehouse only appears to be running. None of them waits first.
    for args in [
        &["etl", "--day", DAY][..],
        &["batch", "--day", DAY],
        &["import", "."],
        &["erase", "--ad", AD],
        &["query", "SELECT 1"],
        &["ledger"],
        &["verify", "--day", DAY],
        &["rejected"],
        &["replay", "--day", DAY, "--undelivered"],
        &["traffic", AD],
        &["status"],
    ] {
        let (_, said) = warehouse.start(args).end();
        assert!(!said.contains("Waiting for"), "{args:?}: {said}");
    }
    assert!(replay.runs());
}

#[test]
fn a_waiting_command_continues_when_the_lock_is_free() {
    let warehouse = Warehouse::new();
    let replay = warehouse.replay_for_ever();
    let mut erasure = warehouse.start(&["erase", "--ad", AD, "--yes"]);
    assert!(is_wait_for(&erasure.next_note(), "replay", replay.id()));
    // A query could run in parallel with the replay, but it waits for the earlier erasure.
    let mut query = warehouse.start(&["query", "SELECT 1"]);
    let note = query.next_note();
    assert!(is_wait_for(&note, "erase", erasure.id()), "{note}");
    assert!(!note.contains(AD), "a note contains what is erased: {note}");
    let notes = std::fs::read_dir(warehouse.checkout.dir.path().join(".dataless/up.locks")).unwrap();
    for note in notes.map(|entry| entry.unwrap().path()) {
        assert!(!std::fs::read_to_string(&note).unwrap().contains(AD), "{}", note.display());
    }
    replay.signal(Signal::INT);
    drop(replay);
    // Neither finds Spark. It is enough that both get this far.
    for waiting in [erasure, query] {
        let (status, said) = waiting.end();
        assert_eq!(status, Some(1), "{said}");
    }
}
