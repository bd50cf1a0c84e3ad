//! The lease file: two copies of the high-water mark, written one after the other and each synced.
//!
//! A mark is in force only when both copies hold it, so either copy alone is enough: one that a crash tore, or
//! that the disk lost later, is repaired from the other. Two `fdatasync` in place cost less than a temporary file,
//! a rename and a sync of the folder, since no metadata change.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::slot::{Identity, SLOT_LEN, Slot, mark_of};
use crate::error::LeaseError;

pub(super) const FILE: &str = "ids.lease";
const FILE_NEW: &str = "ids.lease.new";
/// Where the copies start: a page apart, so that no torn page or sector holds both.
pub(super) const COPIES: [u64; 2] = [0, 4096];

/// The open lease file and the mark in force.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    path: PathBuf,
    identity: Identity,
    mark: u64,
    failed: bool,
}

impl MarkFile {
    /// Opens the file in `dir`, or creates it with mark 0. The caller holds the folder's lock.
    pub(super) fn open(dir: &Path, identity: Identity) -> Result<Self, LeaseError> {
        let path = dir.join(FILE);
        let failed = |action| {
            let path = path.clone();
            move |source| LeaseError::Io { action, path, source }
        };
        let mut file = match open_to_write(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(dir, identity).and_then(|()| open_to_write(&path)).map_err(failed("create"))?
            }
            opened => opened.map_err(failed("open"))?,
        };
        let copies = [
            read_copy(&mut file, COPIES[0]).map_err(failed("read"))?,
            read_copy(&mut file, COPIES[1]).map_err(failed("read"))?,
        ];
        let mark = mark_of(copies, identity, &path)?;
        let mut opened = Self { file, path, identity, mark, failed: false };
        opened.repair(copies)?;
        Ok(opened)
    }

    /// Times below this, in ms since the epoch, may have been used.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// Makes `mark` durable in both copies.
    pub(super) fn store(&mut self, mark: u64) -> Result<(), LeaseError> {
        for at in COPIES {
            self.write_copy(at, mark)?;
        }
        self.mark = mark;
        Ok(())
    }

    /// Stands in for a disk that fails.
    #[cfg(test)]
    #[cfg(not(aqueduct_loom))]
    pub(super) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Makes both copies whole before anything else is written: the next crash may tear the one that still is.
    fn repair(&mut self, copies: [Slot; 2]) -> Result<(), LeaseError> {
        let whole = Slot::Intact { identity: self.identity, mark: self.mark };
        for (at, copy) in COPIES.into_iter().zip(copies) {
            if copy != whole {
                tracing::warn!(path = %self.path.display(), ?copy, "repaired one copy of the id mark from the other");
                self.write_copy(at, self.mark)?;
            }
        }
        Ok(())
    }

    /// After a failure every further call fails: a sync that failed may have dropped the pages, and the next one
    /// would report a success that is none ("fsyncgate", PostgreSQL 2018).
    fn write_copy(&mut self, at: u64, mark: u64) -> Result<(), LeaseError> {
        if self.failed {
            return Err(LeaseError::Failed { path: self.path.clone() });
        }
        write_at(&mut self.file, at, &self.identity.encode(mark))
            .and_then(|()| self.file.sync_data())
            .map_err(|source| {
                self.failed = true;
                LeaseError::Io { action: "write", path: self.path.clone(), source }
            })
    }
}

fn open_to_write(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

fn read_copy(file: &mut File, at: u64) -> io::Result<Slot> {
    let mut bytes = Vec::with_capacity(SLOT_LEN);
    file.seek(SeekFrom::Start(at))?;
    Read::by_ref(file).take(SLOT_LEN as u64).read_to_end(&mut bytes)?;
    Ok(Slot::decode(&bytes))
}

/// A lease file appears whole or not at all, so that an empty or short one is always damage and never a start.
fn create(dir: &Path, identity: Identity) -> io::Result<()> {
    let new = dir.join(FILE_NEW);
    let mut file = File::create(&new)?;
    for at in COPIES {
        write_at(&mut file, at, &identity.encode(0))?;
    }
    file.sync_all()?;
    std::fs::rename(&new, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}
