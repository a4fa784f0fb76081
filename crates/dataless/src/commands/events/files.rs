//! Changes files of the checkout: all of them, or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use event_tooling::derive::{self, DeriveError};
use event_types::EventType;

/// The new text of files by path; `None` deletes a file.
pub type Changes = BTreeMap<String, Option<String>>;

/// The text of a file; `None` if it does not exist.
pub fn read(root: &Path, path: &str) -> Result<Option<String>, DeriveError> {
    match fs::read_to_string(root.join(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DeriveError { path: path.to_owned(), problem: format!("failed to read: {error}") }),
    }
}

/// The derived files that do not match the types.
pub fn outdated(root: &Path, types: &[EventType], gone: &[String]) -> Result<Changes> {
    let mut changes = Changes::new();
    for file in derive::all(types, gone, &|path| read(root, path))? {
        if read(root, &file.path)? != file.text {
            changes.insert(file.path, file.text);
        }
    }
    Ok(changes)
}

/// Writes and deletes files. On a failure, it restores all of them.
pub fn apply(root: &Path, changes: &Changes) -> Result<()> {
    let mut undo = Undo { root, done: Vec::new(), temporary: Vec::new(), folders: Vec::new() };
    match undo.apply(changes) {
        Ok(()) => {
            undo.temporary.clear();
            Ok(())
        }
        Err(error) => match undo.roll_back() {
            Ok(()) => Err(error.context("nothing was changed")),
            Err(other) => Err(error.context(format!("failed to restore everything, see `git status`: {other:#}"))),
        },
    }
}

struct Undo<'a> {
    root: &'a Path,
    /// Changed files with their old content.
    done: Vec<(PathBuf, Option<Vec<u8>>)>,
    temporary: Vec<PathBuf>,
    /// Created folders, outermost first.
    folders: Vec<PathBuf>,
}

impl Undo<'_> {
    fn apply(&mut self, changes: &Changes) -> Result<()> {
        let mut ready = Vec::new();
        for (path, text) in changes {
            let path = self.root.join(path);
            let was = match fs::read(&path) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
            };
            let new = text.as_ref().map(|text| self.write_beside(&path, text)).transpose()?;
            ready.push((path, was, new));
        }
        for (path, was, new) in ready {
            let failed = || format!("failed to write {}", path.display());
            let is_there = was.is_some();
            self.done.push((path.clone(), was));
            match new {
                Some(new) => fs::rename(new, &path).with_context(failed)?,
                None if is_there => {
                    fs::remove_file(&path).with_context(failed)?;
                    self.remove_empty_folders(&path);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Writes a new file beside the one that it will replace, with the same permissions.
    fn write_beside(&mut self, path: &Path, text: &str) -> Result<PathBuf> {
        let Some((folder, name)) = path.parent().zip(path.file_name()) else {
            bail!("{} is not a file", path.display());
        };
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
            self.folders.push(folder.to_owned());
        }
        let new = folder.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
        self.temporary.push(new.clone());
        fs::write(&new, text).with_context(|| format!("failed to write {}", new.display()))?;
        if let Ok(metadata) = fs::metadata(path) {
            fs::set_permissions(&new, metadata.permissions())
                .with_context(|| format!("failed to set the permissions of {}", new.display()))?;
        }
        Ok(new)
    }

    /// Removes the parent folders of a file that are empty.
    fn remove_empty_folders(&self, path: &Path) {
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }

    fn roll_back(&mut self) -> Result<()> {
        for new in self.temporary.drain(..) {
            // Renamed files no longer exist under this name.
            let _ = fs::remove_file(new);
        }
        for (path, was) in self.done.drain(..).rev() {
            match was {
                Some(bytes) => {
                    let folder = path.parent().unwrap_or(self.root);
                    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
                    fs::write(&path, bytes).with_context(|| format!("failed to write {}", path.display()))?;
                }
                None => {
                    if path.exists() {
                        fs::remove_file(&path).with_context(|| format!("failed to delete {}", path.display()))?;
                    }
                }
            }
        }
        for folder in self.folders.drain(..).rev() {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(list: &[(&str, Option<&str>)]) -> Changes {
        list.iter().map(|(path, text)| ((*path).to_owned(), text.map(str::to_owned))).collect()
    }

    fn listing(root: &Path) -> Vec<String> {
        let mut all = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                all.push(path.strip_prefix(root).unwrap().display().to_string());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        all.sort();
        all
    }

    #[test]
    fn folders_are_created_and_removed_with_their_files() {
        let root = tempfile::tempdir().unwrap();
        apply(root.path(), &changes(&[("a/b/new", Some("1")), ("top", Some("2"))])).unwrap();
        assert_eq!(listing(root.path()), ["a", "a/b", "a/b/new", "top"]);
        apply(root.path(), &changes(&[("a/b/new", None), ("top", Some("3")), ("never", None)])).unwrap();
        assert_eq!(listing(root.path()), ["top"]);
        assert_eq!(fs::read_to_string(root.path().join("top")).unwrap(), "3");
    }

    #[test]
    fn a_failure_restores_all_files() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(path("b"), "old").unwrap();
        fs::write(path("c"), "old").unwrap();
        // A folder can't be replaced by a file, so it fails after other files were written.
        fs::create_dir_all(path("z/inside")).unwrap();
        let before = listing(root.path());
        let blocked = changes(&[("a/new", Some("1")), ("b", Some("2")), ("c", None), ("z", Some("3"))]);
        let error = format!("{:#}", apply(root.path(), &blocked).unwrap_err());
        assert!(error.starts_with("nothing was changed: failed to "), "{error}");
        assert_eq!(listing(root.path()), before);
        assert_eq!(fs::read_to_string(path("b")).unwrap(), "old");
        assert_eq!(fs::read_to_string(path("c")).unwrap(), "old");
    }

    #[test]
    fn written_files_are_rolled_back() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/gone"), "old").unwrap();
        fs::write(root.path().join("b"), "old").unwrap();
        let before = listing(root.path());
        let mut undo = Undo { root: root.path(), done: Vec::new(), temporary: Vec::new(), folders: Vec::new() };
        undo.apply(&changes(&[("a/gone", None), ("b", Some("new")), ("c/d/e", Some("new"))])).unwrap();
        assert_eq!(listing(root.path()), ["b", "c", "c/d", "c/d/e"]);
        undo.roll_back().unwrap();
        assert_eq!(listing(root.path()), before);
        assert_eq!(fs::read_to_string(root.path().join("a/gone")).unwrap(), "old");
        assert_eq!(fs::read_to_string(root.path().join("b")).unwrap(), "old");
    }

    #[test]
    fn a_file_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("script");
        fs::write(&path, "1").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        apply(root.path(), &changes(&[("script", Some("2"))])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
    }
}
