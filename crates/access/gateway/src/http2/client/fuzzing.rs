//! What the client's side of HTTP/2 promises of arbitrary bytes, for the fuzz target.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::HEADER_LIST;
use super::call::Receiver;
use super::connection::{Peer, Sending, Shared};
use crate::http2::fields::Fields;
use crate::http2::frame::{Head, SETTINGS, Violation};
use crate::http2::hpack::{Call, Decoder, Encoder};
use crate::http2::reader::{Reader, Speaker};

/// Of the first byte the lowest bit chooses between frames and a header block, the others how frames are cut.
pub(crate) fn http2(data: &[u8]) {
    let [first, rest @ ..] = data else { return };
    if first & 1 == 0 { frames(rest, usize::from(first >> 1).max(1)) } else { block(rest) }
}

/// What a call got.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: Option<u16>,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Why it failed, if it did; nothing when more is to come.
    end: Option<Result<(), String>>,
}

/// Pieces say the same as the whole.
fn frames(wire: &[u8], size: usize) {
    let (mut whole, whole_violation) = answers(wire, wire.len().max(1));
    let (mut pieces, violation) = answers(wire, size);
    assert_eq!(whole_violation, violation, "pieces of {size}");
    for got in whole.iter_mut().chain(&mut pieces) {
        // Of a frame that goes too far nothing is taken when it comes whole.
        if matches!(got.end, Some(Err(_))) {
            got.body.clear();
        }
    }
    assert_eq!(whole, pieces, "pieces of {size}");
}

/// What two calls get from an upstream that has sent its settings and goes on like this.
fn answers(wire: &[u8], size: usize) -> (Vec<Got>, Option<Violation>) {
    let shared = Shared::new(Peer { secure: false, authority: http::uri::Authority::from_static("a") });
    let calls = [Sending::Whole(Bytes::from_static(b"x")), Sending::Stream];
    let calls: Vec<_> =
        calls.into_iter().filter_map(|sending| shared.call("/", Fields::default(), sending).ok()).collect();
    let mut reader = Reader::new(Speaker::Upstream, HEADER_LIST as usize);
    let begin = Head::new(0, SETTINGS, 0, 0).bytes();
    let mut violation = None;
    for piece in [&begin[..]].into_iter().chain(wire.chunks(size)) {
        reader.buffer.extend_from_slice(piece);
        if let Err(found) = shared.receive(&mut reader) {
            shared.fail(&crate::http2::Error::Violation(found));
            violation = Some(found);
            break;
        }
    }
    (calls.into_iter().map(|(mut receiver, _sender)| got(&mut receiver)).collect(), violation)
}

fn got(receiver: &mut Receiver) -> Got {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut got =
        Got { status: None, headers: HeaderMap::new(), body: Vec::new(), trailers: None, end: None };
    match receiver.poll_head(cx) {
        Poll::Ready(Ok(head)) => (got.status, got.headers) = (Some(head.status.as_u16()), head.headers),
        Poll::Ready(Err(error)) => return Got { end: Some(Err(error.to_string())), ..got },
        Poll::Pending => return got,
    }
    while let Poll::Ready(Some(Ok(data))) = receiver.poll_data(cx) {
        assert!(!data.is_empty(), "a piece without bytes");
        got.body.extend_from_slice(&data);
    }
    match receiver.poll_trailers(cx) {
        Poll::Ready(Ok(trailers)) => (got.trailers, got.end) = (trailers, Some(Ok(()))),
        Poll::Ready(Err(error)) => got.end = Some(Err(error.to_string())),
        Poll::Pending => {}
    }
    got
}

/// A block is an error or fields within the bound, which the encoder writes in a way that says the same.
fn block(block: &[u8]) {
    let Ok(found) = Decoder::new(HEADER_LIST as usize, usize::MAX).decode(block) else { return };
    let size: usize = found.fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(size <= HEADER_LIST as usize, "{size} bytes of fields");
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(1 << 20, usize::MAX));
    for _ in 0..3 {
        let mut out = BytesMut::new();
        encoder.encode(
            Call { secure: true, authority: "a", path: "/", headers: &(&found.fields).into() },
            &mut out,
        );
        assert_eq!(decoder.decode(&out).ok().map(|block| block.fields).as_ref(), Some(&found.fields));
    }
}
