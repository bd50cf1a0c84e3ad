//! Upstreams that misbehave, each in its own way.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::frames::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RESET, SETTINGS, block, frame};

/// Answers a request on a stream of a connection.
type Answer = fn(&mut TcpStream, u32) -> io::Result<()>;

/// By what the table of the document calls them; without an answer it is one that never says anything.
pub(super) const ALL: [(&str, Option<Answer>); 5] = [
    ("accepts and says nothing", None),
    ("begins an answer and says no more", Some(|stream, id| begin(stream, id, &[0, 0, 0]))),
    ("says a length and sends less or more", Some(lie)),
    ("resets streams in their middle", Some(reset)),
    (
        "resets connections in their middle",
        Some(|stream, id| {
            begin(stream, id, &[0, 0, 0])?;
            rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
            Err(io::ErrorKind::ConnectionReset.into())
        }),
    ),
];

/// Serves until the process of the test ends.
pub(super) fn start(listener: TcpListener, answer: Option<Answer>) {
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match answer {
                None => silent.push(stream),
                Some(answer) => {
                    // How it ends is the gateway's choice, or that of the answer.
                    thread::spawn(move || drop(serve(&mut stream, answer)));
                }
            }
        }
    });
}

fn serve(stream: &mut TcpStream, answer: Answer) -> io::Result<()> {
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { &payload[..] } else { &[] };
                stream.write_all(&frame(kind, ACK, 0, payload))?;
            }
            HEADERS => answer(stream, u32::from_be_bytes(id))?,
            _ => {}
        }
    }
}

fn begin(stream: &mut TcpStream, id: u32, data: &[u8]) -> io::Result<()> {
    let head = block(&[(":status", "200"), ("content-type", "application/grpc")]);
    stream.write_all(&[frame(HEADERS, END_HEADERS, id, &head), frame(DATA, 0, id, data)].concat())
}

/// Of a message less than its frame says, with a good end; one of 4 GiB; more than `content-length`.
fn lie(stream: &mut TcpStream, id: u32) -> io::Result<()> {
    match id / 2 % 3 {
        0 => {
            begin(stream, id, &[0, 0, 0, 3, 0xe8, 1, 2, 3])?;
            let end = block(&[("grpc-status", "0")]);
            stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &end))
        }
        1 => begin(stream, id, &[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        _ => {
            let fields = [(":status", "200"), ("content-type", "application/grpc"), ("content-length", "5")];
            let data = frame(DATA, END_STREAM, id, &[0; 100]);
            stream.write_all(&[frame(HEADERS, END_HEADERS, id, &block(&fields)), data].concat())
        }
    }
}

fn reset(stream: &mut TcpStream, id: u32) -> io::Result<()> {
    begin(stream, id, &[0, 0, 0])?;
    stream.write_all(&frame(RESET, 0, id, &[0, 0, 0, 2]))
}
