use super::{Client, encode};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

/// A server of one connection that answers each request head with the next of `answers`, and then closes. Joining it
/// gives what it was sent.
fn serve(answers: &'static [&'static str]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        for answer in answers {
            heard.push_str(&hear(&mut stream));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        heard
    });
    (address, server)
}

/// Reads at least up to the end of a head.
fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !heard.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the client closed early");
        heard.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(heard).unwrap()
}

#[test]
fn keeps_a_connection_over_lengths_and_chunks() {
    let (address, server) = serve(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nX-Answer: 42\r\n\r\n",
    ]);
    let mut client = Client::new(address);
    assert_eq!(client.get("/one").unwrap().json(), json!({"a": 1}));
    let second = client.post("/two", &json!({})).unwrap();
    assert_eq!((second.status(), second.text().as_str()), (404, "abcde"));
    let third = client.get("/three").unwrap();
    assert_eq!((third.status(), third.header("x-answer"), third.body.len()), (204, Some("42"), 0));
    let heard = server.join().unwrap();
    assert!(
        heard.contains("POST /two HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"),
        "{heard}"
    );
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let (address, server) = serve(&["HTTP/1.1 200 OK\r\n\r\nto the end"]);
    assert_eq!(Client::new(address).get("/").unwrap().text(), "to the end");
    server.join().unwrap();
}

#[test]
fn a_body_cut_short_is_an_error() {
    for answer in [
        &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"],
        &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nshort"],
        &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n"],
    ] {
        let (address, server) = serve(answer);
        assert_eq!(Client::new(address).get("/").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        server.join().unwrap();
    }
}

#[test]
fn a_connection_closed_without_an_answer_is_an_error() {
    let (address, server) = serve(&[""]);
    assert_eq!(Client::new(address).get("/").unwrap_err().kind(), ErrorKind::UnexpectedEof);
    server.join().unwrap();
}

#[test]
fn lines_arrive_while_the_body_is_being_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::new(listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut lines = client.lines("/watch", &[]).unwrap();
        assert_eq!(lines.head().status, 200);
        let first = lines.next_line().unwrap().unwrap();
        (lines, first)
    });
    let (mut stream, _) = listener.accept().unwrap();
    hear(&mut stream);
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\none\ntw\r\n").unwrap();
    // The rest is written only after the first line was read.
    let (mut lines, first) = asked.join().unwrap();
    stream.write_all(b"2\r\no\n\r\n5\r\nthree\r\n0\r\n\r\n").unwrap();
    assert_eq!(first, "one");
    assert_eq!(lines.next_line().unwrap().as_deref(), Some("two"));
    assert_eq!(lines.next_line().unwrap().as_deref(), Some("three"));
    assert_eq!(lines.next_line().unwrap(), None);
}

#[test]
fn requests_are_framed_by_their_length() {
    assert_eq!(encode("GET", "/", &[], b""), b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let post = encode("POST", "/", &[("te", "trailers")], b"");
    assert_eq!(post, b"POST / HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\ncontent-length: 0\r\n\r\n");
}
