//! What a feed must still know when it is started again: kept beside the checkpoint, and as safe as it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::epochs::Epochs;
use super::message::{self, Message};
use crate::change::{EpochBump, Reason, Scope, TableName};
use crate::checkpoint::{CheckpointError, replace};

/// The tables' epochs, and the tables whose epoch must still be raised, because floors of theirs were let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// By table.
    pub epochs: Epochs,
    /// To be raised once what was let go is visible.
    pub pending: BTreeSet<Arc<TableName>>,
}

/// Keeps it. Both methods may block: they are called on a thread for that, unless [`Keep::blocks`] says otherwise.
pub trait Keep: Send + Sync + 'static {
    /// The last saved; `None` if there never was one, which makes all entries of the second level misses.
    fn load(&self) -> Result<Option<Kept>, CheckpointError>;
    /// Replaces it. When this returns it survives a crash.
    fn save(&self, kept: &Kept) -> Result<(), CheckpointError>;
    /// Whether it may take long. What does not is called where one is, which keeps the order of a simulation's events.
    fn blocks(&self) -> bool {
        true
    }
}

/// In a file: a line that says what it is, a line with a checksum, and the content as the bus has it.
#[derive(Clone, Debug)]
pub struct KeepFile {
    path: PathBuf,
}

const HEAD: &[u8] = b"aqueduct-cdc epochs 1";

impl KeepFile {
    /// At `path`, in a folder that exists. One feed only may use it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Beside a checkpoint.
    pub fn beside(checkpoint: &Path) -> Self {
        Self::new(checkpoint.with_added_extension("epochs"))
    }
}

impl Keep for KeepFile {
    fn load(&self) -> Result<Option<Kept>, CheckpointError> {
        let path = || self.path.clone();
        match fs::read(&self.path) {
            Ok(file) => {
                parse(&file).map(Some).map_err(|reason| CheckpointError::Corrupt { path: path(), reason })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CheckpointError::Io { what: "read", path: path(), source }),
        }
    }

    fn save(&self, kept: &Kept) -> Result<(), CheckpointError> {
        let io = |source| CheckpointError::Io { what: "write", path: self.path.clone(), source };
        replace(&self.path, &file(kept)).map_err(io)
    }
}

/// The bytes of the file.
fn file(kept: &Kept) -> Vec<u8> {
    let pending = kept.pending.iter().map(|table| {
        let bump = EpochBump { scope: Scope::Table(Arc::clone(table)), reason: Reason::BigTransaction };
        Message::Bump { bump, epoch: 0 }
    });
    let epochs = Message::Applied { epoch: 0, seq: 0, epochs: kept.epochs.clone(), masters: Vec::new() };
    let messages: Vec<_> = std::iter::once(epochs).chain(pending).collect();
    let body = message::encode(&messages);
    [HEAD, b"\n", format!("{:x}", Sha256::digest(&body)).as_bytes(), b"\n", &body].concat()
}

fn parse(written: &[u8]) -> Result<Kept, &'static str> {
    let mut parts = written.splitn(3, |byte| *byte == b'\n');
    if parts.next() != Some(HEAD) {
        return Err("its first line is not that of a file of epochs");
    }
    parts.next().ok_or("it is cut short")?;
    let body = parts.next().ok_or("it is cut short")?;
    let mut kept = Kept::default();
    for message in message::decode(body).map_err(|_| "its content cannot be read")? {
        match message {
            Message::Applied { epochs, .. } => kept.epochs = epochs,
            Message::Bump { bump: EpochBump { scope: Scope::Table(table), .. }, .. } => {
                kept.pending.insert(table);
            }
            _ => return Err("its content cannot be read"),
        }
    }
    if file(&kept) == written { Ok(kept) } else { Err("its checksum is wrong") }
}

/// In memory, for tests and simulations. Clones share it, as a feed and the one after it share a file.
#[derive(Clone, Debug, Default)]
pub struct KeepMemory(Arc<Mutex<Option<Kept>>>);

impl Keep for KeepMemory {
    fn load(&self) -> Result<Option<Kept>, CheckpointError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, kept: &Kept) -> Result<(), CheckpointError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        Ok(())
    }

    fn blocks(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Keep as _, KeepFile, Kept, file, parse};
    use crate::change::TableName;
    use crate::feed::Epochs;

    fn kept() -> Kept {
        let name = |table: &str| Arc::new(TableName { database: "a\nb".to_owned(), table: table.to_owned() });
        let mut epochs = Epochs::new(7);
        epochs.raise_table(&name("t"), 8);
        Kept { epochs, pending: [name("t"), name("u")].into() }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let keep = KeepFile::beside(&folder.path().join("shop.checkpoint"));
        assert_eq!(keep.load().unwrap(), None);
        for kept in [Kept::default(), kept()] {
            keep.save(&kept).unwrap();
            assert_eq!(keep.load().unwrap(), Some(kept));
        }
        std::fs::write(folder.path().join("shop.checkpoint.epochs"), "x").unwrap();
        let error = keep.load().unwrap_err().to_string();
        assert!(error.contains("shop.checkpoint.epochs"), "{error}");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let whole = file(&kept());
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(parse(&changed).is_err(), "byte {at}");
            assert!(parse(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
