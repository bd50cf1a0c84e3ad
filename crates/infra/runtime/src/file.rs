//! A file that is looked at again and again: read when it is another one, by its stamp. Looking is cheap, works on every
//! file system, and sees a rename over the file as well as a rewrite in place.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;

/// A file that changed less than this ago may change once more under the same time stamp, whose grain is coarse.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// What tells one state of a file from another. The change time is that of the inode: it cannot be set back as the
/// modification time can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What was read last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    stamp: Stamp,
    settled: bool,
}

/// A file and what was seen of it. Looking blocks for as long as the disk does.
#[derive(Debug, Clone)]
pub struct Watched {
    path: PathBuf,
    limit: u64,
    seen: Option<Seen>,
}

impl Watched {
    /// Nothing is seen yet. Files of more than `limit` bytes are refused.
    pub fn new(path: impl Into<PathBuf>, limit: u64) -> Self {
        Self { path: path.into(), limit, seen: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes, unless they are certainly those that were seen. A file that has changed just now is read more than
    /// once; whoever minds compares.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, or is too large. It is then read again at the next look.
    pub fn look(&mut self) -> io::Result<Option<Vec<u8>>> {
        let seen = self.seen.take();
        // Before it is read: what is written meanwhile makes another stamp.
        let metadata = fs::metadata(&self.path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let stamp = Stamp {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        if let Some(seen) = seen.filter(|seen| seen.settled && seen.stamp == stamp) {
            self.seen = Some(seen);
            return Ok(None);
        }
        let changed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
        let settled = clock::since_epoch().abs_diff(changed) > SETTLES_WITHIN;
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(self.limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.limit {
            return Err(io::Error::other(format!("it is larger than {}", size(self.limit))));
        }
        self.seen = Some(Seen { stamp, settled });
        Ok(Some(bytes))
    }
}

/// As a user would write it.
fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn a_file_is_read_again_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pb");
        let mut watched = Watched::new(&path, LIMIT);
        let mut read = || watched.look().unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
        let old = clock::since_epoch() / 2;
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + old);
            File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        };
        write(&path, "one");
        assert_eq!(read().unwrap(), "one");
        // The same length, and its time set back: neither hides a rewrite in place or a rename.
        write(&path, "two");
        assert_eq!(read().unwrap(), "two");
        write(&folder.path().join("b.pb"), "six");
        fs::rename(folder.path().join("b.pb"), &path).unwrap();
        assert_eq!(read().unwrap(), "six");
        // So young a stamp proves nothing yet; an old one does.
        assert_eq!(read().unwrap(), "six");
        watched.seen.as_mut().unwrap().settled = true;
        assert_eq!(watched.look().unwrap(), None);
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| Watched::new(path, LIMIT).look().unwrap_err().to_string();
        assert_eq!(error(folder.path()), "it is not a regular file");
        assert_eq!(error(&folder.path().join("x")), "No such file or directory (os error 2)");
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(LIMIT + 1).unwrap();
        assert_eq!(error(&large), "it is larger than 1 MiB");
    }
}
