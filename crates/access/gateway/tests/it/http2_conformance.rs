//! RFC 9113 and RFC 7541, frame by frame, over TLS: what a peer may do is answered, what it may not is an error of the
//! stream or of the connection. The cases are those of h2spec's sections; like it, a close counts as a connection error.

use std::sync::LazyLock;

use aqueduct_gateway::Tls;

use crate::pki::{Authority, Secure};
use crate::raw_http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RESET, Raw, SETTINGS,
    WINDOW_UPDATE, block, frame, request,
};
use crate::setup::Setup;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

const PADDED: u8 = 8;
const PUSH_PROMISE: u8 = 5;
const WITH_PRIORITY: u8 = 0x20;
/// The largest window.
const LARGEST: u32 = (1 << 31) - 1;
const WHOLE: u8 = END_STREAM | END_HEADERS;

fn gateway() -> Setup {
    Setup::with(|options| {
        options.limits.streams = 10;
        options.listen[0].tls = Some(Tls::new(vec![AUTHORITY.issue(&["a.test"]).pair()]));
    })
}

/// TLS and nothing more.
fn negotiate(setup: &Setup) -> Raw {
    let secure = Secure::open(setup.address, &AUTHORITY.client(&["h2"], None), "a.test").unwrap();
    assert_eq!(secure.alpn(), Some("h2"));
    Raw::over(secure.into_stream())
}

/// A connection whose settings both sides have agreed on.
fn open(setup: &Setup) -> Raw {
    let mut client = negotiate(setup);
    client.begin();
    assert!(client.find(SETTINGS).is_some());
    assert!(client.send(&frame(SETTINGS, ACK, 0, &[])));
    client
}

/// What must come of it.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// The connection ends.
    Connection,
    /// The stream is reset, or the connection ends.
    Stream(u32),
    /// An answer with this status.
    Status(u32, u16),
    /// The connection is as alive as before.
    Alive,
}
use Expect::{Alive, Connection, Status, Stream};

/// Each case on a connection of its own.
#[track_caller]
fn check(setup: &Setup, cases: &[(&str, &[Vec<u8>], Expect)]) {
    for (name, frames, expect) in cases {
        verify(open(setup), name, &frames.concat(), *expect);
    }
}

#[track_caller]
fn verify(mut client: Raw, name: &str, bytes: &[u8], expect: Expect) {
    client.send(bytes);
    if matches!(expect, Alive) {
        assert!(client.send(&frame(PING, 0, 0, b"12345678")), "{name}");
    }
    loop {
        let Some(seen) = client.next() else {
            return assert!(matches!(expect, Connection | Stream(_)), "{name}: closed");
        };
        match (expect, seen.kind) {
            (Connection | Stream(_), GOAWAY) if seen.number(4) != 0 => return,
            (Stream(stream), RESET) if seen.stream == stream => {
                return assert_ne!(seen.number(0), 0, "{name}");
            }
            (Status(stream, status), HEADERS) if seen.stream == stream => {
                return assert_eq!(seen.status(), Some(status), "{name}");
            }
            (Alive, PING) if seen.flags & ACK != 0 && seen.payload == b"12345678" => return,
            (Alive | Status(..), GOAWAY) => assert_eq!(seen.number(4), 0, "{name}"),
            _ => {}
        }
    }
}

fn fields(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

fn get(stream: u32) -> Vec<u8> {
    fields(stream, WHOLE, &request("GET", "/v1/say/x"))
}

fn post(stream: u32) -> Vec<u8> {
    fields(stream, END_HEADERS, &request("POST", "/v1/say"))
}

/// A request whose header block goes on.
fn begun(stream: u32) -> Vec<u8> {
    fields(stream, END_STREAM, &request("GET", "/v1/say/x"))
}

fn data(stream: u32, text: &str) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, text.as_bytes())
}

fn setting(id: u8, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, id][..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &[0, 0, 0, 8])
}

fn more(stream: u32, flags: u8) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, &block(&[("x-more", "y")]))
}

/// A GET whose header block is followed by these bytes of HPACK.
fn packed(bytes: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[&block(&request("GET", "/v1/say/x")), bytes].concat())
}

#[test]
fn section_3_4_the_preface() {
    let setup = gateway();
    verify(negotiate(&setup), "not the preface", b"INVALID CONNECTION PREFACE\r\n\r\n", Connection);
    let early = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &get(1)].concat();
    verify(negotiate(&setup), "a request before the settings", &early, Connection);
    let mut client = negotiate(&setup);
    client.begin();
    assert_eq!(client.next().unwrap().kind, SETTINGS, "the server's first frame");
}

