//! What cannot start says why in one line, with what to do about it, and exits with 1 (2 for a wrong configuration or
//! command line). Nothing is left behind: the next start works.

use std::fs;

use aqueduct_kit::{Port, Scratch};

use crate::kit::{Ended, Ports, Up, run};

fn up(scratch: &Scratch, ports: &Ports, data: &str) -> Ended {
    let args = ports.up(data);
    run(scratch.path(), &args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One line that begins with `error:`, and no trace of the inside.
#[track_caller]
fn check(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert!(ended.reason().starts_with("error: "), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
    for part in parts {
        assert!(ended.reason().contains(part), "{part}: {}", ended.stderr);
    }
    for inside in ["panicked", "RUST_BACKTRACE", "Os {", "Err(", "stack backtrace"] {
        assert!(!ended.stderr.contains(inside), "{}", ended.stderr);
    }
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_used_port_is_named() {
    let scratch = Scratch::new("ports");
    let ports = Ports::free();
    let listen = |port: &Port| std::net::TcpListener::bind(port.address()).unwrap();
    for (port, flag) in [(&ports.edge, "port"), (&ports.services, "--services"), (&ports.admin, "--admin")] {
        let used = listen(port);
        check(&up(&scratch, &ports, "data"), 1, &[&port.address().to_string(), "another process", flag]);
        drop(used);
    }
    // The data folder was opened each time, and given back.
    let up = Up::start_on(ports, &mut crate::kit::aqueduct(scratch.path()), &[]);
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_second_up_on_one_data_folder_is_told_who_holds_it() {
    let scratch = Scratch::new("second");
    let first = Up::start(&scratch, &[]);
    let pid = first.process.pid().to_string();
    check(&up(&scratch, &Ports::free(), "data"), 1, &["data folder data is in use", &pid, "--data"]);
    // On the same ports too: the folder is the thing to hear of.
    let args = first.ports.up("data");
    let second = run(scratch.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
    check(&second, 1, &["data folder data is in use", &pid]);
    assert_eq!(first.edge().get("/readyz").unwrap().status(), 200);
    assert_eq!(first.stop(), Some(0));
}

#[test]
fn a_data_folder_that_cannot_be_one_is_named() {
    let scratch = Scratch::new("folder");
    let ports = Ports::free();
    fs::write(scratch.path().join("file"), "").unwrap();
    check(&up(&scratch, &ports, "file"), 1, &["cannot create file", "--data"]);
    check(&up(&scratch, &ports, "/proc/aqueduct"), 1, &["cannot create /proc/aqueduct", "--data"]);

    fs::create_dir(scratch.path().join("old")).unwrap();
    fs::write(scratch.path().join("old/FORMAT"), "aqueduct-shop 999\n").unwrap();
    check(&up(&scratch, &ports, "old"), 1, &["old has another format", "aqueduct-shop 999", "--data"]);

    let address = ports.services.address().to_string();
    let serve = run(scratch.path(), &["serve", "--data=file", "--listen", &address]);
    check(&serve, 1, &["cannot create file", "--data"]);
}

#[test]
fn a_configuration_that_is_wrong_exits_with_2_and_every_reason() {
    let scratch = Scratch::new("config");
    fs::write(scratch.path().join("bad.yaml"), "lisen: []\nworkers: many\n").unwrap();
    let ended = run(scratch.path(), &["gateway", "--config", "bad.yaml"]);
    check(&ended, 2, &["bad.yaml: 5 errors"]);
    assert!(
        ended.stderr.starts_with("bad.yaml:1:1: unknown key `lisen`; did you mean `listen`?\n"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("\nbad.yaml:2:10: a whole number"), "{}", ended.stderr);
    let ended = run(scratch.path(), &["up", "--config", "missing.yaml"]);
    check(&ended, 2, &["cannot read missing.yaml: No such file or directory"]);
    assert_eq!(ended.stderr.lines().count(), 1);
    fs::write(scratch.path().join("bad.yaml"), "data: { dir: [] }\n").unwrap();
    let ended = run(scratch.path(), &["up", "--config", "bad.yaml"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(2), "bad.yaml:1:14: text is wanted here, not a list\n")
    );
    assert!(!scratch.path().join("aqueduct-data").exists(), "refused before anything was made");
}

#[test]
fn flags_that_are_wrong_exit_with_2() {
    let scratch = Scratch::new("flags");
    for args in [
        ["up", "--listen=localhost:80"],
        ["up", "--workers=0"],
        ["up", "--access-log-sample=2"],
        ["up", "--log-format=xml"],
        ["up", "--log=aqueduct=loud"],
        ["serve", "--admin=on"],
        ["gateway", "--log=info"],
    ] {
        let ended = run(scratch.path(), &args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{args:?}: {}", ended.stderr);
    }
    assert!(!scratch.path().join("aqueduct-data").exists(), "refused before anything was made");
}

#[test]
fn flags_that_put_two_parts_at_one_address_exit_with_2() {
    let scratch = Scratch::new("flags-overlap");
    let port = Port::free();
    let address = port.address();
    let flags = [format!("--listen={address}"), format!("--admin={address}")];
    let ended = run(scratch.path(), &["up", &flags[0], &flags[1]]);
    check(&ended, 2, &["the edge cannot listen on", &address.to_string(), "the admin server does"]);
    assert!(!scratch.path().join("aqueduct-data").exists(), "refused before anything was made");
}
