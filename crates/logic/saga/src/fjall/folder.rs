//! The data folder: who may use it, and which format it has.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::OpenError;

/// The first and only line of FORMAT. The number grows with each change that older code would misread.
const FORMAT: &str = "aqueduct-saga 1";

/// A folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The lock goes with the file handle, also when the process is killed.
    _lock: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { path: path.to_owned(), source };
        create(path).map_err(failed)?;
        let lock = lock(path)?;
        check_format(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Lets `open` open the database, and create it first under another name where there is none: what a crash leaves of a
    /// creation cannot be opened, and could not be told from a database that lost a file.
    pub(super) fn database<T>(&self, open: impl Fn(&Path) -> Result<T, OpenError>) -> Result<T, OpenError> {
        let failed = |source| OpenError::Folder { path: self.path.clone(), source };
        let (store, part) = (self.path.join("store"), self.path.join("store.part"));
        if !store.exists() {
            if part.exists() {
                fs::remove_dir_all(&part).map_err(failed)?;
            }
            drop(open(&part)?);
            fs::rename(&part, &store).and_then(|()| sync_dir(&self.path)).map_err(failed)?;
        }
        open(&store)
    }
}

/// Creates `path` and what is missing above it, each synced into its parent.
fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
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
    let failed = |source| OpenError::Folder { path: path.clone(), source };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is only makes the message better.
            file.read_to_string(&mut holder).unwrap_or_default();
            return Err(OpenError::InUse { folder: folder.to_owned(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn check_format(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join("FORMAT");
    let failed = |source| OpenError::Folder { path: path.clone(), source };
    let other = |found: &str| OpenError::Format {
        folder: folder.to_owned(),
        found: found.to_owned(),
        expected: FORMAT,
    };
    match fs::read(&path) {
        Ok(found) if found.trim_ascii() == FORMAT.as_bytes() => Ok(()),
        Ok(found) => Err(other(&String::from_utf8_lossy(&found).trim().chars().take(40).collect::<String>())),
        // Of unknown origin: older than this file, or a copy gone wrong.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.join("store").exists() => {
            Err(other("no FORMAT file"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let part = folder.join("FORMAT.part");
            let written = || {
                let mut file = File::create(&part)?;
                writeln!(file, "{FORMAT}")?;
                file.sync_all()?;
                fs::rename(&part, &path)?;
                sync_dir(folder)
            };
            written().map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}