#[test]
fn section_4_frames() {
    let setup = gateway();
    let long = block(&[("x-long", &"z".repeat(17_000))]);
    check(
        &setup,
        &[
            ("an unknown type", &[frame(0xff, 0, 0, &[0; 8])], Alive),
            ("an unknown flag", &[frame(PING, 0x16, 0, &[0; 8])], Alive),
            ("the reserved bit", &[frame(PING, 0, 1 << 31, &[0; 8])], Alive),
            (
                "DATA as large as may be",
                &[post(1), frame(DATA, END_STREAM, 1, &vec![b' '; 16_384])],
                Status(1, 400),
            ),
            ("DATA that is larger", &[post(1), frame(DATA, END_STREAM, 1, &vec![b' '; 16_385])], Stream(1)),
            ("HEADERS that are larger", &[frame(HEADERS, WHOLE, 1, &long)], Connection),
            ("a broken header block", &[frame(HEADERS, WHOLE, 1, &[0x40])], Connection),
            (
                "PRIORITY within a header block",
                &[begun(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])],
                Connection,
            ),
            ("HEADERS of another stream within one", &[begun(1), get(3)], Connection),
        ],
    );
}

#[test]
fn section_5_streams() {
    let setup = gateway();
    let depends = |stream: u32| [&stream.to_be_bytes()[..], &[255]].concat();
    let on_itself =
        frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[depends(1), block(&request("GET", "/v1/say/x"))].concat());
    check(
        &setup,
        &[
            ("idle: DATA", &[data(1, "x")], Connection),
            ("idle: RST_STREAM", &[reset(1)], Connection),
            ("idle: WINDOW_UPDATE", &[window(1, 100)], Connection),
            ("idle: CONTINUATION", &[more(1, END_HEADERS)], Connection),
            ("idle: PRIORITY", &[frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), get(3)], Status(3, 200)),
            ("half closed: DATA", &[get(1), data(1, "x")], Stream(1)),
            ("half closed: HEADERS", &[get(1), get(1)], Stream(1)),
            ("half closed: CONTINUATION", &[get(1), more(1, END_HEADERS)], Connection),
            (
                "half closed: WINDOW_UPDATE, PRIORITY",
                &[get(1), window(1, 9), frame(PRIORITY, 0, 1, &[0; 5])],
                Alive,
            ),
            ("reset: DATA", &[post(1), reset(1), data(1, "x")], Stream(1)),
            ("reset: HEADERS", &[post(1), reset(1), get(1)], Stream(1)),
            ("reset: CONTINUATION", &[post(1), reset(1), more(1, END_HEADERS)], Connection),
            ("an even number", &[get(2)], Connection),
            ("a number below another", &[get(5), get(3)], Connection),
            ("more than at once", &(0..=10).map(|at| post(at * 2 + 1)).collect::<Vec<_>>(), Stream(21)),
            ("HEADERS that depend on themselves", &[on_itself], Stream(1)),
            ("PRIORITY that depends on itself", &[post(1), frame(PRIORITY, 0, 1, &depends(1))], Stream(1)),
            ("an unknown frame within a header block", &[begun(1), frame(0xff, 0, 0, &[0; 8])], Connection),
        ],
    );
    for (name, bytes) in [("DATA", data(1, "x")), ("HEADERS", get(1)), ("CONTINUATION", more(1, END_HEADERS))]
    {
        let mut client = open(&setup);
        assert!(client.send(&get(1)));
        assert_eq!(client.status(1), Some(200));
        while client.find(DATA).unwrap().flags & END_STREAM == 0 {}
        verify(client, &format!("closed: {name}"), &bytes, Stream(1));
    }
}

