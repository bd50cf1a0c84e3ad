//! h2spec's `generic`: what every server must take.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    [frames(), messages(), header_blocks()].concat()
}

fn frames() -> Vec<Case> {
    const NOTHING: [u8; 8] = [0; 8];
    let no_window = settings(&[(4, 0)]);
    let head = block(&request("GET", "/v1/say/x"));
    let padded = [&[8][..], &head, &[0; 8]].concat();
    let prioritised = [&[0, 0, 0, 0, 255][..], &head].concat();
    vec![
        ("generic/1/1", vec![Send([PREFACE, &settings(&[(4, 65_535)])].concat())], Settings),
        at_once("generic/2/1", &[priority(1, 0, 255), ping(NOTHING)], Pong(NOTHING)),
        at_once("generic/2/2", &[no_window.clone(), get(1), window(1, 1)], Bytes(1)),
        at_once("generic/2/3", &[no_window, get(1), priority(1, 0, 255), window(1, 1)], Bytes(1)),
        at_once("generic/2/4", &[get(1), reset(1, 8), ping(NOTHING)], Pong(NOTHING)),
        (
            "generic/2/5",
            vec![Send(get(1)), Answered, Send([priority(1, 0, 255), ping(NOTHING)].concat())],
            Pong(NOTHING),
        ),
        at_once("generic/3.1/1", &[post(&[]), data(1, END_STREAM, b"test")], Answer),
        at_once("generic/3.1/2", &[post(&[]), data(1, 0, b"test"), data(1, END_STREAM, b"test")], Answer),
        at_once("generic/3.1/3", &[post(&[]), data(1, END_STREAM | PADDED, b"\x06testpadded")], Answer),
        at_once("generic/3.2/1", &[get(1)], Answer),
        at_once("generic/3.2/2", &[frame(HEADERS, WHOLE | PADDED, 1, &padded)], Answer),
        at_once("generic/3.2/3", &[frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &prioritised)], Answer),
        at_once("generic/3.3/1", &[priority(1, 0, 0), get(1)], Answer),
        at_once("generic/3.3/2", &[priority(1, 0, 255), get(1)], Answer),
        at_once("generic/3.3/3", &[priority(3, 1, 0), get(1)], Answer),
        at_once("generic/3.3/4", &[priority(1, 1 << 31, 0), get(1)], Answer),
        at_once("generic/3.3/5", &[priority(3, 0, 255), get(1)], Answer),
        at_once("generic/3.4/1", &[post(&[]), reset(1, 8), ping(NOTHING)], Pong(NOTHING)),
        at_once(
            "generic/3.5/1",
            &[settings(&[(1, 4096), (2, 1), (3, 100), (4, 65_535), (5, 16_384), (6, 100)])],
            Acknowledgement,
        ),
        at_once("generic/3.7/1", &[ping(*b"h2spec\0\0")], Pong(*b"h2spec\0\0")),
        at_once(
            "generic/3.8/1",
            &[frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0h2spec"), ping(*b"h2spec\0\0")],
            Pong(*b"h2spec\0\0"),
        ),
        at_once("generic/3.9/1", &[window(0, 1), ping(NOTHING)], Pong(NOTHING)),
        at_once("generic/3.9/2", &[get(1), window(1, 1)], Answer),
        at_once(
            "generic/3.10/1",
            &[frame(HEADERS, END_STREAM, 1, &head[..5]), frame(CONTINUATION, END_HEADERS, 1, &head[5..])],
            Answer,
        ),
        at_once(
            "generic/3.10/2",
            &[
                frame(HEADERS, END_STREAM, 1, &head[..5]),
                frame(CONTINUATION, 0, 1, &head[5..10]),
                frame(CONTINUATION, END_HEADERS, 1, &head[10..]),
            ],
            Answer,
        ),
    ]
}

fn messages() -> Vec<Case> {
    let trailed =
        [post(&[("trailer", "x-test")]), data(1, 0, b"test"), fields(1, WHOLE, &[("x-test", "ok")])];
    vec![
        at_once("generic/4/1", &[get(1)], Answer),
        at_once("generic/4/2", &[fields(1, WHOLE, &request("HEAD", "/v1/say/x"))], Answer),
        at_once("generic/4/3", &[post(&[]), data(1, END_STREAM, b"test")], Answer),
        at_once("generic/4/4", &trailed, Answer),
    ]
}

fn header_blocks() -> Vec<Case> {
    let plain = b"\x0auser-agent\x06h2spec";
    let coded = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4";
    let plain_new = b"\x06x-test\x06h2spec";
    let coded_new = b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4";
    let behind = |name, kind: u8, rest: &[u8]| {
        let block = [&block(&request("GET", "/v1/say/x"))[..], &[kind], rest].concat();
        at_once(name, &[frame(HEADERS, WHOLE, 1, &block)], Answer)
    };
    let before = |name, first: &[u8]| {
        let block = [first, &block(&request("GET", "/v1/say/x"))].concat();
        at_once(name, &[frame(HEADERS, WHOLE, 1, &block)], Answer)
    };
    vec![
        behind("generic/5/1", 0xba, b""),
        behind("generic/5/2", 0x40, coded),
        behind("generic/5/3", 0x40, plain),
        behind("generic/5/4", 0x40, plain_new),
        behind("generic/5/5", 0x40, coded_new),
        behind("generic/5/6", 0x00, plain),
        behind("generic/5/7", 0x00, coded),
        behind("generic/5/8", 0x00, plain_new),
        behind("generic/5/9", 0x00, coded_new),
        behind("generic/5/10", 0x10, plain),
        behind("generic/5/11", 0x10, coded),
        behind("generic/5/12", 0x10, plain_new),
        behind("generic/5/13", 0x10, coded_new),
        before("generic/5/14", b"\x20"),
        before("generic/5/15", b"\x20\x3f\xe1\x1f"),
    ]
}
