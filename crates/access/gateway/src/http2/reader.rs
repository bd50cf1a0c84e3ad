//! What a peer sends, from bytes to events. Whatever it sends, this holds no more than a frame, or a block of headers, and
//! both have a bound.

use bytes::{Buf, Bytes, BytesMut};

use super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, LONGEST, MAX, PADDED,
    PING, PRIORITISED, PRIORITY, PUSH_PROMISE, RESET, Reason, SETTINGS, Violation, WINDOW_UPDATE,
};
use super::hpack::{Block, Decoder};

/// What a control frame costs its sender, of those who are charged: a reset among them, since it may have begun a call.
pub(super) const CONTROL: i64 = 64;
/// A window update. There may be two for each small frame that the peer reads.
const WINDOW_UPDATE_COST: i64 = 16;
/// Frames of one header block, beyond those that its bytes need.
const FRAMES: usize = 8;

/// Who speaks: not all that a server may say may a client say too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    Upstream,
    Client,
}

/// Something that the peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes of a body, to be had from [`Reader::peek`] or [`Reader::take`]; and how much padding came with them.
    Data {
        stream: u32,
        length: usize,
        padding: usize,
        end: bool,
    },
    /// The head of a message, or its trailers.
    Headers {
        stream: u32,
        /// In a box, so that all the data need not be moved as if it were one.
        block: Box<Block>,
        end: bool,
    },
    Reset {
        stream: u32,
        reason: Reason,
    },
    Settings(Settings),
    Ping([u8; 8]),
    /// The answer to a ping.
    Pong([u8; 8]),
    GoAway {
        last: u32,
        reason: Reason,
    },
    Window {
        stream: u32,
        by: u32,
    },
}

/// What the peer wishes; a setting that is not told stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Settings {
    pub(super) table: Option<u32>,
    pub(super) streams: Option<u32>,
    pub(super) window: Option<u32>,
}

/// A DATA frame of which more is to come.
#[derive(Debug, Clone, Copy)]
struct Partial {
    stream: u32,
    left: usize,
    padding: usize,
    /// What has been read of its padding already: that there is some.
    told: usize,
    end: bool,
}

/// A header block of which more is to come.
#[derive(Debug)]
struct Continued {
    stream: u32,
    end: bool,
    block: Vec<u8>,
    frames: usize,
}

/// Cuts frames out of what is read. Bodies are handed on as they come, and everything else whole.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) buffer: BytesMut,
    /// What the last event was made of, and is not needed any more.
    used: usize,
    partial: Option<Partial>,
    continued: Option<Continued>,
    decoder: Decoder,
    /// Bytes of a header block, in all of its frames.
    longest: usize,
    speaker: Speaker,
    /// The first frame has come.
    begun: bool,
    /// What the frames cost that have come since somebody looked.
    cost: i64,
    /// Header blocks that have begun.
    blocks: u64,
}

impl Reader {
    /// `longest`: bytes of headers that a message may have.
    pub(super) fn new(speaker: Speaker, longest: usize) -> Self {
        // A client that sends a bomb is told; an upstream's is read over, and spoils its own answer.
        let decoder = match speaker {
            Speaker::Upstream => Decoder::new(longest, usize::MAX),
            Speaker::Client => Decoder::strict(longest, longest.saturating_mul(4)),
        };
        Self {
            buffer: BytesMut::new(),
            used: 0,
            partial: None,
            continued: None,
            decoder,
            longest: longest.saturating_mul(2),
            speaker,
            begun: false,
            cost: 0,
            blocks: 0,
        }
    }

    /// What the frames cost that have come since the last time.
    pub(super) fn take_cost(&mut self) -> i64 {
        std::mem::take(&mut self.cost)
    }

    /// The number of the header block that has begun and not ended, if there is one.
    pub(super) fn open_block(&self) -> Option<u64> {
        self.continued.is_some().then_some(self.blocks)
    }

    /// The data of the event that was just read.
    pub(super) fn peek(&self, length: usize) -> &[u8] {
        self.buffer.get(..length).unwrap_or_default()
    }

