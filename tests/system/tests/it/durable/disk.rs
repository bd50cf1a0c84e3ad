//! What a disk holds for certain: the journals' bytes as they were written, and how far each was synced, at any line of
//! a trace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::trace::{Call, Trace};

/// The journals that a trace wrote.
#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Vec<Journal>,
    /// Which file has a path now.
    paths: HashMap<String, usize>,
    /// Where each descriptor stands.
    open: HashMap<i64, Open>,
}

#[derive(Debug)]
struct Journal {
    path: String,
    bytes: Vec<u8>,
    /// The lines at which a write ended, and where its bytes end. Behind the last the file may go on with zeros that
    /// were reserved.
    writes: Vec<(usize, usize)>,
    /// The lines at which a sync ended, and the length that it made certain.
    syncs: Vec<(usize, usize)>,
}

/// The greatest length that was reached before a line.
fn before(line: usize, reached: &[(usize, usize)]) -> usize {
    reached.iter().filter(|(at, _)| *at < line).map(|(_, length)| *length).max().unwrap_or(0)
}

#[derive(Debug)]
struct Open {
    file: usize,
    append: bool,
    position: usize,
}

impl Disk {
    /// Does in memory what the calls did.
    pub(super) fn replay(trace: &Trace) -> Self {
        let mut disk = Self::default();
        // By their ends: only then their effect is certain.
        let mut calls: Vec<&Call> = trace.calls.iter().collect();
        calls.sort_by_key(|call| call.ended);
        for call in calls {
            disk.apply(call);
        }
        disk
    }

    /// Whether at the line `at` the journal was synced up to the record that `id` has this version.
    pub(super) fn held(&self, id: i64, version: u64, at: usize) -> bool {
        let key = id.to_be_bytes();
        self.files.iter().any(|file| {
            let synced =
                file.syncs.iter().filter(|(line, _)| *line < at).map(|(_, end)| *end).max().unwrap_or(0);
            // A row of the state machine: the id, and the word that ends with the version. What is not synced does not
            // count, so nothing behind it is looked at.
            file.bytes[..synced.min(file.bytes.len())]
                .windows(16)
                .any(|row| row[..8] == key && version_of(row) == version)
        })
    }

    /// The journals' present paths and how far each was ever synced.
    pub(super) fn journals(&self) -> Vec<(PathBuf, u64)> {
        let synced = |file: &Journal| before(usize::MAX, &file.syncs) as u64;
        self.files.iter().map(|file| (PathBuf::from(&file.path), synced(file))).collect()
    }

    fn apply(&mut self, call: &Call) {
        let Some(returned) = call.returned.filter(|returned| *returned >= 0) else { return };
        match call.name.as_str() {
            "openat" => self.opened(call, returned),
            "close" => drop(call.descriptor().and_then(|descriptor| self.open.remove(&descriptor))),
            "rename" | "renameat" | "renameat2" => self.renamed(call),
            "write" | "pwrite64" => self.written(call, usize::try_from(returned).unwrap()),
            "lseek" => {
                if let Some(open) = self.of(call) {
                    open.position = usize::try_from(returned).unwrap();
                }
            }
            "ftruncate" => self.truncated(call),
            "fsync" | "fdatasync" => {
                let Some(file) = self.of(call).map(|open| open.file) else { return };
                let file = &mut self.files[file];
                // What was written while it ran may have come too late for it.
                file.syncs.push((call.ended, before(call.began, &file.writes)));
            }
            _ => {}
        }
    }

    fn of(&mut self, call: &Call) -> Option<&mut Open> {
        self.open.get_mut(&call.descriptor()?)
    }

    fn opened(&mut self, call: &Call, descriptor: i64) {
        // A descriptor that was closed unseen is somebody else's now.
        self.open.remove(&descriptor);
        let Some(path) = call.text(0).filter(|path| is_journal(path)) else { return };
        let next = self.files.len();
        let file = *self.paths.entry(path.clone()).or_insert(next);
        if file == next {
            self.files.push(Journal { path, bytes: Vec::new(), writes: Vec::new(), syncs: Vec::new() });
        }
        let append = call.arguments.contains("O_APPEND");
        self.open.insert(descriptor, Open { file, append, position: 0 });
    }

