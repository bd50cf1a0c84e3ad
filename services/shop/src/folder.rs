//! The data folder: who may use it, and which format it has.
//!
//! ```text
//! FORMAT   the version of everything below; another one is refused, never guessed at
//! LOCK     held for as long as a process uses the folder; its content is that process's id, for the message
//! store/   the embedded database
//! ids/     the lease of the ID generator
//! accounts-a/, accounts-b/   those of the participants in this process, each a folder of this kind, without ids
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The first and only line of FORMAT. The number grows with each change that older code would misread.
const FORMAT: &str = "aqueduct-shop 1";

/// A data folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock goes with the file handle, also when the process is killed.
    _lock: File,
}

impl Folder {
    /// Opens the folder, and creates it durably where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Self::open_as(path, FORMAT)?;
        let ids = folder.ids();
        create(&ids).map_err(|source| OpenError::folder("create", &ids, source))?;
        Ok(folder)
    }

    /// The same with another format, which is one line, and without `ids`.
    pub(crate) fn open_as(path: &Path, format: &str) -> Result<Self, OpenError> {
        create(path).map_err(|source| OpenError::folder("create", path, source))?;
        let lock = lock(path)?;
        check_format(path, format)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the embedded database lives.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Lets `make` create the database under another name and puts it in its place: it is there whole or not at all.
    pub(crate) fn install_store<E: From<io::Error>>(
        &self,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = self.path.join("store.part");
        if part.exists() {
            // From a creation that did not come to its end: nothing was ever written to it.
            fs::remove_dir_all(&part)?;
        }
        make(&part)?;
        fs::rename(&part, self.store())?;
        Ok(sync_dir(&self.path)?)
    }

    /// Where the lease of the ID generator lives.
    pub(crate) fn ids(&self) -> PathBuf {
        self.path.join("ids")
    }
}

/// Creates `path` and what is missing above it. Each entry is synced into its parent: without that, a power cut could
/// take away the whole folder with everything that was acknowledged inside.
fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    sync_dir(parent)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("LOCK");
    let failed = |source| OpenError::folder("open", &path, source);
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is only makes the message better.
            file.read_to_string(&mut holder).unwrap_or_default();
            return Err(OpenError::InUse { folder: folder.to_owned(), pid: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(OpenError::folder("lock", &path, source)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn check_format(folder: &Path, format: &str) -> Result<(), OpenError> {
    let refused = |found: String| {
        Err(OpenError::Format { folder: folder.to_owned(), found, expected: format.to_owned() })
    };
    let path = folder.join("FORMAT");
    match fs::read(&path) {
        Ok(found) if found.trim_ascii() == format.as_bytes() => Ok(()),
        Ok(found) => refused(String::from_utf8_lossy(&found).trim().chars().take(40).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A database without its version is of unknown origin: older than this file, or a copy gone wrong.
            if folder.join("store").exists() {
                return refused(String::from("no FORMAT file"));
            }
            write_format(folder, &path, format).map_err(|source| OpenError::folder("write", &path, source))
        }
        Err(source) => Err(OpenError::folder("read", &path, source)),
    }
}

/// Through a temporary name, so that FORMAT is whole or not there at all.
fn write_format(folder: &Path, path: &Path, format: &str) -> io::Result<()> {
    let part = folder.join("FORMAT.part");
    let mut file = File::create(&part)?;
    writeln!(file, "{format}")?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    sync_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(folder: &Path) -> String {
        Folder::open(folder).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_created_with_everything_above_it_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        drop(Folder::open(&path).unwrap());
        assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "aqueduct-shop 1\n");
        drop(Folder::open(&path).unwrap());
    }

    #[test]
    fn a_second_user_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = Folder::open(dir.path()).unwrap();
        let message = refused(dir.path());
        assert!(message.contains("is in use by process"), "{message}");
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(held);
        Folder::open(dir.path()).unwrap();
    }

    #[test]
    fn another_format_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for found in ["aqueduct-shop 2\n", "", "\u{fffd}garbage"] {
            fs::write(dir.path().join("FORMAT"), found).unwrap();
            let message = refused(dir.path());
            assert!(message.contains("aqueduct-shop 1") && message.contains(found.trim()), "{message}");
            assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), found);
        }
    }

    #[test]
    fn a_store_without_a_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        assert!(refused(dir.path()).contains("no FORMAT file"));
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        fs::write(&path, "").unwrap();
        let message = refused(&path);
        assert!(message.contains("data") && message.contains("create"), "{message}");
    }
}
