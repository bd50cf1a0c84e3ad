//! Where to begin again: kept outside of the process, written after the sink acknowledged.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::gtid::Position;

/// Keeps the position. Both methods may block: they are called on a thread for that.
pub trait Store: Send + Sync + 'static {
    /// The last saved; `None` if there never was one.
    fn load(&self) -> Result<Option<Position>, CheckpointError>;
    /// Replaces it. When this returns it survives a crash.
    fn save(&self, position: &Position) -> Result<(), CheckpointError>;
}

/// Why a checkpoint could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is not what was written.
    #[error(
        "the checkpoint {path} is damaged ({reason}): put back a copy of it, even an old one, or remove it to begin at the \
         current position, which invalidates everything that is cached"
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It cannot be read or written.
    #[error("cannot {what} the checkpoint {path}: {source}")]
    Io {
        /// "read" or "write".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Three lines in a file: what it is, the position, and a checksum over both.
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
}

const HEAD: &str = "aqueduct-cdc checkpoint 1";

impl FileStore {
    /// At `path`, in a folder that exists. One reader only may use it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

/// Replaces a file by another content, so that a crash leaves one or the other. One after another in a folder: a reader that
/// was dropped may still be writing when the next one begins.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or_else(|| Path::new(".")))?;
    folder.lock()?;
    let unfinished = path.with_added_extension("new");
    let mut file = File::create(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    folder.sync_all()
}

impl Store for FileStore {
    fn load(&self) -> Result<Option<Position>, CheckpointError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(CheckpointError::Io { what: "read", path: self.path.clone(), source });
            }
        };
        parse(&text).map(Some).map_err(|reason| CheckpointError::Corrupt { path: self.path.clone(), reason })
    }

    fn save(&self, position: &Position) -> Result<(), CheckpointError> {
        replace(&self.path, text(position).as_bytes()).map_err(|source| CheckpointError::Io {
            what: "write",
            path: self.path.clone(),
            source,
        })
    }
}

fn text(position: &Position) -> String {
    let body = format!("{HEAD}\n{position}\n");
    let sum = sum(&body);
    format!("{body}{sum}\n")
}

fn sum(body: &str) -> String {
    format!("{:x}", Sha256::digest(body))
}

/// A checkpoint file's bytes as the position in them.
pub fn parse(bytes: &[u8]) -> Result<Position, &'static str> {
    let written = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = written.lines();
    if lines.next() != Some(HEAD) {
        return Err("its first line is not that of a checkpoint");
    }
    let position = lines.next().ok_or("it is cut short")?;
    let position: Position = position.parse().map_err(|_| "it has no position")?;
    // One position has one text, so that nothing may stand behind the checksum either.
    if text(&position) == written { Ok(position) } else { Err("its checksum is wrong") }
}

#[cfg(test)]
mod tests {
    use super::{CheckpointError, FileStore, Store as _, parse, text};
    use crate::gtid::Position;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.cdc");
        let store = FileStore::new(&path);
        assert_eq!(store.load().unwrap(), None);
        for position in ["", "0-1-42", "0-1-42,7-2-18446744073709551615"] {
            let position: Position = position.parse().unwrap();
            store.save(&position).unwrap();
            assert_eq!(store.load().unwrap(), Some(position));
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = store.load().unwrap_err();
            assert!(matches!(error, CheckpointError::Corrupt { .. }), "{cut}: {error}");
            assert!(error.to_string().contains("shop.cdc"), "{error}");
        }
    }

    #[test]
    fn those_who_save_at_once_do_not_spoil_each_others_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::new(folder.path().join("shop.cdc"));
        let positions: Vec<Position> = [1, 22, 333].map(|seq| format!("0-1-{seq}").parse().unwrap()).into();
        std::thread::scope(|scope| {
            for position in &positions {
                scope.spawn(|| (0..50).for_each(|_| store.save(position).unwrap()));
            }
            for _ in 0..500 {
                assert!(store.load().unwrap().is_none_or(|saved| positions.contains(&saved)));
            }
        });
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let whole = text(&"0-1-42,7-2-3".parse().unwrap()).into_bytes();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(parse(&changed).is_err(), "byte {at}");
        }
    }
}
