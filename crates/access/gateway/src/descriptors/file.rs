//! A descriptor set in a file: read again when the file is another one, by its stamp, about once a second. Looking is
//! cheap, works on every file system, and sees a rename over the file as well as a rewrite in place.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::clock;
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use crate::descriptors::Descriptors;
use crate::descriptors::live::Live;

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

/// Looks at the file until the worker ends.
pub(super) async fn follow(live: Rc<Live>, index: usize, path: PathBuf) {
    let mut seen = None;
    let mut ticks = interval(live.poll());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let path = path.clone();
        // A slow disk must not hold up the worker's requests.
        match tokio::task::spawn_blocking(move || look(&path, seen)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((now, bytes)))) => {
                seen = Some(now);
                live.offer(index, bytes).await;
            }
            Ok(Err(error)) => {
                seen = None;
                live.unavailable(index, error.to_string()).await;
            }
            // The runtime ends.
            Err(_) => return,
        }
    }
}

/// The file's bytes, unless they are those that were seen.
fn look(path: &Path, seen: Option<Seen>) -> io::Result<Option<(Seen, Bytes)>> {
    // Before it is read: what is written meanwhile makes another stamp.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let stamp = Stamp {
        inode: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    if seen.is_some_and(|seen| seen.settled && seen.stamp == stamp) {
        return Ok(None);
    }
    let changed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let settled = clock::since_epoch().abs_diff(changed) > SETTLES_WITHIN;
    let mut bytes = Vec::new();
    File::open(path)?.take(Descriptors::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > Descriptors::MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", Descriptors::MAX_BYTES >> 20)));
    }
    Ok(Some((Seen { stamp, settled }, bytes.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a look at the file finds anew.
    fn read(path: &Path, seen: &mut Option<Seen>) -> Option<Bytes> {
        let (now, bytes) = look(path, *seen).unwrap()?;
        *seen = Some(now);
        Some(bytes)
    }

    #[test]
    fn a_file_is_read_again_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pb");
        let mut seen = None;
        let old = clock::since_epoch() / 2;
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + old);
            File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        };
        write(&path, "one");
        assert_eq!(read(&path, &mut seen).unwrap(), "one");
        // The same length, and its time set back: neither hides a rewrite in place or a rename.
        write(&path, "two");
        assert_eq!(read(&path, &mut seen).unwrap(), "two");
        write(&folder.path().join("b.pb"), "six");
        fs::rename(folder.path().join("b.pb"), &path).unwrap();
        assert_eq!(read(&path, &mut seen).unwrap(), "six");
        // So young a stamp proves nothing yet; an old one does.
        assert_eq!(read(&path, &mut seen).unwrap(), "six");
        seen.as_mut().unwrap().settled = true;
        assert_eq!(read(&path, &mut seen), None);
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| look(path, None).unwrap_err().to_string();
        assert_eq!(error(folder.path()), "it is not a regular file");
        assert_eq!(error(&folder.path().join("x")), "No such file or directory (os error 2)");
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(Descriptors::MAX_BYTES as u64 + 1).unwrap();
        assert_eq!(error(&large), "it is larger than 64 MiB");
    }
}