    fn written(&mut self, call: &Call, count: usize) {
        let Some(open) = call.descriptor().and_then(|descriptor| self.open.get_mut(&descriptor)) else {
            return;
        };
        assert_eq!(call.name, "write", "a journal is written from front to back");
        let file = &mut self.files[open.file];
        let start = if open.append { file.bytes.len() } else { open.position };
        let end = start + count;
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        file.bytes[start..end].copy_from_slice(&call.bytes()[..count]);
        open.position = end;
        file.writes.push((call.ended, end));
    }

    fn truncated(&mut self, call: &Call) {
        let length = call.arguments.rsplit_once(", ").and_then(|(_, length)| length.parse().ok());
        let Some(open) = self.of(call).map(|open| open.file) else { return };
        let file = &mut self.files[open];
        let length: usize = length.expect("a length");
        file.bytes.resize(length, 0);
        // What was cut off is neither written nor certain any more.
        for (_, end) in file.writes.iter_mut().chain(&mut file.syncs) {
            *end = (*end).min(length);
        }
    }

    /// A file, or a folder with journals in it.
    fn renamed(&mut self, call: &Call) {
        let (Some(from), Some(to)) = (call.text(0), call.text(1)) else { return };
        for file in &mut self.files {
            if let Some(rest) = file.path.strip_prefix(&from) {
                file.path = format!("{to}{rest}");
            }
        }
        self.paths = self.files.iter().enumerate().map(|(index, file)| (file.path.clone(), index)).collect();
    }
}

fn is_journal(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "jnl")
}

/// The low 55 bits of a word.
fn version_of(row: &[u8]) -> u64 {
    u64::from_be_bytes(row[8..16].try_into().unwrap()) & ((1 << 55) - 1)
}

/// The trace of one change: written, synced and answered in the order that `lines` says.
#[cfg(test)]
fn change(lines: &[&str]) -> Trace {
    use super::trace::hex;
    let journal = hex(b"/d/0.jnl");
    let row = [77_i64.to_be_bytes(), (2_u64 << 56 | 2).to_be_bytes()].concat();
    let body = r#"{"id":"77","version":"2"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    let mut text = vec![format!("1 openat(AT_FDCWD, \"{journal}\", O_WRONLY|O_APPEND) = 3<{journal}>")];
    text.extend(lines.iter().map(|line| match *line {
        "write" => format!("1 write(3<{journal}>, \"{}\", 16) = 16", hex(&row)),
        "sync" => format!("3 fdatasync(3<{journal}>) = 0"),
        "sync fails" => format!("3 fdatasync(3<{journal}>) = -1 EIO (Input/output error)"),
        "sync begins" => format!("3 fdatasync(3<{journal}> <unfinished ...>"),
        "sync ends" => "3 <... fdatasync resumed>) = 0".to_owned(),
        _ => format!("2 sendto(9<{}>, \"{}\", 1) = 1", hex(b"socket:[5]"), hex(answer.as_bytes())),
    }));
    Trace::parse(&text.join("\n"))
}

/// Each way to acknowledge too early is seen as such.
#[test]
fn an_answer_before_its_sync_is_noticed() {
    let check = |lines: &[&str], expect: bool| {
        let trace = change(lines);
        let [answer] = &trace.acknowledged_orders()[..] else { panic!("one answer in {lines:?}") };
        assert_eq!((answer.id, answer.version), (77, 2));
        assert_eq!(Disk::replay(&trace).held(77, 2, answer.at), expect, "{lines:?}");
        assert!(!Disk::replay(&trace).held(77, 3, answer.at), "another version");
    };
    check(&["write", "sync", "answer"], true);
    check(&["write", "sync begins", "sync ends", "answer"], true);
    check(&["write", "answer", "sync"], false);
    check(&["sync", "write", "answer"], false);
    check(&["write", "answer"], false);
    check(&["write", "sync begins", "answer", "sync ends"], false);
    check(&["sync begins", "write", "sync ends", "answer"], false);
    check(&["write", "sync fails", "answer"], false);
    check(&["sync", "answer"], false);
}
