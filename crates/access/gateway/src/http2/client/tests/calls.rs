//! Calls and their answers, and the windows, bounds and ends of a connection.

use super::*;
use crate::http2::{Fields, Reason, STREAM_WINDOW};
use frame::{DATA, GOAWAY, HEADERS, PADDED, PING, PRIORITISED, RESET, SETTINGS, WINDOW_UPDATE};

/// Everything that an answer may be made of.
fn answer() -> Vec<u8> {
    let padded =
        |kind, flags, payload: &[u8]| frame(kind, flags | PADDED, 1, &[&[3], payload, &[0; 3]].concat());
    let prioritised = [&[0, 0, 0, 0, 9], &block(&[("grpc-status", "0")])[..]].concat();
    let split = block(&OK);
    [
        frame(SETTINGS, 0, 0, &[]),
        headers(1, false, &[(":status", "103")]),
        frame(HEADERS, 0, 1, &split[..5]),
        frame(frame::CONTINUATION, 0, 1, &split[5..6]),
        frame(frame::CONTINUATION, END_HEADERS, 1, &split[6..]),
        data(1, false, b"one "),
        frame(77, 0xff, 1, b"unknown"),
        padded(DATA, 0, b"two "),
        data(1, false, b""),
        padded(DATA, 0, b""),
        data(1, false, &[b'x'; 3000]),
        frame(PING, 0, 0, b"12345678"),
        data(1, false, b" three"),
        padded(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, &prioritised),
    ]
    .concat()
}

#[test]
fn an_answer_is_the_same_wherever_it_is_cut() {
    let wire = answer();
    let expect = Got {
        status: Some(200),
        headers: fields(&OK[1..]),
        body: [&b"one two "[..], &[b'x'; 3000], b" three"].concat(),
        trailers: Some(fields(&[("grpc-status", "0")])),
        end: Some(Ok(())),
    };
    for cut in 0..wire.len() {
        let mut pair = Pair::silent(PIPE);
        let (mut receiver, _) = pair.call(whole(b"hello"));
        pair.say(&wire[..cut]);
        pair.say(&wire[cut..]);
        assert_eq!(Got::all(&mut receiver), expect, "cut at {cut}");
        assert_eq!(pair.ended.map(|error| error.to_string()), None);
    }
    for size in 1..20 {
        let mut pair = Pair::silent(PIPE);
        let (mut receiver, _) = pair.call(whole(b"hello"));
        wire.chunks(size).for_each(|piece| pair.say(piece));
        assert_eq!(Got::all(&mut receiver), expect, "pieces of {size}");
        let sent = pair.sent();
        assert!(sent.iter().any(|it| it.is(PING, 0) && it.payload == b"12345678" && it.head.flags == 1));
        assert!(sent.iter().any(|it| it.is(SETTINGS, 0) && it.head.flags == 1));
        assert!(!sent.iter().any(|it| it.head.kind == RESET));
    }
}

#[test]
fn a_call_goes_out_in_one_turn_and_ends() {
    let mut pair = Pair::new(&[]);
    let _one = pair.call(whole(b"hello"));
    let _two = pair.call(Sending::Nothing);
    let sent = pair.sent();
    let kinds: Vec<_> = sent.iter().map(|it| (it.head.kind, it.head.stream, it.head.flags)).collect();
    let ends = END_STREAM | END_HEADERS;
    assert_eq!(kinds, [(HEADERS, 1, END_HEADERS), (DATA, 1, END_STREAM), (HEADERS, 3, ends)]);
    assert_eq!(sent[1].payload, b"hello");
}

#[test]
fn no_more_is_sent_than_the_windows_allow() {
    let mut pair = Pair::new(&[(4, 100_000)]);
    let message = Bytes::from(vec![7; 150_000]);
    let (_receiver, _) = pair.call(Sending::Whole(message.clone()));
    let mut got = Vec::new();
    let mut take = |pair: &mut Pair, expect: usize, last: bool| {
        let frames: Vec<_> = pair.sent().into_iter().filter(|it| it.is(DATA, 1)).collect();
        got.extend(frames.iter().flat_map(|it| it.payload.clone()));
        assert_eq!(got.len(), expect);
        assert_eq!(frames.last().is_some_and(|it| it.head.has(END_STREAM)), last);
    };
    let window = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    take(&mut pair, 65_535, false);
    pair.say(&window(0, 50_000));
    take(&mut pair, 100_000, false);
    // A smaller initial window takes away what was given.
    pair.settings(&[(4, 90_000)]);
    pair.say(&window(1, 10_000));
    take(&mut pair, 100_000, false);
    pair.say(&window(1, 1));
    take(&mut pair, 100_001, false);
    pair.settings(&[(4, 1_000_000)]);
    take(&mut pair, 115_535, false);
    pair.say(&window(0, 1_000_000));
    take(&mut pair, 150_000, true);
    assert_eq!(got, message);
}

