//! grpc-web, binary and text (grpc/doc/PROTOCOL-WEB.md): gRPC for clients that cannot read trailers, browsers above all. The
//! frames are those of gRPC; the trailers become a last frame, and in the text form everything is base64.

use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use crate::outgoing::poll_data;
use crate::reject::Reject;
use crate::stage::Stage;
use crate::stage::forward::RequestBody;

/// The first byte of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Which of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/grpc-web`.
    Binary,
    /// `application/grpc-web-text`.
    Text,
}

impl Kind {
    /// The form of a content type; `None` when it is not grpc-web.
    pub(crate) fn of(content_type: &HeaderValue) -> Option<Self> {
        let rest = after(content_type.as_bytes(), b"application/grpc-web")?;
        let (kind, rest) = match after(rest, b"-text") {
            Some(rest) => (Kind::Text, rest),
            None => (Kind::Binary, rest),
        };
        (rest.is_empty() || after(rest, b"+proto").is_some() || rest.starts_with(b";")).then_some(kind)
    }

    /// The content type of an answer.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Kind::Binary => "application/grpc-web+proto",
            Kind::Text => "application/grpc-web-text+proto",
        })
    }

    /// A piece of an answer.
    pub(crate) fn data(self, data: Bytes) -> Bytes {
        match self {
            Kind::Binary => data,
            // Each piece is padded for itself, so that a message never waits for the bytes of the next.
            Kind::Text => Bytes::from(STANDARD.encode(data)),
        }
    }

    /// The last piece of an answer.
    pub(crate) fn trailers(self, trailers: &HeaderMap) -> Bytes {
        let mut frame = BytesMut::with_capacity(64);
        frame.put_bytes(0, 5);
        for (name, value) in trailers {
            frame.put_slice(name.as_str().as_bytes());
            frame.put_slice(b": ");
            frame.put_slice(value.as_bytes());
            frame.put_slice(b"\r\n");
        }
        crate::grpc::seal(&mut frame);
        if let Some(first) = frame.first_mut() {
            *first = TRAILERS;
        }
        self.data(frame.freeze())
    }
}

/// What follows a beginning; media types have no case.
pub(crate) fn after<'a>(text: &'a [u8], beginning: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = text.split_at_checked(beginning.len())?;
    begin.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// A client's body as gRPC frames.
#[derive(Debug)]
pub(crate) struct Decoder<B> {
    body: B,
    kind: Kind,
    /// Less than one group of four letters.
    rest: Vec<u8>,
}

impl<B: RequestBody> Decoder<B> {
    pub(crate) fn new(body: B, kind: Kind) -> Self {
        Self { body, kind, rest: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reject>>> {
        loop {
            let piece = match ready!(poll_data(&mut self.body, cx)) {
                Some(Ok(piece)) => piece,
                None if !self.rest.is_empty() => {
                    self.rest.clear();
                    return Poll::Ready(Some(Err(not_base64())));
                }
                end => return Poll::Ready(end),
            };
            if self.kind == Kind::Binary {
                return Poll::Ready(Some(Ok(piece)));
            }
            let mut out = Vec::with_capacity(piece.len() / 4 * 3 + 3);
            if !decode(&mut self.rest, &piece, &mut out) {
                return Poll::Ready(Some(Err(not_base64())));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out.into())));
            }
        }
    }
}

/// Appends what whole groups of four letters say and keeps the others in `rest`. Padding may end any group: clients join
/// pieces that were encoded each for itself.
pub(crate) fn decode(rest: &mut Vec<u8>, piece: &[u8], out: &mut Vec<u8>) -> bool {
    rest.extend(piece.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let whole = rest.len() - rest.len() % 4;
    let mut groups = rest.get(..whole).unwrap_or_default();
    while !groups.is_empty() {
        // Up to and including the next group with padding.
        let end = groups.iter().position(|byte| *byte == b'=').map_or(groups.len(), |at| at / 4 * 4 + 4);
        let (run, next) = groups.split_at(end.min(groups.len()));
        if STANDARD.decode_vec(run, out).is_err() {
            return false;
        }
        groups = next;
    }
    rest.drain(..whole);
    true
}

#[cold]
fn not_base64() -> Reject {
    Reject::bad_request(Stage::Transcode, "base64", "the body is not base64, as grpc-web-text wants it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_tell_the_two_forms() {
        for (value, expect) in [
            ("application/grpc-web", Some(Kind::Binary)),
            ("application/grpc-web+proto", Some(Kind::Binary)),
            ("application/grpc-web;charset=utf-8", Some(Kind::Binary)),
            ("application/grpc-web-text", Some(Kind::Text)),
            ("application/grpc-web-text+proto", Some(Kind::Text)),
            ("Application/gRPC-Web-Text", Some(Kind::Text)),
            ("application/grpc-web+thrift", None),
            ("application/grpc", None),
            ("application/grpc-webx", None),
        ] {
            assert_eq!(Kind::of(&HeaderValue::from_static(value)), expect, "{value}");
        }
    }

    #[test]
    fn base64_is_read_in_pieces_of_any_size_and_with_padding_anywhere() {
        let text = [STANDARD.encode(b"a"), STANDARD.encode(b"hello wo"), STANDARD.encode(b"rld")].concat();
        for size in 1..=text.len() {
            let (mut rest, mut out) = (Vec::new(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                assert!(decode(&mut rest, piece, &mut out), "pieces of {size}");
            }
            assert_eq!((out.as_slice(), rest.len()), (&b"ahello world"[..], 0), "pieces of {size}");
        }
        for bad in ["a===", "AA=A", "....", "=AAA"] {
            assert!(!decode(&mut Vec::new(), bad.as_bytes(), &mut Vec::new()), "{bad}");
        }
    }

    #[test]
    fn trailers_are_a_frame_of_their_own() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frame = Kind::Binary.trailers(&trailers);
        assert_eq!(&frame[..], b"\x80\0\0\0\x10grpc-status: 0\r\n");
        assert_eq!(Kind::Text.trailers(&trailers), STANDARD.encode(frame));
    }
}
