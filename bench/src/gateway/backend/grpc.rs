//! The backend's gRPC side: as much of HTTP/2 (RFC 9113) as proxies need, and no queue, task or lock a call. What it writes has no Huffman coding
//! and leaves HPACK's table alone; what it reads may have both.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use httlib_hpack::Decoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::fixture::{STREAM_MESSAGES, STREAM_PATH};
use super::Seen;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a frame.
const HEAD: usize = 9;
/// A frame that no setting allows to be longer.
const LONGEST: usize = 16_384;
/// What a client may send of one body: more than any row has, so that it is never told more.
const BODY_WINDOW: u32 = 1 << 20;
/// What it may send of all bodies until it is told more.
const WINDOW: u32 = 1 << 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS.
const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// `:status: 200`, `content-type: application/grpc`.
const ANSWER: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const OK: &[u8] = b"\x00\x0bgrpc-status\x010";
/// `grpc-status: 12` in a head that is an answer by itself: a proxy may ask for its health, which the backend does not tell.
const UNIMPLEMENTED: &[u8] = b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x0212";

/// Answers every call of the shop with the frame `answer`, or a stream of it.
pub(super) async fn serve(listener: TcpListener, answer: Bytes, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, answer.clone(), Arc::clone(&seen)));
    }
}

/// Ends with the connection, however that ends: proxies close theirs in many ways.
async fn connection(mut stream: TcpStream, answer: Bytes, seen: Arc<Seen>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(1 << 16);
    while received.len() < PREFACE.len() {
        ensure!(stream.read_buf(&mut received).await? > 0, "the connection ended before its preface");
    }
    ensure!(received.starts_with(PREFACE), "the preface is none");
    received.advance(PREFACE.len());
    let mut calls = Calls::new(answer, seen);
    loop {
        calls.hear(&mut received)?;
        let more = calls.answer();
        if !calls.out.is_empty() {
            stream.write_all(&calls.out).await?;
            calls.out.clear();
        }
        received.reserve(1 << 14);
        if !more {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            continue;
        }
        // Each message of a stream goes out by itself, as an event of its own would.
        tokio::task::yield_now().await;
        match stream.try_read_buf(&mut received) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// The calls of one connection.
struct Calls {
    open: Vec<Call>,
    decoder: Decoder<'static>,
    /// A header block that has not ended: whose it is, and whether its message ends with it.
    block: Option<(u32, bool, Vec<u8>)>,
    /// How much the client takes: of a new answer, and of all together.
    initial: i64,
    window: i64,
    /// Bytes of bodies since the client was last told that it may send more.
    heard: u32,
    /// What is to be written next.
    out: Vec<u8>,
    answer: Bytes,
    seen: Arc<Seen>,
}

struct Call {
    id: u32,
    window: i64,
    /// The messages of its answer, unless it is for a method that is not known.
    messages: Option<usize>,
    /// Those that are still to be sent, and the bytes of the next that were.
    left: usize,
    sent: usize,
    /// Its request is whole.
    asked: bool,
    body: Vec<u8>,
}

impl Calls {
    fn new(answer: Bytes, seen: Arc<Seen>) -> Self {
        let mut out = Vec::with_capacity(1 << 16);
        head(&mut out, 12, SETTINGS, 0, 0);
        // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_INITIAL_WINDOW_SIZE.
        out.put_slice(&[0, 3]);
        out.put_u32(1024);
        out.put_slice(&[0, 4]);
        out.put_u32(BODY_WINDOW);
        head(&mut out, 4, WINDOW_UPDATE, 0, 0);
        out.put_u32(WINDOW - 65_535);
        let (open, decoder) = (Vec::new(), Decoder::with_dynamic_size(4096));
        Self { open, decoder, block: None, initial: 65_535, window: 65_535, heard: 0, out, answer, seen }
    }

    /// Takes the frames that have arrived whole.
    fn hear(&mut self, received: &mut BytesMut) -> Result<()> {
        while let Some(&[a, b, c, kind, flags, s, t, u, v]) = received.first_chunk::<HEAD>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            ensure!(length <= LONGEST, "a frame of {length} bytes");
            if received.len() < HEAD + length {
                return Ok(());
            }
            let frame = received.split_to(HEAD + length);
            self.frame(kind, flags, u32::from_be_bytes([s & 0x7f, t, u, v]), &frame[HEAD..])?;
        }
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Result<()> {
        match kind {
            DATA => {
                self.heard += u32::try_from(payload.len())?;
                if self.heard >= WINDOW / 2 {
                    head(&mut self.out, 4, WINDOW_UPDATE, 0, 0);
                    self.out.put_u32(std::mem::take(&mut self.heard));
                }
                let wanted = self.seen.wanted.load(Ordering::Relaxed);
                let Some(call) = self.call(id) else { return Ok(()) };
                if wanted {
                    call.body.extend_from_slice(unpadded(payload, flags)?);
                }
                if flags & END_STREAM != 0 {
                    self.asked(id);
                }
            }
            HEADERS => {
                let mut block = unpadded(payload, flags)?;
                if flags & PRIORITY != 0 {
                    block = block.get(5..).context("read a priority")?;
                }
                self.block = Some((id, flags & END_STREAM != 0, block.to_vec()));
                self.block_ends(flags)?;
            }
            CONTINUATION => {
                let (whose, _, block) = self.block.as_mut().context("a CONTINUATION of nothing")?;
                ensure!(*whose == id, "a CONTINUATION of another head");
                block.extend_from_slice(payload);
                ensure!(block.len() <= 1 << 16, "an endless head");
                self.block_ends(flags)?;
            }
            RESET => self.open.retain(|call| call.id != id),
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if let &[0, 4, a, b, c, d] = setting {
                        let initial = i64::from(u32::from_be_bytes([a, b, c, d]));
                        self.open.iter_mut().for_each(|call| call.window += initial - self.initial);
                        self.initial = initial;
                    }
                }
                head(&mut self.out, 0, SETTINGS, ACK, 0);
            }
            PING if flags & ACK == 0 => {
                head(&mut self.out, payload.len(), PING, ACK, 0);
                self.out.put_slice(payload);
            }
            WINDOW_UPDATE => {
                let by = u32::from_be_bytes(payload.try_into().context("read a window update")?);
                match id {
                    0 => self.window += i64::from(by),
                    _ => self.call(id).into_iter().for_each(|call| call.window += i64::from(by)),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn call(&mut self, id: u32) -> Option<&mut Call> {
        self.open.iter_mut().find(|call| call.id == id)
    }

    fn block_ends(&mut self, flags: u8) -> Result<()> {
        if flags & END_HEADERS == 0 {
            return Ok(());
        }
        let (id, end, mut block) = self.block.take().context("a header block")?;
        let mut fields = Vec::new();
        if let Err(error) = self.decoder.decode(&mut block, &mut fields) {
            bail!("a head that is not HPACK: {error:?}");
        }
        let path = fields.iter().find(|(name, ..)| name == b":path").map_or(&[][..], |(_, path, _)| path);
        let messages = match path {
            _ if path == STREAM_PATH.as_bytes() => Some(STREAM_MESSAGES),
            _ => path.starts_with(b"/shop.v1.").then_some(1),
        };
        // Trailers of a request say nothing.
        if self.call(id).is_none() {
            let left = messages.unwrap_or(0);
            let body = Vec::new();
            self.open.push(Call { id, window: self.initial, messages, left, sent: 0, asked: false, body });
        }
        if end {
            self.asked(id);
        }
        Ok(())
    }

    /// A request has come to its end.
    fn asked(&mut self, id: u32) {
        let wanted = self.seen.wanted.load(Ordering::Relaxed);
        let Some(call) = self.call(id) else { return };
        call.asked = true;
        if wanted && call.messages.is_some() {
            let body = Bytes::from(std::mem::take(&mut call.body));
            *self.seen.body.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = body;
        }
    }

    /// Writes a message of each answer, or as much of it as the client's windows let. Whether there is more that they let.
    fn answer(&mut self) -> bool {
        let (out, mut more) = (&mut self.out, false);
        self.open.retain_mut(|call| {
            if !call.asked {
                return true;
            }
            let Some(messages) = call.messages else {
                head(out, UNIMPLEMENTED.len(), HEADERS, END_HEADERS | END_STREAM, call.id);
                out.put_slice(UNIMPLEMENTED);
                return false;
            };
            let message = &self.answer[call.sent..];
            let room = usize::try_from(call.window.min(self.window)).unwrap_or(0).min(message.len());
            if room == 0 {
                return true;
            }
            if call.left == messages && call.sent == 0 {
                head(out, ANSWER.len(), HEADERS, END_HEADERS, call.id);
                out.put_slice(ANSWER);
            }
            head(out, room, DATA, 0, call.id);
            out.put_slice(&message[..room]);
            let used = i64::try_from(room).unwrap_or(i64::MAX);
            (call.window, self.window) = (call.window - used, self.window - used);
            if room < message.len() {
                call.sent += room;
                return true;
            }
            (call.left, call.sent) = (call.left - 1, 0);
            if call.left == 0 {
                head(out, OK.len(), HEADERS, END_HEADERS | END_STREAM, call.id);
                out.put_slice(OK);
            }
            more |= call.left > 0;
            call.left > 0
        });
        more
    }
}

/// Writes the head of a frame.
fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, id: u32) {
    out.put_uint(length as u64, 3);
    out.put_slice(&[kind, flags]);
    out.put_u32(id);
}

fn unpadded(payload: &[u8], flags: u8) -> Result<&[u8]> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().context("read the length of the padding")?;
    let length = rest.len().checked_sub(usize::from(*padding)).context("more padding than frame")?;
    Ok(&rest[..length])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use h2::client;
    use http::Request;
    use tokio::net::TcpStream;
    use tokio::task::JoinSet;

    use super::super::Backend;
    use crate::gateway::fixture::{Fixture, GRPC_PATH, STREAM_MESSAGES, STREAM_PATH};

    /// The body that a client gets which takes `window` bytes at a time, and its status.
    async fn ask(backend: &Backend, path: &str, window: u32) -> (Bytes, String) {
        let stream = TcpStream::connect(backend.grpc).await.unwrap();
        let (calls, connection) =
            client::Builder::new().initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::post(format!("http://backend{path}")).body(()).unwrap();
        let (answer, mut body) = calls.ready().await.unwrap().send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"a message"), true).unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        let mut whole = Vec::new();
        while let Some(piece) = body.data().await.transpose().unwrap() {
            body.flow_control().release_capacity(piece.len()).unwrap();
            whole.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
        (whole.into(), trailers["grpc-status"].to_str().unwrap().to_owned())
    }

    #[test]
    fn another_client_gets_all_messages_whatever_its_window() {
        let fixture = Fixture::new().unwrap();
        let backend = Backend::start(&fixture).unwrap();
        let (one, many) = (fixture.order_frame.clone(), fixture.order_frame.repeat(STREAM_MESSAGES));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = |path, window| runtime.block_on(ask(&backend, path, window));
        for window in [100, 1_000, 1 << 20] {
            assert_eq!(ask(GRPC_PATH, window), (one.clone(), "0".to_owned()));
            assert_eq!(ask(STREAM_PATH, window), (many.clone().into(), "0".to_owned()));
        }
        assert_eq!(ask("/grpc.health.v1.Health/Check", 1_000), (Bytes::new(), "12".to_owned()));
    }
}
