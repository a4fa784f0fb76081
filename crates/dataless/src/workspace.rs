//! Where things are: the checkout, and what is made beside it under `.dataless/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::check_interrupted;

/// A checkout of the project.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that the current folder is in.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir().context("the current folder cannot be read")?;
        let is_root =
            |folder: &&Path| folder.join("template.yaml").is_file() && folder.join("crates/dataless").is_dir();
        match here.ancestors().find(is_root) {
            Some(root) => Ok(Self { root: root.to_path_buf() }),
            None => bail!("this is no checkout of the project: change into the folder that has template.yaml"),
        }
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

    /// One of the warehouses that can run from this checkout.
    pub fn instance(&self, name: InstanceName) -> Instance {
        let dir = self.root.join(".dataless").join(name.as_str());
        Instance { dir }
    }
}

/// The warehouses of a checkout. They share nothing but the tools, so that a demo or a test never touches the one that
/// stays up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceName {
    /// What `up` starts and `down` stops.
    Up,
    /// What `demo` makes anew each time.
    Demo,
    /// What `test` makes anew each time.
    Test,
}

impl InstanceName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Demo => "demo",
            Self::Test => "test",
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

    /// Makes its folders.
    pub fn create(&self) -> Result<()> {
        for dir in [self.logs(), self.emulator(), self.s3(), self.spark()] {
            std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        }
        Ok(())
    }

    /// Empties it for this process alone, until the lock is dropped.
    pub fn take_anew(&self) -> Result<File> {
        let lock = self.dir.with_extension("lock");
        std::fs::create_dir_all(self.dir.parent().unwrap_or(&self.dir))?;
        let file = File::create(&lock).with_context(|| format!("{} cannot be made", lock.display()))?;
        if file.try_lock().is_err() {
            bail!("the same command runs in this checkout already: wait for its end, or clone the repository again");
        }
        self.clear()?;
        self.create()?;
        Ok(file)
    }

    /// Waits until no other instance of this checkout does the same, which only one may at a time, until the lock is dropped.
    pub fn take_turn(&self, to_do: &str) -> Result<File> {
        let lock = self.dir.with_file_name(format!("{to_do}.lock"));
        let file = File::create(&lock).with_context(|| format!("{} cannot be made", lock.display()))?;
        while file.try_lock().is_err() {
            check_interrupted()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(file)
    }

    /// Removes all that an earlier run left, logs included.
    pub fn clear(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.dir.display()))
            }
            _ => Ok(()),
        }
    }
}
