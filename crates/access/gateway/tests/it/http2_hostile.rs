//! HTTP/2 clients that want to cost more than they pay: each is sent away or held to a bound, and the others are served.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::raw_http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RESET, Raw,
    SETTINGS, WINDOW_UPDATE, block, frame, get, request,
};
use crate::setup::Setup;

const ENHANCE_YOUR_CALM: u32 = 11;

/// Sends frames until the gateway takes no more, at most so many; reads all the while. The frames that were sent, and the
/// reason of the GOAWAY, where it came through.
fn flood(
    address: SocketAddr,
    first: &[u8],
    mut next: impl FnMut(u32) -> Vec<u8>,
    most: u32,
) -> (u32, Option<u32>) {
    let mut writer = TcpStream::connect(address).unwrap();
    let reader = writer.try_clone().unwrap();
    let heard = std::thread::spawn(move || Raw::over(reader).end());
    let mut sent = 0;
    let mut piece = [PREFACE, &frame(SETTINGS, 0, 0, &[]), first].concat();
    while sent < most {
        for _ in 0..100 {
            piece.extend(next(sent));
            sent += 1;
        }
        if std::io::Write::write_all(&mut writer, &piece).is_err() {
            break;
        }
        piece.clear();
    }
    drop(writer.shutdown(std::net::Shutdown::Write));
    (sent, heard.join().unwrap())
}

/// A POST whose body does not end.
fn endless() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(&request("POST", "/v1/say")))
}

/// The gateway ends a flood of such frames early, and serves others meanwhile.
#[track_caller]
fn check(name: &str, first: &[u8], next: impl FnMut(u32) -> Vec<u8> + Send + 'static) {
    const MOST: u32 = 2_000_000;
    let setup = Setup::start();
    let (address, begin) = (setup.address, first.to_vec());
    let flooding = std::thread::spawn(move || flood(address, &begin, next, MOST));
    let mut other = setup.connect();
    for _ in 0..20 {
        assert_eq!(other.get("/v1/say/x", "").status, 200, "{name}");
    }
    let (sent, reason) = flooding.join().unwrap();
    // Whatever is still in the buffers of both sides counts as sent.
    assert!(sent < MOST, "{name}: {sent} frames were taken");
    assert_eq!(reason, Some(ENHANCE_YOUR_CALM), "{name}");
    assert_eq!(other.get("/v1/say/x", "").status, 200, "{name}");
    assert!(resident() < 200 << 20, "{name}: {} bytes", resident());
}

/// The memory of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn floods_of_control_frames_end() {
    let always = |frame: Vec<u8>| move |_| frame.clone();
    check("pings", &[], always(frame(PING, 0, 0, &[7; 8])));
    check("answers to no ping", &[], always(frame(PING, ACK, 0, &[7; 8])));
    check("settings", &[], always(frame(SETTINGS, 0, 0, &[])));
    check("settings of the window", &endless(), |at| {
        frame(SETTINGS, 0, 0, &[&[0, 4][..], &(60_000 + at % 2).to_be_bytes()].concat())
    });
    check("priorities", &[], always(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])));
    check("window updates", &[], always(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])));
    check("unknown frames", &[], always(frame(0x77, 0, 0, &[])));
}