#[test]
fn section_6_1_to_6_4_data_headers_priority_and_reset() {
    let setup = gateway();
    let padded = |kind, flags, stream, payload: &[u8]| frame(kind, flags | PADDED, stream, payload);
    let head = block(&request("GET", "/v1/say/x"));
    let depends = [&[0, 0, 0, 0, 9][..], &head].concat();
    check(
        &setup,
        &[
            ("DATA with padding", &[post(1), padded(DATA, END_STREAM, 1, b"\x02{}\0\0")], Status(1, 200)),
            ("DATA of no stream", &[data(0, "x")], Connection),
            (
                "DATA with more padding than there is",
                &[post(1), padded(DATA, END_STREAM, 1, b"\x06test")],
                Connection,
            ),
            (
                "HEADERS with padding",
                &[padded(HEADERS, WHOLE, 1, &[&[1][..], &head, &[0]].concat())],
                Status(1, 200),
            ),
            ("HEADERS with priority", &[frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &depends)], Status(1, 200)),
            ("HEADERS of no stream", &[get(0)], Connection),
            ("HEADERS with more padding than there is", &[padded(HEADERS, WHOLE, 1, b"\x7fxx")], Connection),
            ("PRIORITY of no stream", &[frame(PRIORITY, 0, 0, &[0; 5])], Connection),
            ("PRIORITY of four bytes", &[post(1), frame(PRIORITY, 0, 1, &[0; 4])], Stream(1)),
            ("RST_STREAM of no stream", &[reset(0)], Connection),
            ("RST_STREAM of three bytes", &[post(1), frame(RESET, 0, 1, &[0; 3])], Connection),
            ("RST_STREAM with an unknown reason", &[post(1), frame(RESET, 0, 1, &[0, 0, 0, 0xff])], Alive),
        ],
    );
}

#[test]
fn section_6_5_to_6_10_settings_ping_goaway_windows_and_continuation() {
    let setup = gateway();
    let ping = |flags, stream, length: usize| frame(PING, flags, stream, &vec![0; length]);
    let open_head = fields(1, END_STREAM, &request("GET", "/v1/say/x"));
    check(
        &setup,
        &[
            ("SETTINGS ACK with content", &[frame(SETTINGS, ACK, 0, &[0])], Connection),
            ("SETTINGS of a stream", &[frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100])], Connection),
            ("SETTINGS of three bytes", &[frame(SETTINGS, 0, 0, &[0, 3, 0])], Connection),
            ("ENABLE_PUSH 2", &[setting(2, 2)], Connection),
            ("INITIAL_WINDOW_SIZE too large", &[setting(4, 1 << 31)], Connection),
            ("MAX_FRAME_SIZE too small", &[setting(5, 16_383)], Connection),
            ("MAX_FRAME_SIZE too large", &[setting(5, 1 << 24)], Connection),
            ("an unknown setting", &[setting(0xff, 1)], Alive),
            ("PING of a stream", &[ping(0, 1, 8)], Connection),
            ("PING of six bytes", &[ping(0, 0, 6)], Connection),
            ("PING ACK", &[ping(ACK, 0, 8)], Alive),
            ("GOAWAY of a stream", &[frame(GOAWAY, 0, 1, &[0; 8])], Connection),
            ("WINDOW_UPDATE by 0", &[window(0, 0)], Connection),
            ("WINDOW_UPDATE of a stream by 0", &[post(1), window(1, 0)], Stream(1)),
            ("WINDOW_UPDATE of three bytes", &[frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])], Connection),
            ("a window over its size", &[window(0, LARGEST), window(0, LARGEST)], Connection),
            ("a stream's window over its size", &[post(1), window(1, LARGEST)], Stream(1)),
            ("several CONTINUATIONs", &[open_head.clone(), more(1, 0), more(1, END_HEADERS)], Status(1, 200)),
            (
                "DATA before the end of a header block",
                &[open_head.clone(), more(1, 0), data(1, "x")],
                Connection,
            ),
            ("CONTINUATION of no stream", &[open_head.clone(), more(0, END_HEADERS)], Connection),
            ("CONTINUATION of another stream", &[open_head.clone(), more(3, END_HEADERS)], Connection),
            (
                "CONTINUATION behind the end",
                &[open_head, more(1, END_HEADERS), more(1, END_HEADERS)],
                Connection,
            ),
            (
                "CONTINUATION behind DATA",
                &[post(1), frame(DATA, 0, 1, b"{"), more(1, END_HEADERS)],
                Connection,
            ),
        ],
    );
    let mut client = open(&setup);
    assert!(client.send(&setting(3, 100)));
    let answer = client.next().unwrap();
    assert_eq!((answer.kind, answer.flags), (SETTINGS, ACK));
}