#[test]
fn a_stream_is_sent_as_far_as_the_window_opens_and_ends_with_its_sender() {
    let mut pair = Pair::new(&[(4, 10)]);
    let (mut receiver, mut sender) = pair.call(Sending::Stream);
    let mut piece = Bytes::from_static(b"0123456789abc");
    assert!(sender.poll_send(&mut piece, &now()).is_pending());
    assert_eq!(piece, "abc");
    pair.say(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]));
    assert_eq!(sender.poll_send(&mut piece, &now()), Poll::Ready(true));
    sender.end();
    let sent: Vec<_> = pair.sent().into_iter().filter(|it| it.head.kind == DATA).collect();
    let pieces: Vec<_> = sent.iter().map(|it| (&it.payload[..], it.head.flags)).collect();
    assert_eq!(pieces, [(&b"0123456789"[..], 0), (b"abc", 0), (b"", END_STREAM)]);
    assert!(sender.poll_closed(&now()).is_pending());
    pair.say(&headers(1, true, &OK));
    assert!(sender.poll_closed(&now()).is_ready());
    assert_eq!(Got::all(&mut receiver).end, Some(Ok(())));
}

#[test]
fn the_window_opens_as_far_as_somebody_reads() {
    let mut pair = Pair::new(&[]);
    let (mut receiver, _) = pair.call(whole(b"hello"));
    pair.say(&headers(1, false, &OK));
    assert!(Got::head(&mut receiver).is_ready());
    for _ in 0..16 {
        pair.say(&data(1, false, &[0; 16 << 10]));
    }
    let updates = |pair: &mut Pair| -> Vec<_> {
        pair.sent().iter().filter(|it| it.is(WINDOW_UPDATE, 1)).map(Sent::number).collect()
    };
    assert!(updates(&mut pair).is_empty(), "nobody has read");
    let mut got = Got::default();
    got.rest(&mut receiver);
    assert_eq!(got.body.len(), 256 << 10);
    assert_eq!(updates(&mut pair), [STREAM_WINDOW / 2; 2], "not for each piece");
}

/// A slow client's stream of tiny frames costs no more than its window.
#[test]
fn many_small_frames_are_kept_as_one_piece() {
    let mut pair = Pair::new(&[]);
    let (mut receiver, _) = pair.call(whole(b"hello"));
    pair.say(&headers(1, false, &OK));
    assert!(Got::head(&mut receiver).is_ready());
    let each: Vec<u8> = (0..10_000).flat_map(|_| data(1, false, b"x")).collect();
    pair.say(&each);
    let Poll::Ready(Some(Ok(piece))) = receiver.poll_data(&mut now()) else { panic!("there is data") };
    assert_eq!(piece.len(), 10_000);
}

#[test]
fn no_more_calls_are_open_than_the_upstream_takes() {
    let mut pair = Pair::new(&[(3, 1)]);
    let (mut one, _) = pair.call(whole(b"one"));
    assert!(!pair.calls.has_room());
    let (two, _) = pair.call(whole(b"two"));
    let (mut three, _) = pair.call(whole(b"three"));
    let streams = |pair: &mut Pair| -> Vec<_> {
        pair.sent().iter().filter(|it| it.head.kind == DATA).map(|it| it.payload.clone()).collect()
    };
    assert_eq!(streams(&mut pair), [b"one"]);
    drop(two);
    pair.say(&headers(1, true, &OK));
    assert_eq!(streams(&mut pair), [b"three"], "one that was given up is never sent");
    assert_eq!(Got::all(&mut one).status, Some(200));
    // It is the second on the wire.
    pair.say(&headers(3, true, &OK));
    assert_eq!(Got::all(&mut three).status, Some(200));
    assert!(pair.calls.has_room());
    pair.settings(&[(3, 0)]);
    assert!(!pair.calls.has_room());
}

