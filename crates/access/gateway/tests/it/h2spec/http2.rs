//! h2spec's `http2`: the errors that RFC 7540 (now RFC 9113) asks for.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [frames(), streams(), definitions(), settings_and_pings(), windows(), continuations(), messages()]
        .concat()
}

/// Sections 3 and 4.
fn frames() -> Vec<Case> {
    const NOTHING: [u8; 8] = [0; 8];
    let head = block(&request("GET", "/v1/say/x"));
    let long = [head.clone(), dummy(5)].concat();
    let open = fields(1, 0, &request("GET", "/v1/say/x"));
    vec![
        ("http2/3.5/1", vec![Send([PREFACE, &settings(&[(4, 65_535)])].concat())], Settings),
        ("http2/3.5/2", vec![Send(b"INVALID CONNECTION PREFACE\r\n\r\n".to_vec())], Closed),
        at_once("http2/4.1/1", &[frame(0x16, 0, 0, &[0; 8]), ping(NOTHING)], Pong(NOTHING)),
        at_once("http2/4.1/2", &[frame(PING, 0x16, 0, &[0; 8])], Pong(NOTHING)),
        at_once("http2/4.1/3", &[frame(PING, 0x16, 1 << 31, &[0; 8])], Pong(NOTHING)),
        at_once("http2/4.2/1", &[post(&[]), data(1, END_STREAM, &[b'x'; 16_384])], Answer),
        at_once("http2/4.2/2", &[post(&[]), data(1, END_STREAM, &vec![b'x'; 16_385])], Stream(&[FRAME_SIZE])),
        at_once("http2/4.2/3", &[frame(HEADERS, WHOLE, 1, &long)], Connection(&[FRAME_SIZE])),
        at_once("http2/4.3/1", &[frame(HEADERS, WHOLE, 1, &[0x40])], Connection(&[COMPRESSION])),
        at_once(
            "http2/4.3/2",
            &[open.clone(), priority(1, 0, 255), more(1, END_HEADERS)],
            Connection(&[PROTOCOL]),
        ),
        at_once("http2/4.3/3", &[open, get(3), more(1, END_HEADERS)], Connection(&[PROTOCOL])),
    ]
}

/// Section 5.
fn streams() -> Vec<Case> {
    const NOTHING: [u8; 8] = [0; 8];
    let closed = |name, bytes: Vec<u8>, reasons| {
        (name, vec![Send(get(1)), Answered, Send(bytes)], Connection(reasons))
    };
    let open = fields(1, END_STREAM, &request("GET", "/v1/say/x"));
    let many: Vec<_> = [settings(&[(4, 0)])].into_iter().chain((0..=100).map(|at| get(at * 2 + 1))).collect();
    let on_itself = [&[0, 0, 0, 1, 255][..], &block(&request("GET", "/v1/say/x"))].concat();
    vec![
        at_once("http2/5.1/1", &[data(1, END_STREAM, b"test")], Connection(&[PROTOCOL])),
        at_once("http2/5.1/2", &[reset(1, 8)], Connection(&[PROTOCOL])),
        at_once("http2/5.1/3", &[window(1, 100)], Connection(&[PROTOCOL])),
        at_once("http2/5.1/4", &[more(1, END_HEADERS)], Connection(&[PROTOCOL])),
        at_once("http2/5.1/5", &[get(1), data(1, END_STREAM, b"test")], Stream(&[STREAM_CLOSED])),
        at_once("http2/5.1/6", &[get(1), get(1)], Stream(&[STREAM_CLOSED])),
        at_once("http2/5.1/7", &[get(1), more(1, END_HEADERS)], Stream(&[STREAM_CLOSED, PROTOCOL])),
        at_once(
            "http2/5.1/8",
            &[post(&[]), reset(1, 8), data(1, END_STREAM, b"test")],
            Stream(&[STREAM_CLOSED]),
        ),
        at_once("http2/5.1/9", &[post(&[]), reset(1, 8), get(1)], Stream(&[STREAM_CLOSED])),
        at_once(
            "http2/5.1/10",
            &[post(&[]), reset(1, 8), more(1, END_HEADERS)],
            Stream(&[STREAM_CLOSED, PROTOCOL]),
        ),
        closed("http2/5.1/11", data(1, END_STREAM, b"test"), &[STREAM_CLOSED]),
        closed("http2/5.1/12", get(1), &[STREAM_CLOSED]),
        closed("http2/5.1/13", more(1, END_HEADERS), &[STREAM_CLOSED, PROTOCOL]),
        at_once("http2/5.1.1/1", &[get(2)], Connection(&[PROTOCOL])),
        at_once("http2/5.1.1/2", &[get(5), get(3)], Connection(&[PROTOCOL])),
        at_once("http2/5.1.2/1", &many, Stream(&[PROTOCOL, REFUSED])),
        at_once(
            "http2/5.3.1/1",
            &[frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &on_itself)],
            Stream(&[PROTOCOL]),
        ),
        at_once("http2/5.3.1/2", &[priority(1, 1, 255)], Stream(&[PROTOCOL])),
        at_once("http2/5.4.1/1", &[frame(PING, 0, 3, &[0; 8])], Closed),
        at_once("http2/5.4.1/2", &[frame(PING, 0, 3, &[0; 8])], Connection(&[PROTOCOL])),
        at_once("http2/5.5/1", &[frame(0x16, 0, 0, &[0; 8]), ping(NOTHING)], Pong(NOTHING)),
        at_once("http2/5.5/2", &[open, frame(0x16, 0, 0, &[0; 8])], Connection(&[PROTOCOL])),
    ]
}

