//! Paths of the checkout, and of everything that is created in its folder `.dataless/`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::locks;
use crate::process::check_interrupted;

/// A checkout of the project.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
    /// The warehouse that commands work on.
    selected: InstanceName,
}

impl Workspace {
    /// The checkout that the current folder is in.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir().context("failed to find the current folder")?;
        let is_root =
            |folder: &&Path| folder.join("template.yaml").is_file() && folder.join("crates/dataless").is_dir();
        match here.ancestors().find(is_root) {
            Some(root) => Ok(Self { root: root.to_path_buf(), selected: InstanceName::Up }),
            None => bail!("this is not a checkout of the project: change to the folder with template.yaml"),
        }
    }

    /// Selects another warehouse than that of `up`.
    pub fn selecting(self, selected: InstanceName) -> Self {
        Self { selected, ..self }
    }

    pub const fn selected(&self) -> InstanceName {
        self.selected
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root, such as `template.yaml`.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where the pinned tools are installed.
    pub fn tools(&self) -> PathBuf {
        self.root.join(".dataless/tools")
    }

    /// The folder of a warehouse's locks. It is outside the warehouse's folder, which `down --purge` removes.
    pub fn locks(&self, name: InstanceName) -> PathBuf {
        self.root.join(".dataless").join(format!("{}.locks", name.as_str()))
    }

    /// One of the warehouses that can run from this checkout.
    pub fn instance(&self, name: InstanceName) -> Instance {
        let dir = self.root.join(".dataless").join(name.as_str());
        Instance { dir }
    }
}

/// The warehouses of a checkout. They share only the tools, so that a demo or a test never touches the one of `up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InstanceName {
    /// What `up` starts and `down` stops.
    Up,
    /// What each `demo` creates from scratch.
    Demo,
    /// What each `test` creates from scratch.
    Test,
    /// What each `chaos` creates from scratch.
    Chaos,
}

impl InstanceName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Demo => "demo",
            Self::Test => "test",
            Self::Chaos => "chaos",
        }
    }
}

/// The folder of one warehouse.
#[derive(Clone, Debug)]
pub struct Instance {
    dir: PathBuf,
}

impl Instance {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Where the emulator keeps its state and its objects.
    pub fn emulator(&self) -> PathBuf {
        self.dir.join("emulator")
    }

    /// Where `sam build` writes.
    pub fn build(&self) -> PathBuf {
        self.dir.join("build")
    }

    /// The local copies of S3 objects that Spark works on: `<bucket>/<key>` below it.
    pub fn s3(&self) -> PathBuf {
        self.dir.join("s3")
    }

    /// Where Spark keeps its catalog.
    pub fn spark(&self) -> PathBuf {
        self.dir.join("spark")
    }

    pub fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// Creates its folders.
    pub fn create(&self) -> Result<()> {
        for dir in [self.logs(), self.emulator(), self.s3(), self.spark()] {
            std::fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
        }
        Ok(())
    }

    /// Empties it, and reserves it for this process until the lock is dropped.
    pub fn recreate(&self) -> Result<File> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = match locks::try_exclusive(&self.dir.with_extension("lock"), &name)? {
            Ok(file) => file,
            Err(holder) => {
                bail!("{holder} is already running in this checkout: wait until it ends, or use a second clone")
            }
        };
        self.clear()?;
        self.create()?;
        Ok(file)
    }

    /// Waits until no other instance of this checkout runs this step, and reserves the step until the lock is dropped.
    pub fn lock(&self, step: &str) -> Result<File> {
        let lock = self.dir.with_file_name(format!("{step}.lock"));
        loop {
            if let Some(file) = try_lock(&lock)? {
                return Ok(file);
            }
            check_interrupted()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Removes everything that an earlier run left, including logs.
    pub fn clear(&self) -> Result<()> {
        remove_folder(&self.dir)
    }
}

/// Removes a folder with everything in it, if it exists.
pub fn remove_folder(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Locks a file, which is created if it is missing. `None` while another process has the lock.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let failed_to = |what: &str| format!("failed to {what} {}", path.display());
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| failed_to("create"))?;
    }
    let file = File::create(path).with_context(|| failed_to("create"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| failed_to("lock")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn instance(parent: &Path, name: &str) -> Instance {
        Instance { dir: parent.join(name) }
    }

    #[test]
    fn an_instance_is_reserved_for_one_process_until_its_lock_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let instance = instance(parent.path(), "demo");
        let lock = instance.recreate().unwrap();
        std::fs::write(instance.logs().join("old.log"), "").unwrap();
        let refused = instance.recreate().unwrap_err().to_string();
        let holder = format!("`cargo dataless demo` (process {}, since 2", std::process::id());
        assert!(refused.starts_with(&holder) && refused.contains("is already running in this checkout"), "{refused}");
        assert!(instance.logs().join("old.log").exists());
        drop(lock);
        let _lock = instance.recreate().unwrap();
        assert!(instance.logs().exists() && !instance.logs().join("old.log").exists());
    }

    #[test]
    fn instances_wait_for_the_same_step_and_not_for_others() {
        let parent = tempfile::tempdir().unwrap();
        let turn = instance(parent.path(), "demo").lock("build").unwrap();
        let _other = instance(parent.path(), "test").lock("start").unwrap();
        let (sender, receiver) = mpsc::channel();
        let path = parent.path().to_owned();
        let waiting = thread::spawn(move || {
            let turn = instance(&path, "test").lock("build");
            sender.send(()).unwrap();
            turn.map(drop)
        });
        assert_eq!(receiver.recv_timeout(Duration::from_millis(300)), Err(mpsc::RecvTimeoutError::Timeout));
        drop(turn);
        assert_eq!(receiver.recv_timeout(Duration::from_secs(30)), Ok(()));
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_lock_file_that_cannot_be_created_is_an_error_at_once() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::create_dir(parent.path().join("build.lock")).unwrap();
        let error = instance(parent.path(), "demo").lock("build").unwrap_err().to_string();
        assert!(error.starts_with("failed to create ") && error.ends_with("build.lock"), "{error}");
    }
}