    /// The same, as a part of what was read.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        self.used -= length;
        self.buffer.split_to(length).freeze()
    }

    /// The next event; `None` when more has to be read first.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Violation> {
        self.buffer.advance(std::mem::take(&mut self.used));
        loop {
            if let Some(partial) = &mut self.partial {
                let length = partial.left.min(self.buffer.len());
                partial.left -= length;
                let padding =
                    if partial.left == 0 { partial.padding.min(self.buffer.len() - length) } else { 0 };
                partial.padding -= padding;
                let Partial { stream, left, padding: more, end, .. } = *partial;
                let told = std::mem::take(&mut partial.told);
                let complete = left == 0 && more == 0;
                if complete {
                    self.partial = None;
                } else if length + padding + told == 0 {
                    return Ok(None);
                }
                self.used = length + padding;
                return Ok(Some(Event::Data {
                    stream,
                    length,
                    padding: padding + told,
                    end: end && complete,
                }));
            }
            let Some(bytes) = self.buffer.first_chunk::<HEAD>() else { return Ok(None) };
            let head = Head::read(bytes);
            self.check(head)?;
            if head.kind == DATA {
                // Nearly always a frame is there whole, and nothing has to be kept of it.
                if !head.has(PADDED) && self.buffer.len() >= HEAD + head.length {
                    return Ok(Some(self.whole_data(head)));
                }
                if !self.begin_data(head)? {
                    return Ok(None);
                }
                continue;
            }
            if self.buffer.len() < HEAD + head.length {
                return Ok(None);
            }
            let event = self.whole(head)?;
            self.buffer.advance(HEAD + head.length);
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// What a frame's head tells.
    fn check(&mut self, head: Head) -> Result<(), Violation> {
        if head.length > LONGEST {
            return Err(Violation::size("a frame that is longer than agreed"));
        }
        if !self.begun && (head.kind != SETTINGS || head.has(ACK)) {
            return Err(Violation::protocol("it does not begin with its settings"));
        }
        self.begun = true;
        let expected = self.continued.as_ref().map(|continued| continued.stream);
        if expected != (head.kind == CONTINUATION).then_some(head.stream) {
            return Err(Violation::protocol(
                "a header block is interrupted, or continued where there is none",
            ));
        }
        let (on_connection, on_stream) = match head.kind {
            SETTINGS | PING | GOAWAY => (true, false),
            DATA | HEADERS | PRIORITY | RESET | PUSH_PROMISE | CONTINUATION => (false, true),
            _ => (true, true),
        };
        if if head.stream == 0 { on_connection } else { on_stream } {
            Ok(())
        } else {
            Err(Violation::protocol("a frame on a stream where it has no business"))
        }
    }

    /// A frame of data, without padding, that is there whole.
    fn whole_data(&mut self, head: Head) -> Event {
        let end = head.has(END_STREAM);
        if head.length == 0 && !end {
            self.cost += CONTROL;
        }
        self.buffer.advance(HEAD);
        self.used = head.length;
        Event::Data { stream: head.stream, length: head.length, padding: 0, end }
    }

    /// Whether enough is there to begin.
    fn begin_data(&mut self, head: Head) -> Result<bool, Violation> {
        let (mut left, mut padding, mut told) = (head.length, 0, 0);
        if head.has(PADDED) {
            if head.length == 0 {
                return Err(Violation::size("a frame without room for its padding"));
            }
            let Some(&pad) = self.buffer.get(HEAD) else { return Ok(false) };
            (padding, told) = (usize::from(pad), 1);
            left = (head.length - 1)
                .checked_sub(padding)
                .ok_or_else(|| Violation::protocol("more padding than there is frame"))?;
            self.buffer.advance(1);
        }
        self.buffer.advance(HEAD);
        let end = head.has(END_STREAM);
        if left == 0 && !end {
            self.cost += CONTROL;
        }
        self.partial = Some(Partial { stream: head.stream, left, padding, told, end });
        Ok(true)
    }

    /// A frame that is there whole.
    fn whole(&mut self, head: Head) -> Result<Option<Event>, Violation> {
        let payload = self.buffer.get(HEAD..HEAD + head.length).unwrap_or_default();
        let stream = head.stream;
        self.cost += match head.kind {
            HEADERS => 0,
            WINDOW_UPDATE => WINDOW_UPDATE_COST,
            _ => CONTROL,
        };
        Ok(Some(match head.kind {
            HEADERS => {
                let block = fragment(head, payload)?;
                let end = head.has(END_STREAM);
                if self.speaker == Speaker::Client && dependence(head, payload) == Some(stream) {
                    return Err(Violation::protocol("a stream that depends on itself"));
                }
                if !head.has(END_HEADERS) {
                    self.blocks += 1;
                    self.continued = Some(Continued { stream, end, block: block.to_vec(), frames: 1 });
                    return Ok(None);
                }
                Event::Headers { stream, block: self.decoder.decode(block)?, end }
            }
            CONTINUATION => {
                let Some(continued) = &mut self.continued else { return Ok(None) };
                let last = head.has(END_HEADERS);
                continued.frames += 1;
                if continued.block.len() + payload.len() > self.longest
                    || continued.frames > FRAMES + self.longest / LONGEST
                    || (payload.is_empty() && !last)
                {
                    return Err(Violation::new(Reason::ENHANCE_YOUR_CALM, "a header block without end"));
                }
                continued.block.extend_from_slice(payload);
                if !last {
                    return Ok(None);
                }
                let Some(Continued { stream, end, block, .. }) = self.continued.take() else {
                    return Ok(None);
                };
                Event::Headers { stream, block: self.decoder.decode(&block)?, end }
            }
            RESET => Event::Reset { stream, reason: Reason(exactly(payload)?) },
            SETTINGS if head.has(ACK) => {
                exactly_of::<0>(payload)?;
                return Ok(None);
            }
            SETTINGS => Event::Settings(settings(payload, self.speaker)?),
            PING => {
                let opaque = exactly_of::<8>(payload)?;
                if head.has(ACK) { Event::Pong(opaque) } else { Event::Ping(opaque) }
            }
            GOAWAY => {
                let (last, rest) =
                    payload.split_first_chunk().ok_or_else(|| Violation::size("a short GOAWAY"))?;
                let reason = rest.first_chunk().ok_or_else(|| Violation::size("a short GOAWAY"))?;
                let reason = Reason(u32::from_be_bytes(*reason));
                Event::GoAway { last: u32::from_be_bytes(*last) & MAX, reason }
            }
            WINDOW_UPDATE => Event::Window { stream, by: exactly(payload)? & MAX },
            PRIORITY => {
                let [on @ .., _] = exactly_of::<5>(payload)?;
                if self.speaker == Speaker::Client && u32::from_be_bytes(on) & MAX == stream {
                    return Err(Violation::protocol("a stream that depends on itself"));
                }
                return Ok(None);
            }
            PUSH_PROMISE => return Err(Violation::protocol("a push, which was not allowed")),
            // RFC 9113, section 4.1: unknown ones are ignored.
            _ => return Ok(None),
        }))
    }
}