#[test]
fn whoever_gives_up_resets_the_call_and_nobody_else() {
    let mut pair = Pair::new(&[]);
    let (one, _) = pair.call(whole(b"one"));
    let (mut two, _) = pair.call(whole(b"two"));
    drop(one);
    let sent = pair.sent();
    let reset = sent.iter().find(|it| it.is(RESET, 1)).unwrap();
    assert_eq!(reset.number(), Reason::CANCEL.0);
    // What was on its way is read over, its fields going into the table all the same.
    let kept = [&[0x88, 0x40, 1, b'a', 1, b'b'][..]].concat();
    pair.say(&frame(HEADERS, END_HEADERS, 1, &kept));
    pair.say(&data(1, true, b"late"));
    pair.say(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &[0x88, 0xbe]));
    let got = Got::all(&mut two);
    assert_eq!((got.headers, got.end), (fields(&[("a", "b")]), Some(Ok(()))));
    assert!(pair.ended.is_none());
}

#[test]
fn a_reset_comes_behind_what_came_before_it() {
    let mut pair = Pair::new(&[]);
    let (mut receiver, mut sender) = pair.call(Sending::Stream);
    pair.say(&[headers(1, false, &OK), data(1, false, b"some"), frame(RESET, 0, 1, &[0, 0, 0, 7])].concat());
    let got = Got::all(&mut receiver);
    assert_eq!((got.status, &got.body[..]), (Some(200), &b"some"[..]));
    assert_eq!(got.end.unwrap().unwrap_err(), "the upstream reset the stream: REFUSED_STREAM");
    assert!(sender.poll_closed(&now()).is_ready());
    drop(receiver);
    assert!(!pair.sent().iter().any(|it| it.head.kind == RESET), "what is over is not reset");
}

#[test]
fn going_away_ends_what_was_not_touched_and_then_the_connection() {
    let mut pair = Pair::new(&[(3, 2)]);
    let (mut one, _) = pair.call(whole(b"one"));
    let (mut two, _) = pair.call(whole(b"two"));
    let (mut waiting, _) = pair.call(whole(b"three"));
    pair.say(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
    for receiver in [&mut two, &mut waiting] {
        let Poll::Ready(Err(error)) = Got::head(receiver) else { panic!("it has failed") };
        assert!(matches!(error, Error::GoAway(Reason::NO_ERROR)), "{error}");
    }
    assert!(pair.calls.has_ended() && !pair.calls.has_room());
    let refused = pair.calls.call("/", Fields::default(), Sending::Nothing).err().unwrap();
    assert!(matches!(refused, Error::GoAway(_)));
    assert!(pair.ended.is_none(), "the first goes on");
    pair.say(&[headers(1, false, &OK), data(1, true, b"x")].concat());
    assert_eq!(Got::all(&mut one).body, b"x");
    assert!(pair.ended.is_some());
}

#[test]
fn the_end_of_the_connection_is_that_of_its_calls() {
    let mut pair = Pair::new(&[]);
    let (mut receiver, mut sender) = pair.call(Sending::Stream);
    pair.upstream = tokio::io::duplex(1).0;
    pair.turn();
    assert!(pair.ended.is_some() && pair.calls.has_ended());
    assert!(sender.poll_closed(&now()).is_ready());
    assert!(matches!(Got::head(&mut receiver), Poll::Ready(Err(Error::Broken(_)))));

    let mut pair = Pair::new(&[]);
    let (mut receiver, _) = pair.call(whole(b"x"));
    pair.driver = None;
    assert!(matches!(Got::head(&mut receiver), Poll::Ready(Err(Error::Broken(_)))));
    assert!(pair.sent().iter().any(|it| it.is(GOAWAY, 0)), "it says goodbye");
}

/// An upstream that does not read gets no more than a bound, and whoever gives up costs nothing.
#[test]
fn an_upstream_that_does_not_read_is_not_written_to_for_ever() {
    let mut pair = Pair::silent(1000);
    pair.settings(&[(3, 1_000_000), (4, 1 << 30)]);
    for _ in 0..100_000 {
        let headers = fields(&[("x-any", &"x".repeat(100))]);
        drop(pair.calls.call("/", (&headers).into(), Sending::Nothing).unwrap());
    }
    assert!(!pair.calls.has_room());
    let sent: usize = pair.sent().iter().map(|it| it.head.length + frame::HEAD).sum();
    assert!((1 << 20..3 << 20).contains(&sent), "{sent}");
    assert!(pair.calls.has_room());
}