#[test]
fn floods_around_requests_end() {
    check("rapid reset", &[], |at| {
        let stream = at * 2 + 1;
        [get(stream), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
    });
    check("requests beyond those at once", &[], |at| {
        frame(HEADERS, END_HEADERS, at * 2 + 1, &block(&request("POST", "/v1/say")))
    });
    check("empty data", &endless(), |_| frame(DATA, 0, 1, &[]));
    check("padding without data", &endless(), |_| frame(DATA, 8, 1, &[0]));
    let open = frame(HEADERS, 0, 1, &block(&request("GET", "/v1/say/x")));
    check("empty continuations", &open, |_| frame(CONTINUATION, 0, 1, &[]));
    check("continuations", &open, |_| frame(CONTINUATION, 0, 1, &block(&[("x-y", &"z".repeat(1000))])));
    check("malformed requests", &[], |at| {
        frame(HEADERS, END_STREAM | END_HEADERS, at * 2 + 1, &block(&[(":method", "GET"), ("X", "y")]))
    });
}

#[test]
fn a_rapid_reset_costs_few_calls() {
    let setup = Setup::start();
    let reset = |at: u32| {
        let stream = at * 2 + 1;
        [get(stream), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
    };
    flood(setup.address, &[], reset, 100_000);
    let calls = setup.backend.seen.headers.lock().unwrap().len();
    assert!(calls < 11_000, "{calls} calls");
}

#[test]
fn a_flood_is_counted() {
    let setup = Setup::start();
    flood(setup.address, &[], |_| frame(PING, 0, 0, &[0; 8]), 2_000_000);
    while setup.metric(r#"aqueduct_gateway_connections_refused_total{reason="flood"}"#) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn header_lists_over_the_limit_are_431_and_the_connection_goes_on() {
    let setup = Setup::with(|options| options.limits.head_bytes = 8 << 10);
    let mut client = Raw::open(setup.address);
    let long = "y".repeat(12_000);
    let fields = [request("GET", "/v1/say/x"), vec![("x", &long)]].concat();
    assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))));
    assert_eq!(client.status(1), Some(431));
    assert!(client.send(&get(3)));
    assert_eq!(client.status(3), Some(200));

    // A bomb: one entry of the dynamic table, named again by each further byte.
    let mut bomb = block(&request("GET", "/v1/say/x"));
    bomb.extend([0x40, 1, b'x', 127]);
    bomb.extend([0x81, 0x1e]);
    bomb.extend([b'z'; 127 + 1 + 30 * 128]);
    bomb.extend([0xbe; 10_000]);
    let before = resident();
    assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 5, &bomb)));
    assert_eq!(client.end(), Some(ENHANCE_YOUR_CALM));
    assert!(resident() < before + (16 << 20), "40 MB were not made of 14 KB");
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    const PROTOCOL: u32 = 1;
    const FLOW_CONTROL: u32 = 3;
    const FRAME_SIZE: u32 = 6;
    let setup = Setup::start();
    for (name, bytes, reason) in [
        ("a frame over the size", frame(DATA, 0, 1, &vec![0; 16_385]), FRAME_SIZE),
        ("a window update of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL),
        ("a window over its size", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), FLOW_CONTROL),
        ("an initial window over its size", frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), FLOW_CONTROL),
        ("settings of half a setting", frame(SETTINGS, 0, 0, &[0, 4, 0]), FRAME_SIZE),
        ("data on an idle stream", frame(DATA, 0, 1, &[1]), PROTOCOL),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE),
    ] {
        let mut client = Raw::open(setup.address);
        assert!(client.send(&bytes));
        assert_eq!(client.end(), Some(reason), "{name}");
    }
    let mut client = Raw::open(setup.address);
    assert!(client.send(&[endless(), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat()));
    let reset = client.find(RESET).unwrap();
    assert_eq!((reset.stream, reset.number(0)), (1, FLOW_CONTROL), "one stream, not the connection");
    let rejects = |reason| {
        setup.metric(&format!(r#"aqueduct_gateway_rejects_total{{stage="normalize",reason="{reason}"}}"#))
    };
    assert_eq!((rejects("http2"), rejects("malformed")), (7, 1));
}

#[test]
fn whoever_begins_and_says_no_more_is_cut() {
    let setup = Setup::with(|options| {
        options.timeouts.head = Duration::from_millis(100);
        options.timeouts.idle = Duration::from_millis(200);
    });
    let mut client = Raw::silent(setup.address);
    assert!(client.send(&PREFACE[..20]));
    assert_eq!(client.next(), None, "half a preface");
    // Who does not answer the good-bye's ping is not waited for, nor who is in the middle of a head.
    let open = frame(HEADERS, 0, 1, &block(&request("GET", "/v1/say/x")));
    for (name, more) in [("silence", vec![]), ("half a header list", open)] {
        let mut client = Raw::open(setup.address);
        assert!(client.send(&more));
        assert!(client.find(GOAWAY).is_some(), "{name}");
        while client.next().is_some() {}
    }
    while setup.metric("aqueduct_gateway_connections") > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody_else() {
    let setup = Setup::start();
    let mut client = Raw::open(setup.address);
    let before = resident();
    // Streams that never end, of which as much comes as their windows let through.
    for at in 0..256 {
        let head = block(&request("GET", "/v1/count/125"));
        assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, at * 2 + 1, &head)));
    }
    let windows = 256 * (200 << 10);
    while setup.backend.seen.sent.load(SeqCst) < windows {
        std::thread::yield_now();
    }
    let answer = setup.connect().get("/v1/say/x", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Once here and once in the test's own backend.
    assert!(resident() < before + 4 * windows, "{}", resident() - before);
}
