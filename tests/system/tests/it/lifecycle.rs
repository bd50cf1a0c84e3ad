//! How the system starts, refuses to start, and stops.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, rounds, until};

use crate::load::{End, Load, check_books};
use crate::shop::Shop;
use crate::site::{Site, fails, no_panic};

/// What was read is answered: a client sees either a whole answer, or a connection that ends before the first byte of
/// one, and then nothing was done.
#[test]
fn sigterm_under_load_fails_no_request() {
    let site = Site::new("sigterm");
    for round in 0..rounds(2) {
        let mut process = site.up();
        let load = Load::start(site.edge(), 16, 1 + i64::from(round) * 100);
        load.wait_acknowledged(300 + usize::try_from(round % 97).unwrap());
        process.terminate().unwrap();
        let (status, printed) = process.finish(within(60)).unwrap();
        assert_eq!(status.code(), Some(0), "{printed}");
        no_panic(&process);
        let books = load.end();

        let _process = site.up();
        let mut shop = site.shop();
        for book in &books {
            assert_ended_cleanly(book.end.as_ref());
            assert_eq!(shop.list(book.user, 500).len(), book.orders.len(), "placed without an answer");
            for entry in &book.orders {
                let found = shop.get(entry.id);
                assert_eq!(found.version, entry.acknowledged, "done without an answer: {entry:?}");
            }
        }
        check_books(&mut shop, &books);
    }
}

/// The client's last request ended before any byte of an answer.
fn assert_ended_cleanly(end: Option<&End>) {
    let error = match end {
        Some(End::Unanswered(error)) => error,
        Some(End::Refused(answer)) => panic!("a request failed: {answer}"),
        None => panic!("a client without an end"),
    };
    let before_any_byte = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::BrokenPipe
    );
    assert!(before_any_byte, "an answer broke off: {error}");
}

/// A request is in flight from its first byte on: its body may still be on the way when the end begins.
#[test]
fn a_request_whose_body_is_on_the_way_is_still_answered() {
    let site = Site::with_config("drain", "gateway: { timeouts: { drain: 6s } }");
    let mut process = site.up();
    let order = site.shop().create(1);
    let mut client = site.client();
    let body = Shop::basket(1).to_string();
    let (first, rest) = body.split_at(10);
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    let in_flight = "aqueduct_gateway_requests_in_flight 1";
    assert!(until(within(30), || site.metrics().contains(in_flight).then_some(())).is_some());
    let mut watch = site.client().lines(&format!("/v1/orders/{}:watch", order.id), &[]).unwrap();
    assert!(watch.next_line().unwrap().is_some());

    process.terminate().unwrap();
    let refused = || TcpStream::connect(site.edge()).is_err().then_some(());
    assert!(until(within(30), refused).is_some(), "new connections are refused");
    let ready = Client::new(site.admin()).get("/readyz").unwrap();
    assert_eq!((ready.status(), ready.json()["status"].as_str()), (503, Some("draining")));
    client.send(rest.as_bytes()).unwrap();
    let answer = client.read_response(false).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("connection"), Some("close"));
    // A stream has no end of its own; it is told why it ends.
    let last: serde_json::Value = serde_json::from_str(&watch.next_line().unwrap().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], 14, "{last}");
    assert_eq!(watch.next_line().unwrap(), None);
    let (status, printed) = process.finish(within(60)).unwrap();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn an_idle_system_stops_at_once_and_starts_again() {
    let site = Site::new("restart");
    let mut known = Vec::new();
    for round in 0..3 {
        let mut process = site.up();
        let mut shop = site.shop();
        for id in &known {
            assert_eq!(shop.get(*id).version, 2);
        }
        let id = shop.create(round + 1).id;
        shop.event(id, "pay", "");
        known.push(id);
        process.terminate().unwrap();
        let (status, printed) = process.finish(within(30)).unwrap();
        assert_eq!(status.code(), Some(0), "{printed}");
    }
}

/// Checks that a command ends with one line of error that says all of `words`.
fn check_one_line(command: &mut Command, code: i32, words: &[&str]) {
    let (got, printed) = fails(command);
    assert_eq!(got, Some(code), "{printed}");
    let errors: Vec<&str> = printed.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{printed}");
    // Besides the diagnostic log, whose lines begin with the time.
    let others = printed.lines().filter(|line| !line.is_empty() && !line.starts_with("20")).count();
    assert_eq!(others, 1, "{printed}");
    for word in words {
        assert!(errors[0].contains(word), "no {word:?} in {}", errors[0]);
    }
    assert!(!printed.contains("panicked"), "{printed}");
}

#[test]
fn a_second_up_on_the_same_folder_is_refused() {
    let site = Site::new("second");
    let process = site.up();
    let second = Site::new("second-ports");
    let pid = process.pid().to_string();
    let mut command = second.command_on(&site.data());
    check_one_line(&mut command, 1, &["in use", &pid, &site.data().display().to_string(), "--data"]);
    assert_eq!(site.shop().create(1).version, 1, "the first goes on");
}

#[test]
fn a_used_port_is_refused_and_named() {
    let site = Site::new("ports");
    for (address, flag) in [(site.edge(), ""), (site.services(), "--services"), (site.admin(), "--admin")] {
        let _held = TcpListener::bind(address).unwrap();
        check_one_line(&mut site.command(), 1, &[&address.to_string(), flag]);
    }
    let _process = site.up();
    assert_eq!(site.shop().create(1).version, 1, "the failures left nothing behind");
}

/// A folder below a file, and one in a file system that takes none: root could write anywhere else.
#[test]
fn an_unwritable_folder_is_refused_and_named() {
    let site = Site::new("unwritable");
    let file = site.scratch.write("file", "");
    for folder in [file.join("data"), "/proc/aqueduct-data".into()] {
        check_one_line(&mut site.command_on(&folder), 1, &[&folder.display().to_string(), "--data"]);
    }
}

#[test]
fn a_folder_of_another_version_is_refused_and_left_alone() {
    let site = Site::new("version");
    drop(site.up());
    let format = site.data().join("FORMAT");
    std::fs::write(&format, "aqueduct-shop 999\n").unwrap();
    check_one_line(&mut site.command(), 1, &["aqueduct-shop 999", "aqueduct-shop 1", "format"]);
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "aqueduct-shop 999\n");
    std::fs::write(&format, "aqueduct-shop 1\n").unwrap();
    drop(site.up());
}