#[test]
fn section_6_9_windows_are_kept_to() {
    let setup = gateway();
    let piece = |client: &mut Raw| String::from_utf8(client.find(DATA).unwrap().payload).unwrap();
    let mut client = open(&setup);
    assert!(client.send(&[setting(4, 1), get(1)].concat()));
    assert_eq!(piece(&mut client), "{");
    assert!(client.send(&window(1, 2)));
    assert_eq!(piece(&mut client), "\"t");
    // A change of the first window counts for streams that are open, and may leave less than nothing.
    assert!(client.send(&[setting(4, 0), window(1, 2)].concat()));
    assert_eq!(piece(&mut client), "e");
    assert!(client.send(&setting(4, 100)));
    assert_eq!(piece(&mut client), "xt\":\"x\"}");
}

#[test]
fn sections_7_and_8_errors_and_messages() {
    let setup = gateway();
    let with = |field: (&'static str, &'static str)| [request("GET", "/v1/say/x"), vec![field]].concat();
    let without = |name: &str| {
        let mut all = request("GET", "/v1/say/x");
        all.retain(|(field, _)| *field != name);
        all
    };
    let wrong = |list: &[(&str, &str)]| fields(1, WHOLE, list);
    let path = |path: &'static str| request("GET", path);
    let length = [request("POST", "/v1/say"), vec![("content-length", "1")]].concat();
    let late = [vec![("x-first", "y")], request("GET", "/v1/say/x")].concat();
    for (name, list) in [
        ("an upper-case name", with(("X-Test", "y"))),
        ("an unknown pseudo-header", with((":test", "y"))),
        ("a pseudo-header of answers", with((":status", "200"))),
        ("a pseudo-header behind others", late),
        ("connection", with(("connection", "keep-alive"))),
        ("te", with(("te", "trailers, deflate"))),
        ("an empty path", path("")),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("two methods", with((":method", "GET"))),
        ("two schemes", with((":scheme", "http"))),
        ("two paths", with((":path", "/"))),
    ] {
        check(&setup, &[(name, &[wrong(&list)], Stream(1))]);
    }
    check(
        &setup,
        &[
            ("GOAWAY with an unknown reason", &[frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])], Alive),
            ("te: trailers", &[wrong(&with(("te", "trailers")))], Status(1, 200)),
            (
                "trailers",
                &[post(1), frame(DATA, 0, 1, b"{}"), fields(1, WHOLE, &[("x-sum", "1")])],
                Status(1, 200),
            ),
            (
                "second HEADERS that do not end",
                &[post(1), fields(1, END_HEADERS, &[("x-y", "z")])],
                Stream(1),
            ),
            ("less than it says", &[fields(1, END_HEADERS, &length), data(1, "")], Stream(1)),
            ("more than it says", &[fields(1, END_HEADERS, &length), data(1, "test")], Stream(1)),
            (
                "more than it says, in pieces",
                &[fields(1, END_HEADERS, &length), frame(DATA, 0, 1, b"te"), data(1, "st")],
                Stream(1),
            ),
            ("PUSH_PROMISE", &[frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])], Connection),
        ],
    );
}

#[test]
fn rfc_7541_header_compression() {
    let setup = gateway();
    check(
        &setup,
        &[
            ("an entry of the static table", &[packed(&[0x90])], Status(1, 200)),
            ("a literal that is indexed, and its entry", &[packed(b"\x40\x01x\x01y\xbe")], Status(1, 200)),
            ("a literal that is never indexed", &[packed(b"\x10\x01x\x01y")], Status(1, 200)),
            ("a literal in Huffman's code", &[packed(b"\x00\x01x\x82\xf3\xeb")], Status(1, 200)),
            ("an entry that is not there", &[packed(&[0xc6])], Connection),
            ("a name that is not there", &[packed(b"\x7f\x10\x01y")], Connection),
            ("entry 0", &[packed(&[0x80])], Connection),
            ("a change of the table's size at the end", &[packed(&[0x21])], Connection),
            ("padding of more than seven bits", &[packed(b"\x00\x01x\x83\xf3\xeb\xff")], Connection),
            ("padding of zeros", &[packed(b"\x00\x01x\x82\xf3\xe8")], Connection),
            ("the end of string within one", &[packed(b"\x00\x01x\x84\xff\xff\xff\xff")], Connection),
            (
                "a table larger than was offered",
                &[frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &[&[0x3f, 0xe2, 0x1f][..], &block(&request("GET", "/v1/say/x"))].concat(),
                )],
                Connection,
            ),
        ],
    );
}
