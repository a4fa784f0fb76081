//! A checkout whose warehouse appears to be running, until a command needs its data.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tempfile::TempDir;

/// A checkout with the state of a warehouse that `up` started.
pub struct Checkout {
    pub dir: TempDir,
    /// The path of the checkout below `dir`.
    pub name: &'static str,
    pub port: u16,
}

impl Checkout {
    pub fn new(port: u16, emulator: u32) -> Self {
        Self::named("", port, emulator)
    }

    pub fn named(name: &'static str, port: u16, emulator: u32) -> Self {
        let checkout = Self { dir: tempfile::tempdir().unwrap(), name, port };
        std::fs::create_dir_all(checkout.root().join("crates/dataless")).unwrap();
        std::fs::write(checkout.root().join("template.yaml"), "").unwrap();
        std::fs::create_dir_all(checkout.instance().join("logs")).unwrap();
        checkout.runs(emulator);
        checkout
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(self.name)
    }

    pub fn instance(&self) -> PathBuf {
        self.root().join(".dataless/up")
    }

    pub fn runs(&self, emulator: u32) {
        let outputs = json!({ "ApiId": "abc", "StageName": "advertising" });
        let state = json!({ "port": self.port, "emulator": emulator, "outputs": outputs });
        std::fs::write(self.instance().join("state.json"), state.to_string()).unwrap();
    }

    pub fn dataless(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dataless"));
        command.current_dir(self.root()).args(args).stdin(Stdio::null());
        command
    }
}

/// Starts a server that answers every request with 200, as an unrelated program could.
pub fn serve() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
        }
    });
    port
}

/// A process with the command line of an instance's emulator.
pub struct Emulator(pub Child);

impl Emulator {
    pub fn of(instance: &Path) -> Self {
        let mut command = Command::new("sh");
        // The second command keeps the shell from replacing itself with the first.
        command.args(["-c", "sleep 600; :", "/a/tools/emulator/start_ministack.py"]).arg(instance).process_group(0);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
