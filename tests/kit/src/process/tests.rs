use super::{Process, within};
use crate::{Port, Scratch, until};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Command;

fn shell(script: &str) -> Process {
    Process::start("shell", Command::new("sh").args(["-c", script])).unwrap()
}

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_line_is_found_on_either_stream_and_after_the_fact() {
    let process = shell("echo one; echo two >&2; exec sleep 60");
    assert_eq!(process.wait_line("two", within(10)).unwrap(), "two");
    assert_eq!(process.wait_line("one", within(10)).unwrap(), "one");
    assert_eq!(process.wait_line("one", within(0)).unwrap(), "one");
}

#[test]
fn waiting_for_a_line_ends_with_the_process_and_shows_what_it_printed() {
    let mut process = shell("echo what went wrong; exit 3");
    let error = process.wait_line("ready", within(60)).unwrap_err();
    assert!(error.to_string().contains("what went wrong"), "{error}");
    assert_eq!(process.wait_exit(within(10)).unwrap().code(), Some(3));
}

#[test]
fn a_port_that_never_opens_is_reported_once_the_process_has_ended() {
    let port = Port::free();
    let mut process = shell("echo used port; exit 1");
    let error = process.wait_port(port.address(), within(60)).unwrap_err();
    assert!(error.to_string().contains("does not listen"), "{error}");
}

#[test]
fn sigterm_can_be_handled_and_sigkill_cannot() {
    let mut process = shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done");
    process.wait_line("up", within(10)).unwrap();
    process.terminate().unwrap();
    assert_eq!(process.wait_exit(within(10)).unwrap().code(), Some(7));
    assert!(process.wait_line("bye", within(10)).is_ok());

    let mut process = shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
    process.wait_line("up", within(10)).unwrap();
    process.terminate().unwrap();
    process.kill().unwrap();
    assert_eq!(process.exited().unwrap().code(), None, "ended by a signal");
}

#[test]
fn a_paused_process_does_nothing_until_it_is_resumed() {
    let mut process = shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done");
    process.wait_line("up", within(10)).unwrap();
    let state = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    process.pause().unwrap();
    let pid = process.pid();
    assert!(until(within(10), || state(pid).contains(") T ").then_some(())).is_some());
    process.terminate().unwrap();
    assert!(process.exited().is_none());
    process.resume().unwrap();
    assert_eq!(process.wait_exit(within(10)).unwrap().code(), Some(5));
}

#[test]
fn a_finished_process_has_all_its_output_read() {
    let mut process = shell("seq 20000; echo the last; exit 4");
    let (status, printed) = process.finish(within(30)).unwrap();
    assert_eq!(status.code(), Some(4));
    assert!(printed.ends_with("20000\nthe last"), "{} bytes", printed.len());
}

#[test]
fn dropping_ends_the_process() {
    let process = shell("exec sleep 60");
    let pid = process.pid();
    assert!(is_alive(pid));
    drop(process);
    assert!(until(within(10), || (!is_alive(pid)).then_some(())).is_some());
}

#[test]
fn a_log_holds_what_was_printed_and_a_detached_process_lives_on() {
    let scratch = Scratch::new("log");
    let log = scratch.join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; echo two >&2; exec sleep 60"]);
    let process = Process::start_with_log("logger", &mut command, &log).unwrap();
    assert_eq!(process.wait_line("two", within(10)).unwrap(), "two");
    assert_eq!(process.printed(), "one\ntwo\n");
    let pid = process.pid();
    process.detach();
    assert!(is_alive(pid));
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}
