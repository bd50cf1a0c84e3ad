//! The 146 cases of [h2spec](https://github.com/summerwind/h2spec), by its sections and in its order, over TCP and over TLS. Where it
//! takes a connection that is simply closed for an error, this wants the frame that says which: all but two cases have one.

mod generic;
mod hpack;
mod http2;

use std::sync::LazyLock;

use aqueduct_gateway::Tls;

use crate::pki::{Authority, Secure};
use crate::raw_http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RESET, Raw,
    SETTINGS, WINDOW_UPDATE, block, frame, request,
};
use crate::setup::Setup;

const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
const WHOLE: u8 = END_STREAM | END_HEADERS;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// What the client does.
#[derive(Debug, Clone)]
enum Act {
    Send(Vec<u8>),
    /// Waits for the end of the answer on stream 1.
    Answered,
    /// Waits until its settings are acknowledged.
    Acknowledged,
    /// Waits for data.
    Data,
}
use Act::{Acknowledged, Answered, Data, Send};

/// What must come of it.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// The head of an answer on stream 1.
    Answer,
    /// A ping's answer.
    Pong([u8; 8]),
    /// A DATA frame of so many bytes.
    Bytes(usize),
    /// The server's settings are its first frame.
    Settings,
    /// The acknowledgement of settings.
    Acknowledgement,
    /// GOAWAY with one of these, and the end of the connection.
    Connection(&'static [u32]),
    /// RST_STREAM with one of these, or GOAWAY.
    Stream(&'static [u32]),
    /// The end of the connection.
    Closed,
}
use Expect::{Acknowledgement, Answer, Bytes, Closed, Connection, Pong, Settings, Stream};

/// A case by its section and place: whether the settings have been exchanged before, what the client does, what is expected.
#[rustfmt::skip]
type Case = (&'static str, Vec<Act>, Expect);

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

fn fields(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

fn get(stream: u32) -> Vec<u8> {
    fields(stream, WHOLE, &request("GET", "/v1/say/x"))
}

/// A GET with these fields behind its own.
fn get_with(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    fields(1, WHOLE, &[request("GET", "/v1/say/x"), more.to_vec()].concat())
}

fn post(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    fields(1, END_HEADERS, &[request("POST", "/v1/say"), more.to_vec()].concat())
}

fn data(stream: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, data)
}

fn ping(payload: [u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, &payload)
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &reason.to_be_bytes())
}

fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[weight]].concat())
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let each = values.iter().map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &each.collect::<Vec<_>>().concat())
}

/// A CONTINUATION with a field of 4,000 bytes.
fn more(stream: u32, flags: u8) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, &dummy(1))
}

fn dummy(count: usize) -> Vec<u8> {
    let value = "x".repeat(4000);
    (0..count).flat_map(|number| block(&[(&format!("x-dummy{number}"), &value)])).collect()
}

/// A case whose frames are sent at once, once the settings have been exchanged.
fn at_once(name: &'static str, frames: &[Vec<u8>], expect: Expect) -> Case {
    (name, vec![Send(frames.concat())], expect)
}

fn check((name, acts, expect): &Case, mut client: Raw) {
    if !matches!(expect, Settings) && !name.starts_with("http2/3.5") {
        client.begin();
        assert!(client.find(SETTINGS).is_some(), "{name}");
        assert!(client.find_any(|seen| seen.kind == SETTINGS && seen.flags & ACK != 0), "{name}");
        assert!(client.send(&frame(SETTINGS, ACK, 0, &[])), "{name}");
    }
    for act in acts {
        let done = match act {
            // What comes of it is seen even where the server has hung up.
            Send(bytes) => {
                client.send(bytes);
                true
            }
            Answered => client.find_any(|seen| {
                matches!(seen.kind, DATA | HEADERS) && seen.stream == 1 && seen.flags & END_STREAM != 0
            }),
            Acknowledged => client.find_any(|seen| seen.kind == SETTINGS && seen.flags & ACK != 0),
            Data => client.find_any(|seen| seen.kind == DATA),
        };
        assert!(done, "{name}: {act:?}");
    }
    let goodbye = |client: &mut Raw, reasons: &[u32]| {
        client.find_any(|seen| seen.kind == GOAWAY && reasons.contains(&seen.number(4)))
            && client.next().is_none()
    };
    let done = match *expect {
        Answer => client.find_any(|seen| seen.kind == HEADERS && seen.stream == 1),
        Pong(payload) => {
            client.find_any(|seen| seen.kind == PING && seen.flags == ACK && seen.payload == payload)
        }
        Bytes(length) => client.find(DATA).is_some_and(|seen| seen.payload.len() == length),
        Settings => client.next().is_some_and(|seen| seen.kind == SETTINGS && seen.flags & ACK == 0),
        Acknowledgement => client.find_any(|seen| seen.kind == SETTINGS && seen.flags & ACK != 0),
        Connection(reasons) => goodbye(&mut client, reasons),
        Stream(reasons) => client.find_any(|seen| match seen.kind {
            RESET => reasons.contains(&seen.number(0)),
            GOAWAY => reasons.contains(&seen.number(4)),
            _ => false,
        }),
        Closed => client.end_of_connection(),
    };
    assert!(done, "{name}: {expect:?}");
}

fn all() -> Vec<Case> {
    [generic::cases(), http2::cases(), hpack::cases()].concat()
}

fn run(tls: bool, connect: impl Fn(&Setup) -> Raw) {
    let setup = Setup::with(|options| {
        options.limits.streams = 100;
        if tls {
            options.listen[0].tls = Some(Tls::new(vec![AUTHORITY.issue(&["a.test"]).pair()]));
        }
    });
    let cases = all();
    assert_eq!(cases.len(), 146);
    for case in &cases {
        check(case, connect(&setup));
    }
}

#[test]
fn all_cases_pass_over_tcp() {
    run(false, |setup| Raw::silent(setup.address));
}

#[test]
fn all_cases_pass_over_tls() {
    run(true, |setup| {
        let secure = Secure::open(setup.address, &AUTHORITY.client(&["h2"], None), "a.test").unwrap();
        assert_eq!(secure.alpn(), Some("h2"));
        Raw::over(secure.into_stream())
    });
}
