//! Upstreams that break the protocol. Each is told so, and what it makes us hold is bounded.

use super::super::HEADER_LIST;
use super::*;
use crate::http2::frame::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE, RESET, SETTINGS, WINDOW_UPDATE,
};
use crate::http2::{Reason, STREAM_WINDOW};

/// The connection ends, with this reason.
#[track_caller]
fn ends(wire: &[u8], reason: Reason) {
    let mut pair = Pair::new(&[]);
    let (mut receiver, _) = pair.call(whole(b"hello"));
    pair.say(wire);
    assert!(matches!(pair.ended, Some(Error::Violation(_))), "{:?}", pair.ended);
    let sent = pair.sent();
    let goodbye = sent.iter().find(|it| it.is(GOAWAY, 0)).expect("it is told");
    assert_eq!(Reason(goodbye.number()), reason);
    assert!(matches!(Got::head(&mut receiver), Poll::Ready(Err(_) | Ok(_))), "the call does not hang");
}

/// The call ends, with this reason, and the connection goes on.
#[track_caller]
fn resets(wire: &[u8], reason: Reason) {
    let mut pair = Pair::new(&[]);
    let (mut receiver, _) = pair.call(whole(b"hello"));
    let (mut other, _) = pair.call(whole(b"other"));
    pair.say(wire);
    assert_eq!(pair.ended.as_ref().map(ToString::to_string), None);
    let end = Got::all(&mut receiver).end.unwrap().unwrap_err();
    assert!(end.starts_with("the upstream broke the protocol: "), "{end}");
    let sent = pair.sent();
    let reset = sent.iter().find(|it| it.is(RESET, 1)).expect("it is told");
    assert_eq!(Reason(reset.number()), reason);
    pair.say(&headers(3, true, &OK));
    assert_eq!(Got::all(&mut other).end, Some(Ok(())));
}

#[test]
fn what_ends_a_connection() {
    let long = |kind, stream| [&Head::new((16 << 10) + 1, kind, 0, stream).bytes()[..], &[0; 100]].concat();
    for (kind, stream) in [(DATA, 1), (HEADERS, 1), (SETTINGS, 0), (77, 0)] {
        ends(&long(kind, stream), Reason::FRAME_SIZE_ERROR);
    }
    for (kind, stream, length) in [
        (PING, 0, 7),
        (SETTINGS, 0, 5),
        (RESET, 1, 5),
        (WINDOW_UPDATE, 0, 3),
        (PRIORITY, 1, 4),
        (GOAWAY, 0, 7),
    ] {
        ends(&frame(kind, 0, stream, &vec![0; length]), Reason::FRAME_SIZE_ERROR);
    }
    ends(&frame(SETTINGS, 1, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR);
    ends(&frame(DATA, PADDED, 1, &[]), Reason::FRAME_SIZE_ERROR);
    for wire in [
        frame(DATA, PADDED, 1, &[5, 0, 0]),
        frame(HEADERS, PADDED | END_HEADERS, 1, &[5, 0, 0]),
        frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4]),
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS, 0, &[]),
        frame(PING, 0, 1, &[0; 8]),
        frame(SETTINGS, 0, 1, &[]),
        frame(GOAWAY, 0, 1, &[0; 8]),
        // Streams that were never begun.
        data(3, false, b"x"),
        headers(2, false, &OK),
        frame(RESET, 0, 5, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 7, &[0, 0, 0, 1]),
        // Blocks that are interrupted, or continued where there is none.
        frame(CONTINUATION, END_HEADERS, 1, &[]),
        [frame(HEADERS, 0, 1, &[]), data(1, false, b"x")].concat(),
        [frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        [frame(HEADERS, 0, 1, &[]), frame(PING, 0, 0, &[0; 8])].concat(),
        // Settings that cannot be: pushes, lengths of frames.
        frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1]),
        frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]),
        frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]),
    ] {
        ends(&wire, Reason::PROTOCOL_ERROR);
    }
    let full = 0x7fff_ffff_u32.to_be_bytes();
    ends(&frame(WINDOW_UPDATE, 0, 0, &full), Reason::FLOW_CONTROL_ERROR);
    ends(&frame(WINDOW_UPDATE, 0, 0, &[0; 4]), Reason::FLOW_CONTROL_ERROR);
    ends(&frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR);
    let window =
        [frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0, 0, 0]), frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0, 0, 0])];
    ends(&window.concat(), Reason::FLOW_CONTROL_ERROR);
    for bad in [
        &[0x80][..],
        &[0xbe],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x40, 3, b'a'],
        &[0x40, 0x81, 0, 1, b'x'],
        &[0x88, 0x20],
        &[0x3f, 0xe2, 0x1f],
    ] {
        ends(&frame(HEADERS, END_HEADERS, 1, bad), Reason::COMPRESSION_ERROR);
    }
}

#[test]
fn an_upstream_that_does_not_speak_http2() {
    for wire in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &frame(PING, 0, 0, &[0; 8]), &frame(SETTINGS, 1, 0, &[])]
    {
        let mut pair = Pair::silent(PIPE);
        let (mut receiver, _) = pair.call(whole(b"hello"));
        pair.say(wire);
        assert!(matches!(pair.ended, Some(Error::Violation(_))));
        assert!(matches!(Got::head(&mut receiver), Poll::Ready(Err(Error::Violation(_)))));
    }
}