/// Sections 6.1 to 6.4.
fn definitions() -> Vec<Case> {
    let open = fields(1, 0, &request("GET", "/v1/say/x"));
    let head = block(&request("GET", "/v1/say/x"));
    let padding = [&[u8::try_from(head.len()).unwrap() + 2], &head[..]].concat();
    vec![
        at_once("http2/6.1/1", &[data(0, END_STREAM, b"test")], Connection(&[PROTOCOL])),
        at_once("http2/6.1/2", &[get(1), data(1, END_STREAM, b"test")], Stream(&[STREAM_CLOSED])),
        at_once(
            "http2/6.1/3",
            &[post(&[("content-length", "4")]), data(1, END_STREAM | PADDED, b"\x06test")],
            Connection(&[PROTOCOL]),
        ),
        at_once(
            "http2/6.2/1",
            &[open.clone(), priority(1, 0, 255), more(1, END_HEADERS)],
            Connection(&[PROTOCOL]),
        ),
        at_once("http2/6.2/2", &[open, get(3), more(1, END_HEADERS)], Connection(&[PROTOCOL])),
        at_once("http2/6.2/3", &[get(0)], Connection(&[PROTOCOL])),
        at_once("http2/6.2/4", &[frame(HEADERS, WHOLE | PADDED, 1, &padding)], Connection(&[PROTOCOL])),
        at_once("http2/6.3/1", &[priority(0, 0, 255)], Connection(&[PROTOCOL])),
        at_once("http2/6.3/2", &[get(1), frame(PRIORITY, 0, 1, &[0x80, 0, 0, 1])], Stream(&[FRAME_SIZE])),
        at_once("http2/6.4/1", &[reset(0, 8)], Connection(&[PROTOCOL])),
        at_once("http2/6.4/2", &[reset(1, 8)], Connection(&[PROTOCOL])),
        at_once("http2/6.4/3", &[get(1), frame(RESET, 0, 1, &[0; 3])], Connection(&[FRAME_SIZE])),
    ]
}

/// Sections 6.5 to 6.8, and 7.
fn settings_and_pings() -> Vec<Case> {
    const NOTHING: [u8; 8] = [0; 8];
    let wrong = |name, id, value| at_once(name, &[settings(&[(id, value)])], Connection(&[PROTOCOL]));
    vec![
        at_once("http2/6.5/1", &[frame(SETTINGS, ACK, 0, &[0])], Connection(&[FRAME_SIZE])),
        at_once("http2/6.5/2", &[frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100])], Connection(&[PROTOCOL])),
        at_once(
            "http2/6.5/3",
            &[frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 2, 0])],
            Connection(&[FRAME_SIZE]),
        ),
        wrong("http2/6.5.2/1", 2, 2),
        at_once("http2/6.5.2/2", &[settings(&[(4, 1 << 31)])], Connection(&[FLOW_CONTROL])),
        wrong("http2/6.5.2/3", 5, 16_383),
        wrong("http2/6.5.2/4", 5, 16_777_216),
        at_once("http2/6.5.2/5", &[settings(&[(0xff, 1)]), ping(NOTHING)], Pong(NOTHING)),
        ("http2/6.5.3/1", vec![Send(settings(&[(4, 100), (4, 1)])), Acknowledged, Send(get(1))], Bytes(1)),
        at_once("http2/6.5.3/2", &[settings(&[(2, 0)])], Acknowledgement),
        at_once("http2/6.7/1", &[ping(*b"h2spec\0\0")], Pong(*b"h2spec\0\0")),
        at_once(
            "http2/6.7/2",
            &[frame(PING, ACK, 0, b"invalid\0"), ping(*b"h2spec\0\0")],
            Pong(*b"h2spec\0\0"),
        ),
        at_once("http2/6.7/3", &[frame(PING, 0, 1, &[0; 8])], Connection(&[PROTOCOL])),
        at_once("http2/6.7/4", &[frame(PING, 0, 0, &[0; 6])], Connection(&[FRAME_SIZE])),
        at_once("http2/6.8/1", &[frame(GOAWAY, 0, 1, &[0; 8])], Connection(&[PROTOCOL])),
        at_once(
            "http2/7/1",
            &[frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]), ping(NOTHING)],
            Pong(NOTHING),
        ),
        at_once("http2/7/2", &[post(&[]), reset(1, 0xff), ping(NOTHING)], Pong(NOTHING)),
    ]
}

