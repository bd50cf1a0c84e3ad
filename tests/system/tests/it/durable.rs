//! Nothing is acknowledged before it is on disk. kill -9 cannot show that, since the page cache outlives the process;
//! the system calls can, in the order in which strace saw them.

mod disk;
mod trace;

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use aqueduct_kit::process::within;
use aqueduct_kit::{Process, procfs, rounds};

use crate::load::{Books, Load, check_books, ids};
use crate::site::{Site, no_panic, start_up};
use disk::Disk;
use trace::Trace;

/// The calls by which bytes reach files and clients.
const CALLS: &str = "trace=openat,close,write,writev,pwrite64,sendto,sendmsg,lseek,ftruncate,fsync,fdatasync,rename,renameat,renameat2";

/// `up` under strace; what it saw is in the file `trace` of the site.
fn traced(site: &Site, more: &[&str]) -> Command {
    let out = site.scratch.join("trace");
    let mut options = vec![
        "-f",
        "-y",
        "-xx",
        "-s",
        "1048576",
        "-e",
        "signal=none",
        "-e",
        CALLS,
        "-o",
        out.to_str().unwrap(),
    ];
    options.extend(more);
    site.command_under("strace", &options)
}

/// Starts it, with clear words when there is no strace.
fn start_traced(site: &Site, more: &[&str]) -> Process {
    let found = Command::new("strace").arg("-V").output();
    assert!(
        found.is_ok_and(|found| found.status.success()),
        "strace is missing, and without it nobody can tell whether answers wait for the disk; \
         `cargo xtask test` installs it, or run: sudo apt-get install -y strace"
    );
    start_up(&mut traced(site, more))
}

fn read_trace(site: &Site) -> Trace {
    Trace::parse(&fs::read_to_string(site.scratch.join("trace")).unwrap())
}

/// Ends the traced process itself, as by a power cut; strace follows it.
fn cut_power(strace: &mut Process) {
    let traced = procfs::children(strace.pid()).unwrap();
    let [pid] = traced[..] else { panic!("strace has the children {traced:?}") };
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap();
    assert!(killed.success());
    strace.wait_exit(within(30)).unwrap();
}

/// Checks each answer in the trace against the disk as it was just before the answer was written.
fn check_answers(trace: &Trace, books: &[Books]) {
    let disk = Disk::replay(trace);
    let answers = trace.acknowledged_orders();
    let known: usize = books.iter().flat_map(|book| &book.orders).map(|entry| entry.acknowledged).sum();
    assert!(answers.len() >= known, "the trace has {} of {known} answers", answers.len());
    for answer in &answers {
        assert!(
            disk.held(answer.id, answer.version, answer.at),
            "order {} was acknowledged at version {} before that was synced",
            answer.id,
            answer.version
        );
    }
}

/// In the order of system calls, and then in fact: a power cut takes what was never synced. Both of its faces: the file
/// ends there, or goes on with zeros.
#[test]
fn every_answer_waits_for_its_sync_and_survives_a_cut_of_all_that_was_not_synced() {
    for round in 0..rounds(1) {
        let site = Site::new("cut");
        let mut strace = start_traced(&site, &[]);
        let load = Load::start(site.edge(), 8, 1);
        // Not always at the same point of a batch's life.
        load.wait_acknowledged(300 + usize::try_from(round % 97).unwrap());
        cut_power(&mut strace);
        let books = load.end();
        let trace = read_trace(&site);
        check_answers(&trace, &books);
        check_cuts(&site, &Disk::replay(&trace), &books);
    }
}

/// Cuts each journal of the site both ways, and looks for what was acknowledged.
fn check_cuts(site: &Site, disk: &Disk, books: &[Books]) {
    let journals = disk.journals();
    assert!(!journals.is_empty(), "the trace has no journal");
    let kept = site.scratch.join("kept");
    fs::rename(site.data(), &kept).unwrap();
    for zeros in [false, true] {
        copy_folder(&kept, &site.data());
        for (path, synced) in &journals {
            // Deleted by the store itself since.
            if path.exists() {
                cut(path, *synced, zeros);
            }
        }
        let process = site.up();
        check_books(&mut site.shop(), books);
        no_panic(&process);
        drop(process);
        fs::remove_dir_all(site.data()).unwrap();
    }
}

fn cut(path: &Path, synced: u64, zeros: bool) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(synced <= length, "{} is shorter than what was synced", path.display());
    file.set_len(synced).unwrap();
    if zeros {
        file.seek(SeekFrom::Start(synced)).unwrap();
        file.write_all(&vec![0; usize::try_from(length - synced).unwrap().max(4096)]).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A store that has failed: the process says so, is not ready, ends with an error, and has acknowledged nothing that is
/// not on disk.
fn check_failure(site: &Site, strace: &mut Process, load: Load) -> Vec<Books> {
    let (status, printed) = strace.finish(within(60)).unwrap();
    let books = load.end();
    assert_eq!(status.code(), Some(1), "{printed}");
    let failures =
        printed.lines().filter(|line| line.contains("ERROR") && line.contains("store failed")).count();
    assert_eq!(failures, 1, "one clear line in: {printed}");
    assert!(printed.contains(r#"to="unavailable""#), "not ready at once: {printed}");
    let error =
        printed.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{printed}"));
    assert!(error.contains("nothing more is acknowledged"), "{error}");
    assert!(error.contains(site.data().to_str().unwrap()), "{error}");
    no_panic(strace);
    books
}

#[test]
fn a_sync_that_fails_ends_the_process_and_nothing_unsynced_is_acknowledged() {
    let site = Site::new("eio");
    // The count is one thread's: the committer's fortieth sync. Those of other threads come later.
    let mut strace = start_traced(&site, &["-e", "inject=fdatasync:error=EIO:when=40+"]);
    let load = Load::start(site.edge(), 8, 1);
    let books = check_failure(&site, &mut strace, load);
    assert!(ids(&books).count() > 0, "something was acknowledged before");
    let trace = read_trace(&site);
    assert!(trace.failed_syncs() > 0, "nothing was injected");
    check_answers(&trace, &books);
    check_cuts(&site, &Disk::replay(&trace), &books);
}

#[test]
fn a_full_disk_ends_the_process_and_loses_nothing_acknowledged() {
    let site = Site::new("full");
    drop(site.up());
    let journal = newest_journal(&site.data());
    // With a path, only calls on that file are traced, and made to fail.
    let mut strace =
        start_traced(&site, &["-P", journal.to_str().unwrap(), "-e", "inject=write:error=ENOSPC:when=60+"]);
    let load = Load::start(site.edge(), 8, 1);
    let books = check_failure(&site, &mut strace, load);
    assert!(ids(&books).count() > 0, "something was acknowledged before");
    let process = site.up();
    check_books(&mut site.shop(), &books);
    no_panic(&process);
}

fn newest_journal(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals.max_by_key(|path| File::open(path).unwrap().metadata().unwrap().modified().unwrap()).unwrap()
}