/// The stream that a HEADERS frame depends on, if it says so. Priorities are not heeded, but those of RFC 7540 that cannot be are refused.
fn dependence(head: Head, payload: &[u8]) -> Option<u32> {
    let rest = if head.has(PADDED) { payload.get(1..)? } else { payload };
    head.has(PRIORITISED).then(|| rest.first_chunk().map(|on| u32::from_be_bytes(*on) & MAX))?
}

/// A HEADERS frame without its padding and priority.
fn fragment(head: Head, payload: &[u8]) -> Result<&[u8], Violation> {
    let short = || Violation::size("a short HEADERS frame");
    let (mut rest, mut padding) = (payload, 0);
    if head.has(PADDED) {
        let (pad, after) = rest.split_first().ok_or_else(short)?;
        (rest, padding) = (after, usize::from(*pad));
    }
    if head.has(PRIORITISED) {
        rest = rest.get(5..).ok_or_else(short)?;
    }
    let length = rest.len().checked_sub(padding);
    length
        .and_then(|length| rest.get(..length))
        .ok_or_else(|| Violation::protocol("more padding than there is frame"))
}

fn exactly_of<const N: usize>(payload: &[u8]) -> Result<[u8; N], Violation> {
    payload.try_into().map_err(|_| Violation::size("a frame whose length is not that of its kind"))
}

fn exactly(payload: &[u8]) -> Result<u32, Violation> {
    exactly_of(payload).map(u32::from_be_bytes)
}

/// RFC 9113, section 6.5.2.
fn settings(payload: &[u8], speaker: Speaker) -> Result<Settings, Violation> {
    let mut settings = Settings::default();
    let (each, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(Violation::size("settings that end within one"));
    }
    for [a, b, value @ ..] in each {
        let value = u32::from_be_bytes(*value);
        match u16::from_be_bytes([*a, *b]) {
            1 => settings.table = Some(settings.table.map_or(value, |before| before.min(value))),
            2 if value > 1 || (value == 1 && speaker == Speaker::Upstream) => {
                return Err(Violation::protocol("a server that wants pushes, or what is neither yes nor no"));
            }
            3 => settings.streams = Some(value),
            4 if value > MAX => {
                return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "a window that is too large"));
            }
            4 => settings.window = Some(value),
            5 if !(1 << 14..1 << 24).contains(&value) => {
                return Err(Violation::protocol("a length of frames that cannot be"));
            }
            _ => {}
        }
    }
    Ok(settings)
}
