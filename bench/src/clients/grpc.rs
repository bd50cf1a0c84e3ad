//! A gRPC call over HTTP/2 with prior knowledge: frames alone (RFC 9113). Header blocks that come in are not decoded, so a
//! good answer is one that begins with `:status: 200`, has all its bytes, and ends its stream.

use std::io;

use super::Dialect;

/// The same call again and again, one at a time on a connection.
#[derive(Debug)]
pub(crate) struct Grpc {
    /// The HPACK block of the request.
    block: Vec<u8>,
    frame: Vec<u8>,
    /// Bytes of data in a good answer.
    expect: usize,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    stream: u32,
    pending: Vec<u8>,
    data: usize,
    answered: bool,
    /// Bytes of data since the connection's window was last opened again.
    unacknowledged: u32,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

impl Grpc {
    pub(crate) fn new(path: &str, frame: &[u8], expect: usize) -> Self {
        // RFC 7541: `:method: POST` and `:scheme: http` of the static table, the others literal and not indexed.
        let mut block = vec![0x83, 0x86];
        literal(&mut block, Name::Static(4), path);
        literal(&mut block, Name::Static(1), "bench");
        literal(&mut block, Name::Static(31), "application/grpc");
        literal(&mut block, Name::Literal("te"), "trailers");
        Self { block, frame: frame.to_vec(), expect }
    }

    fn frame(
        &self,
        state: &mut State,
        (kind, flags, stream): (u8, u8, u32),
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<Option<bool>> {
        match kind {
            SETTINGS if flags & ACK == 0 => head(out, 0, SETTINGS, ACK, 0),
            PING if flags & ACK == 0 => {
                head(out, payload.len(), PING, ACK, 0);
                out.extend_from_slice(payload);
            }
            GO_AWAY => return Err(io::Error::other("the peer goes away")),
            RESET if stream == state.stream => return Ok(Some(false)),
            HEADERS if stream == state.stream && !state.answered => {
                // A change of the table's size may stand before it.
                state.answered = payload.iter().find(|byte| **byte & 0xe0 != 0x20) == Some(&0x88);
            }
            DATA => {
                state.data += payload.len();
                state.unacknowledged += u32::try_from(payload.len()).unwrap_or(0);
                if state.unacknowledged > 1 << 29 {
                    head(out, 4, WINDOW_UPDATE, 0, 0);
                    out.extend_from_slice(&state.unacknowledged.to_be_bytes());
                    state.unacknowledged = 0;
                }
            }
            _ => {}
        }
        let ended = flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) && stream == state.stream;
        Ok(ended.then_some(state.answered && state.data == self.expect))
    }
}

impl Dialect for Grpc {
    type State = State;

    fn preface(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // No dynamic table, no push, and windows that never close.
        let settings: [(u16, u32); 3] = [(1, 0), (2, 0), (4, i32::MAX as u32)];
        head(out, settings.len() * 6, SETTINGS, 0, 0);
        for (key, value) in settings {
            out.extend_from_slice(&key.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        head(out, 4, WINDOW_UPDATE, 0, 0);
        out.extend_from_slice(&(i32::MAX as u32 - 0xffff).to_be_bytes());
    }

    fn request(&self, state: &mut State, out: &mut Vec<u8>) {
        state.stream = if state.stream == 0 { 1 } else { state.stream + 2 };
        (state.data, state.answered) = (0, false);
        head(out, self.block.len(), HEADERS, END_HEADERS, state.stream);
        out.extend_from_slice(&self.block);
        head(out, self.frame.len(), DATA, END_STREAM, state.stream);
        out.extend_from_slice(&self.frame);
    }

    fn answer(&self, state: &mut State, input: &[u8], out: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let mut bytes = std::mem::take(&mut state.pending);
        bytes.extend_from_slice(input);
        let (mut rest, mut done) = (&bytes[..], None);
        while let Some(([a, b, c, kind, flags, stream @ ..], after)) = rest.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes(*stream) & 0x7fff_ffff;
            done = self.frame(state, (*kind, *flags, stream), payload, out)?.or(done);
            rest = after;
        }
        state.pending = rest.to_vec();
        Ok(done)
    }
}

#[derive(Clone, Copy)]
enum Name {
    Static(u8),
    Literal(&'static str),
}

/// A literal field without indexing; short ones alone.
fn literal(block: &mut Vec<u8>, name: Name, value: &str) {
    let string = |block: &mut Vec<u8>, text: &str| {
        assert!(text.len() < 127, "longer strings need another form");
        block.push(u8::try_from(text.len()).unwrap_or(0));
        block.extend_from_slice(text.as_bytes());
    };
    match name {
        // An index above 14 does not fit into the first byte.
        Name::Static(index) if index < 15 => block.push(index),
        Name::Static(index) => block.extend([15, index - 15]),
        Name::Literal(name) => {
            block.push(0);
            string(block, name);
        }
    }
    string(block, value);
}

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let length = u32::try_from(length).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend([kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::{Clients, Plan};
    use super::Grpc;
    use crate::gateway::backend::Backend;
    use crate::gateway::fixture::{Fixture, GRPC_PATH};

    #[test]
    fn calls_are_answered_and_a_short_answer_is_a_failure() {
        let fixture = Fixture::new().unwrap();
        let backend = Backend::start(&fixture).unwrap();
        for (expect, failures) in [(fixture.order_frame.len(), 0), (fixture.order_frame.len() + 1, 100)] {
            let dialect = Grpc::new(GRPC_PATH, &fixture.get_frame, expect);
            let mut clients = Clients::connect(backend.grpc, dialect, 4).unwrap();
            let outcome = clients.run(Plan { requests: 100, in_flight: 3, rate: None }).unwrap();
            assert_eq!((outcome.times.len() as u64, outcome.failures), (100 - failures, failures));
        }
    }
}
