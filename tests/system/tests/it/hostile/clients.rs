//! Clients that misbehave, each in its own way.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RESET, SETTINGS, block, frame,
    get,
};

/// Only a failing test sends so many frames, or waits so long.
const MOST: u32 = 1_000_000;
const LIMIT: Duration = Duration::from_mins(1);

/// Whom they go to, and an order that can be watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) edge: SocketAddr,
    pub(super) order: i64,
}

/// One client, by its number; returns what it keeps open.
pub(super) type Peer = fn(usize, Target) -> Option<TcpStream>;

/// By what the table of the document calls them.
pub(super) const ALL: [(&str, Peer); 6] = [
    ("connects and says nothing", |_, target| Some(connect(target, b""))),
    ("sends half a head", |_, target| Some(connect(target, b"GET /v1/orders/1 HTTP/1.1\r\nho"))),
    ("sends half of a body of 128 KiB", |_, target| Some(half_a_body(target))),
    ("says a length and sends less", less_than_said),
    ("says a length and sends more", more_than_said),
    ("resets a stream in its middle", reset),
];

/// Likewise, those that send frames without end.
pub(super) const FLOODS: [(&str, Peer); 4] = [
    ("opens and resets requests", |_, target| {
        flood(target, &[], |at| {
            let stream = at * 2 + 1;
            [get(stream, END_STREAM | END_HEADERS), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
        })
    }),
    ("sends pings", |_, target| flood(target, &[], |_| frame(PING, 0, 0, &[7; 8]))),
    ("sends settings", |_, target| flood(target, &[], |_| frame(SETTINGS, 0, 0, &[]))),
    ("sends continuations", |_, target| {
        flood(target, &get(1, 0), |_| frame(CONTINUATION, 0, 1, &block(&[("x-y", &"z".repeat(100))])))
    }),
];

fn connect(target: Target, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(target.edge).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(first).unwrap();
    stream
}

fn half_a_body(target: Target) -> TcpStream {
    let head = b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 131072\r\n\r\n";
    let mut stream = connect(target, head);
    stream.write_all(&[br#"{"note":""#, &vec![b'x'; 64 << 10][..]].concat()).unwrap();
    stream
}

/// Until nothing is taken any more; reads all the while.
fn flood(target: Target, first: &[u8], next: fn(u32) -> Vec<u8>) -> Option<TcpStream> {
    let mut stream = connect(target, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), first].concat());
    // What waits on this side is no burden for the other.
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, 16 << 10).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let piece = |at: u32| -> Vec<u8> { (at..at + 100).flat_map(next).collect() };
    let always = (next(0) == next(1)).then(|| piece(0));
    thread::scope(|scope| {
        // How it ends is the gateway's choice.
        scope.spawn(move || drop(io::copy(&mut reader, &mut io::sink())));
        let ended = (0..MOST).step_by(100).any(|at| match &always {
            Some(piece) => stream.write_all(piece).is_err(),
            None => stream.write_all(&piece(at)).is_err(),
        });
        assert!(ended, "{MOST} frames were taken");
        drop(stream.shutdown(Shutdown::Both));
    });
    None
}

/// In HTTP/1.1 and in HTTP/2.
fn less_than_said(index: usize, target: Target) -> Option<TcpStream> {
    if index.is_multiple_of(2) {
        let head = "POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
        ended(connect(target, head.as_bytes()), true)
    } else {
        ended(connect(target, &post("10", b"{")), false)
    }
}

fn more_than_said(index: usize, target: Target) -> Option<TcpStream> {
    if index.is_multiple_of(2) {
        let head = "POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}}}}}";
        ended(connect(target, head.as_bytes()), true)
    } else {
        ended(connect(target, &post("2", b"{}}}}}")), false)
    }
}

fn post(length: &str, body: &[u8]) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/orders"),
        (":authority", "a"),
        ("content-type", "application/json"),
        ("content-length", length),
    ];
    let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    let hello = frame(SETTINGS, 0, 0, &[]);
    [PREFACE, &hello, &frame(SETTINGS, ACK, 0, &[]), &head, &frame(DATA, END_STREAM, 1, body)].concat()
}

/// Says no more, and reads until there is an answer: in HTTP/1.1 to the end, in HTTP/2 what ends the stream.
fn ended(mut stream: TcpStream, whole: bool) -> Option<TcpStream> {
    if whole {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // What is left unread may be answered by a reset behind the answer.
        drop(stream.read_to_end(&mut answer));
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
        return None;
    }
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let [a, b, c, kind, _, on @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        if u32::from_be_bytes(on) == 1 && matches!(kind, HEADERS | RESET) {
            return Some(stream);
        }
    }
}

/// A watch, whose client is gone without a word as soon as there is an answer.
fn reset(index: usize, target: Target) -> Option<TcpStream> {
    let path = format!("/v1/orders/{}:watch", target.order);
    let mut stream = if index.is_multiple_of(2) {
        connect(target, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())
    } else {
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", &path), (":authority", "a")];
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields));
        connect(target, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &head].concat())
    };
    let mut some = [0; 64];
    stream.read_exact(&mut some).unwrap();
    if index.is_multiple_of(2) {
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        return None;
    }
    stream.write_all(&frame(RESET, 0, 1, &[0, 0, 0, 8])).unwrap();
    Some(stream)
}