/// Section 6.9.
fn windows() -> Vec<Case> {
    const MOST: u32 = (1 << 31) - 1;
    let set = |window| Send(settings(&[(4, window)]));
    vec![
        at_once("http2/6.9/1", &[window(0, 0)], Connection(&[PROTOCOL])),
        at_once("http2/6.9/2", &[post(&[]), window(1, 0)], Stream(&[PROTOCOL])),
        at_once("http2/6.9/3", &[frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])], Connection(&[FRAME_SIZE])),
        ("http2/6.9.1/1", vec![set(1), Acknowledged, Send(get(1))], Bytes(1)),
        at_once("http2/6.9.1/2", &[window(0, MOST), window(0, MOST)], Connection(&[FLOW_CONTROL])),
        at_once("http2/6.9.1/3", &[post(&[]), window(1, MOST), window(1, MOST)], Stream(&[FLOW_CONTROL])),
        ("http2/6.9.2/1", vec![set(0), Acknowledged, Send(get(1)), set(1), Acknowledged], Bytes(1)),
        (
            "http2/6.9.2/2",
            vec![set(3), Acknowledged, Send(get(1)), Data, set(2), Acknowledged, Send(window(1, 2))],
            Bytes(1),
        ),
        at_once("http2/6.9.2/3", &[settings(&[(4, 1 << 31)])], Connection(&[FLOW_CONTROL])),
    ]
}

/// Section 6.10.
fn continuations() -> Vec<Case> {
    let open = fields(1, END_STREAM, &request("GET", "/v1/say/x"));
    let open_post = fields(1, 0, &request("POST", "/v1/say"));
    let wrong = |name, frames: &[Vec<u8>]| at_once(name, frames, Connection(&[PROTOCOL]));
    vec![
        at_once("http2/6.10/1", &[open.clone(), more(1, 0), more(1, END_HEADERS)], Answer),
        wrong("http2/6.10/2", &[open_post.clone(), more(1, 0), data(1, END_STREAM, b"test")]),
        wrong("http2/6.10/3", &[open.clone(), more(0, END_HEADERS)]),
        wrong("http2/6.10/4", &[get(1), more(1, END_HEADERS)]),
        wrong("http2/6.10/5", &[open, more(1, END_HEADERS), more(1, END_HEADERS)]),
        wrong("http2/6.10/6", &[open_post, data(1, END_STREAM, b"test"), more(1, 0), more(0, END_HEADERS)]),
    ]
}

/// Section 8.
fn messages() -> Vec<Case> {
    let bad = |name, frames: &[Vec<u8>]| at_once(name, frames, Stream(&[PROTOCOL]));
    let common = request("GET", "/v1/say/x");
    let without = |name: &str| {
        let rest: Vec<_> = common.iter().copied().filter(|(field, _)| *field != name).collect();
        fields(1, WHOLE, &rest)
    };
    let late = [vec![("x-test", "ok")], common.clone()].concat();
    let length = post(&[("content-length", "1")]);
    vec![
        bad("http2/8.1/1", &[post(&[]), data(1, 0, b"test"), fields(1, END_HEADERS, &[("x-test", "ok")])]),
        bad("http2/8.1.2/1", &[get_with(&[("X-TEST", "ok")])]),
        bad("http2/8.1.2.1/1", &[get_with(&[(":test", "ok")])]),
        bad("http2/8.1.2.1/2", &[get_with(&[(":status", "200")])]),
        bad("http2/8.1.2.1/3", &[post(&[]), data(1, 0, b"test"), fields(1, WHOLE, &[(":method", "POST")])]),
        bad("http2/8.1.2.1/4", &[fields(1, WHOLE, &late)]),
        bad("http2/8.1.2.2/1", &[get_with(&[("connection", "keep-alive")])]),
        bad("http2/8.1.2.2/2", &[get_with(&[("trailers", "test"), ("te", "trailers, deflate")])]),
        bad("http2/8.1.2.3/1", &[fields(1, WHOLE, &request("GET", ""))]),
        bad("http2/8.1.2.3/2", &[without(":method")]),
        bad("http2/8.1.2.3/3", &[without(":scheme")]),
        bad("http2/8.1.2.3/4", &[without(":path")]),
        bad("http2/8.1.2.3/5", &[get_with(&[(":method", "GET")])]),
        bad("http2/8.1.2.3/6", &[get_with(&[(":scheme", "http")])]),
        bad("http2/8.1.2.3/7", &[get_with(&[(":path", "/v1/say/x")])]),
        bad("http2/8.1.2.6/1", &[length.clone(), data(1, END_STREAM, b"test")]),
        bad("http2/8.1.2.6/2", &[length, data(1, 0, b"test"), data(1, END_STREAM, b"test")]),
        at_once(
            "http2/8.2/1",
            &[frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&common)].concat())],
            Connection(&[PROTOCOL]),
        ),
    ]
}
