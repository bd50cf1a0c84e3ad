//! A folder for one test: removed at the end, kept when the test failed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A new, empty folder under the system's temporary folder.
///
/// It is removed on drop, unless the thread is panicking: then it stays, and its path is printed with the failure.
#[derive(Debug)]
pub struct Scratch {
    folder: Option<TempDir>,
}

impl Scratch {
    /// Makes the folder; `name` becomes part of its path, for whoever looks at what a failed test left.
    ///
    /// # Panics
    ///
    /// When the temporary folder cannot be written: no test can go on without.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("aqueduct-{name}-")).tempdir();
        Self { folder: Some(folder.expect("make a scratch folder")) }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("taken only by drop").path()
    }

    /// The path of `name` inside the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and answers its path.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).expect("write a scratch file");
        path
    }
}

impl Drop for Scratch {
    #[expect(clippy::print_stderr, reason = "goes with the failure's own report")]
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("kept for a look: {}", folder.keep().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn is_removed_after_success_and_kept_after_a_failure() {
        let scratch = Scratch::new("removed");
        let path = scratch.write("note", "x");
        drop(scratch);
        assert!(!path.exists());

        let scratch = Scratch::new("kept");
        let path = scratch.write("note", "x");
        let failed = std::thread::spawn(move || {
            let _held = scratch;
            panic!("on purpose");
        });
        assert!(failed.join().is_err());
        assert!(path.exists());
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
