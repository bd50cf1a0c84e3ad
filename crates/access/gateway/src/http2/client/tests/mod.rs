//! A connection against an upstream that sends exactly the bytes it is told to. Nothing waits: each side is polled by hand.

mod calls;
mod h2_server;
mod heads;
mod hostile;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, response};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::driver::{Calls, Driver, open};
use super::{Peer, Receiver, Sender, Sending};
use crate::http2::Error;
use crate::http2::frame::{self, END_HEADERS, END_STREAM, Head};

/// What the pipe holds that nobody reads.
const PIPE: usize = 16 << 20;

fn now() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn peer() -> Peer {
    Peer { secure: false, authority: "orders:50051".parse().unwrap() }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&Head::new(payload.len(), kind, flags, stream).bytes(), payload].concat()
}

/// A block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let flags = END_HEADERS | if end { END_STREAM } else { 0 };
    frame(frame::HEADERS, flags, stream, &block(fields))
}

fn data(stream: u32, end: bool, data: &[u8]) -> Vec<u8> {
    frame(frame::DATA, if end { END_STREAM } else { 0 }, stream, data)
}

const OK: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

/// A frame that the gateway sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    head: Head,
    payload: Vec<u8>,
}

impl Sent {
    fn is(&self, kind: u8, stream: u32) -> bool {
        self.head.kind == kind && self.head.stream == stream
    }

    /// The number at the payload's end.
    fn number(&self) -> u32 {
        u32::from_be_bytes(*self.payload.last_chunk().unwrap())
    }
}

/// Both ends of a connection.
struct Pair {
    calls: Calls,
    driver: Option<Driver<DuplexStream>>,
    upstream: DuplexStream,
    ended: Option<Error>,
    read: Vec<u8>,
}

impl Pair {
    /// Nothing has been said.
    fn silent(pipe: usize) -> Self {
        let (near, upstream) = tokio::io::duplex(pipe);
        let (calls, driver) = open(near, peer());
        Self { calls, driver: Some(driver), upstream, ended: None, read: Vec::new() }
    }

    /// The upstream has sent its settings, and the gateway has read them.
    fn new(settings: &[(u16, u32)]) -> Self {
        let mut pair = Self::silent(PIPE);
        pair.settings(settings);
        pair.sent();
        pair
    }

    fn settings(&mut self, settings: &[(u16, u32)]) {
        let each =
            settings.iter().map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
        self.say(&frame(frame::SETTINGS, 0, 0, &each.collect::<Vec<_>>().concat()));
    }

    /// The upstream says this, and the gateway hears it.
    fn say(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Poll::Ready(Ok(count)) = Pin::new(&mut self.upstream).poll_write(&mut now(), rest) else {
                assert!(self.ended.is_some(), "the gateway does not read");
                return;
            };
            rest = &rest[count..];
            self.turn();
        }
        self.turn();
    }

    fn turn(&mut self) {
        // A turn reads so much and no more.
        for _ in 0..64 {
            let Some(driver) = &mut self.driver else { return };
            if let Poll::Ready(error) = Pin::new(driver).poll(&mut now()) {
                self.ended = Some(error);
                self.driver = None;
            }
        }
    }

    /// The frames that were sent since the last time; the preface is left out.
    fn sent(&mut self) -> Vec<Sent> {
        loop {
            self.turn();
            let mut room = [0; 4096];
            let mut room = ReadBuf::new(&mut room);
            match Pin::new(&mut self.upstream).poll_read(&mut now(), &mut room) {
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    self.read.extend_from_slice(room.filled());
                }
                _ => break,
            }
        }
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        if self.read.starts_with(preface) {
            self.read.drain(..preface.len());
        }
        let mut frames = Vec::new();
        while let Some(bytes) = self.read.first_chunk() {
            let head = Head::read(bytes);
            let end = frame::HEAD + head.length;
            if self.read.len() < end {
                break;
            }
            frames.push(Sent { head, payload: self.read[frame::HEAD..end].to_vec() });
            self.read.drain(..end);
        }
        frames
    }

    fn call(&mut self, sending: Sending) -> (Receiver, Sender) {
        let call = self.calls.call(
            "/shop.v1.OrderService/GetOrder",
            (&fields(&[("te", "trailers")])).into(),
            sending,
        );
        self.turn();
        call.unwrap()
    }
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(field).collect()
}

/// What a call has got by now.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    status: Option<u16>,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// How it ended, if it did.
    end: Option<Result<(), String>>,
}

impl Got {
    fn head(receiver: &mut Receiver) -> Poll<Result<response::Parts, Error>> {
        receiver.poll_head(&mut now())
    }

    fn all(receiver: &mut Receiver) -> Self {
        let mut got = Self::default();
        let failed = |error: Error| Some(Err(error.to_string()));
        match Self::head(receiver) {
            Poll::Ready(Ok(head)) => {
                (got.status, got.headers) = (Some(head.status.as_u16()), head.headers);
            }
            Poll::Ready(Err(error)) => return Self { end: failed(error), ..got },
            Poll::Pending => return got,
        }
        got.rest(receiver);
        got
    }

    /// What has come behind the head.
    fn rest(&mut self, receiver: &mut Receiver) {
        let failed = |error: Error| Some(Err(error.to_string()));
        loop {
            match receiver.poll_data(&mut now()) {
                Poll::Ready(Some(Ok(data))) => self.body.extend_from_slice(&data),
                Poll::Ready(Some(Err(error))) => return self.end = failed(error),
                Poll::Ready(None) => break,
                Poll::Pending => return,
            }
        }
        match receiver.poll_trailers(&mut now()) {
            Poll::Ready(Ok(trailers)) => (self.trailers, self.end) = (trailers, Some(Ok(()))),
            Poll::Ready(Err(error)) => self.end = failed(error),
            Poll::Pending => {}
        }
    }
}

fn whole(data: &'static [u8]) -> Sending {
    Sending::Whole(Bytes::from_static(data))
}
