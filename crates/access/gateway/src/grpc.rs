//! The gRPC message framing (gRPC over HTTP/2, "Length-Prefixed-Message"): one byte that says whether the message is
//! compressed, four of its length, then the message.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before each message.
pub(crate) const FRAME_HEAD: usize = 5;

/// Fills in the head of a frame whose message was written behind [`FRAME_HEAD`] bytes of room.
pub(crate) fn seal(frame: &mut [u8]) {
    let length = u32::try_from(frame.len().saturating_sub(FRAME_HEAD)).unwrap_or(u32::MAX);
    if let Some((head, _)) = frame.split_first_chunk_mut::<FRAME_HEAD>() {
        let [a, b, c, d] = length.to_be_bytes();
        *head = [0, a, b, c, d];
    }
}

/// Cuts messages out of DATA frames, which may split and join them in any way. A message that arrives in one piece is
/// not copied.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    /// The rest of the last piece.
    piece: Bytes,
    /// A message of several pieces, its head included.
    partial: BytesMut,
}

/// Why the upstream's bytes are no messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Compressed although nothing was negotiated.
    Compressed,
    /// Longer than the limit.
    TooLong(usize),
}

impl Deframer {
    /// Takes a piece. The one before must be used up: [`next`](Self::next) has returned `None`.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.partial.is_empty() {
            self.piece = piece;
        } else {
            self.partial.extend_from_slice(&piece);
        }
    }

    /// The next whole message of at most `limit` bytes, if there is one.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_empty() {
            match frame_length(&self.piece, limit)? {
                Some(length) if self.piece.len() >= length => {
                    let mut frame = self.piece.split_to(length);
                    frame.advance(FRAME_HEAD);
                    return Ok(Some(frame));
                }
                length => {
                    self.partial.reserve(length.unwrap_or(FRAME_HEAD));
                    self.partial.extend_from_slice(&std::mem::take(&mut self.piece));
                    return Ok(None);
                }
            }
        }
        match frame_length(&self.partial, limit)? {
            Some(length) if self.partial.len() >= length => {
                let mut frame = self.partial.split_to(length).freeze();
                frame.advance(FRAME_HEAD);
                // What follows is a piece again, so that it is cut without a copy.
                self.piece = std::mem::take(&mut self.partial).freeze();
                Ok(Some(frame))
            }
            _ => Ok(None),
        }
    }

    /// Whether every byte was used: false means that the stream ended inside a message.
    pub(crate) fn is_empty(&self) -> bool {
        self.piece.is_empty() && self.partial.is_empty()
    }
}

/// The length of the frame, its head included, as soon as it is known.
fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    match bytes.first_chunk::<FRAME_HEAD>() {
        None => Ok(None),
        Some([0, a, b, c, d]) => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length > limit { Err(FrameError::TooLong(length)) } else { Ok(Some(length + FRAME_HEAD)) }
        }
        Some(_) => Err(FrameError::Compressed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            let mut frame = vec![0; FRAME_HEAD];
            frame.extend_from_slice(message);
            seal(&mut frame);
            out.extend(frame);
        }
        out
    }

    #[test]
    fn messages_survive_any_split() {
        let messages: [&[u8]; 4] = [b"", b"a", b"hello world", &[7; 300]];
        let wire = framed(&messages);
        for size in 1..=wire.len() {
            let mut deframer = Deframer::default();
            let mut got = Vec::new();
            for piece in wire.chunks(size) {
                deframer.push(Bytes::copy_from_slice(piece));
                while let Some(message) = deframer.next(1 << 20).unwrap() {
                    got.push(message.to_vec());
                }
            }
            assert_eq!(got, messages, "pieces of {size}");
            assert!(deframer.is_empty());
        }
    }

    #[test]
    fn a_message_in_one_piece_is_not_copied() {
        let wire = Bytes::from(framed(&[b"hello"]));
        let mut deframer = Deframer::default();
        deframer.push(wire.clone());
        let message = deframer.next(100).unwrap().unwrap();
        assert_eq!(message.as_ptr(), wire[FRAME_HEAD..].as_ptr());
    }

    #[test]
    fn bad_heads_are_refused_before_anything_is_stored() {
        let check = |wire: &'static [u8], expect| {
            let mut deframer = Deframer::default();
            deframer.push(Bytes::from_static(wire));
            assert_eq!(deframer.next(1000), expect);
        };
        check(&[1, 0, 0, 0, 1, 9], Err(FrameError::Compressed));
        check(&[0, 0xff, 0xff, 0xff, 0xff], Err(FrameError::TooLong(0xffff_ffff)));
        check(&[0, 0, 0], Ok(None));
    }
}