#[test]
fn what_ends_a_call() {
    let begun = headers(1, false, &OK);
    let with = |name, value| headers(1, false, &[OK[0], (name, value)]);
    for wire in [
        data(1, false, b"before the head"),
        headers(1, false, &[("grpc-status", "0")]),
        headers(1, true, &[(":status", "100")]),
        headers(1, false, &[(":status", "ok")]),
        headers(1, false, &[("a", "b"), (":status", "200")]),
        headers(1, false, &[(":status", "200"), (":status", "200")]),
        with(":path", "/"),
        with("Upper", "x"),
        with("a b", "x"),
        with("x", "a\nb"),
        with("connection", "close"),
        with("transfer-encoding", "chunked"),
        with("content-length", "x"),
        [begun.clone(), headers(1, false, &[("grpc-status", "0")])].concat(),
        [begun.clone(), headers(1, true, &OK)].concat(),
        [with("content-length", "2"), data(1, false, b"xxx")].concat(),
        [with("content-length", "2"), data(1, true, b"x")].concat(),
        [with("content-length", "2"), headers(1, true, &[("grpc-status", "0")])].concat(),
    ] {
        resets(&wire, Reason::PROTOCOL_ERROR);
    }
    resets(&frame(WINDOW_UPDATE, 0, 1, &[0; 4]), Reason::FLOW_CONTROL_ERROR);
    resets(&frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]), Reason::FLOW_CONTROL_ERROR);
    let full = vec![data(1, false, &[0; 1 << 10]); 257].concat();
    resets(&[begun, full].concat(), Reason::FLOW_CONTROL_ERROR);
}

/// The answer was complete; what follows is only not wanted.
#[test]
fn frames_after_the_end_are_refused() {
    for (more, told) in
        [(data(1, false, b"x"), true), (headers(1, true, &OK), true), (frame(RESET, 0, 1, &[0; 4]), false)]
    {
        let mut pair = Pair::new(&[]);
        // Still sending, so that the stream is open.
        let (mut receiver, mut sender) = pair.call(Sending::Stream);
        pair.say(&[headers(1, true, &OK), more].concat());
        assert_eq!(Got::all(&mut receiver).end, Some(Ok(())));
        assert!(sender.poll_closed(&now()).is_ready());
        let reset = pair.sent().into_iter().find(|it| it.is(RESET, 1)).map(|it| Reason(it.number()));
        assert_eq!(reset, told.then_some(Reason::STREAM_CLOSED));
        assert!(pair.ended.is_none());
    }
}

#[test]
fn padding_uses_the_window_up() {
    let mut pair = Pair::new(&[]);
    let (mut receiver, _) = pair.call(whole(b"hello"));
    pair.say(&headers(1, false, &OK));
    let padded = frame(DATA, PADDED, 1, &[&[255], &[0; 255][..]].concat());
    for _ in 0..STREAM_WINDOW / 256 {
        pair.say(&padded);
    }
    assert_eq!(Got::all(&mut receiver).end, None, "just all of it");
    let window: u32 = pair.sent().iter().filter(|it| it.is(WINDOW_UPDATE, 1)).map(Sent::number).sum();
    assert_eq!(window, 0, "nothing was read that would open it");
    pair.say(&padded);
    let mut got = Got::default();
    got.rest(&mut receiver);
    assert!(got.end.unwrap().unwrap_err().contains("window"));
}

/// A block of a few kilobytes that stands for hundreds of megabytes.
#[test]
fn a_bomb_of_headers_spoils_one_answer() {
    let value = "x".repeat(4000);
    let mut entry = vec![0x40, 1, b'a', 127, 0xa1, 30];
    entry.extend_from_slice(value.as_bytes());
    let bomb = [&[0x88][..], &entry, &[0xbe; 12_000]].concat();
    resets(&frame(HEADERS, END_HEADERS, 1, &bomb), Reason::PROTOCOL_ERROR);
    let mut decoder = crate::http2::hpack::Decoder::new(HEADER_LIST as usize, usize::MAX);
    let found = decoder.decode(&bomb).unwrap();
    assert!(found.too_long && found.fields.len() <= 17, "no more than agreed is kept");
    let literals = block(&[("a", &"x".repeat(100))]).repeat(1000);
    let found = decoder.decode(&literals).unwrap();
    assert!(found.too_long && found.fields.len() <= 500, "nor of literals");
}

#[test]
fn a_block_without_end_ends_the_connection() {
    let piece = frame(CONTINUATION, 0, 1, &[0; 16 << 10]);
    ends(&[frame(HEADERS, 0, 1, &[]), piece.repeat(9)].concat(), Reason::ENHANCE_YOUR_CALM);
    ends(&[frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, 0, 1, &[])].concat(), Reason::ENHANCE_YOUR_CALM);
}

/// Whoever asks and does not read the answers makes us hold them, up to a bound.
#[test]
fn floods_of_questions_end_the_connection() {
    for question in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut pair = Pair::silent(64 << 10);
        pair.settings(&[]);
        for _ in 0..4 << 20 >> 10 {
            if pair.ended.is_some() {
                break;
            }
            pair.say(&question.repeat(1 << 10));
        }
        let ended = pair.ended.expect("it has ended").to_string();
        assert!(ended.contains("ENHANCE_YOUR_CALM"), "{ended}");
    }
}
