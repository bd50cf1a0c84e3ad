//! How far the body of the request in flight has come.

use bytes::{Buf, BytesMut};

use super::body::BodyError;
use super::chunked::{Decoder, Step};
use super::fields::Framing;

/// What is left of a body.
#[derive(Debug)]
pub(super) enum Progress {
    /// So many bytes; none when it has been read.
    Length(u64),
    Chunked(Decoder),
    Failed(BodyError),
}

impl Progress {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Progress::Length(length),
            Framing::Chunked => Progress::Chunked(Decoder::new()),
        }
    }

    /// The bytes that are left, as far as that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Progress::Length(left) => Some(*left),
            Progress::Chunked(_) | Progress::Failed(_) => None,
        }
    }

    /// Takes the next piece of the body out of the buffer.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyError> {
        match self {
            Progress::Length(0) => Ok(Step::End),
            Progress::Length(_) if buffer.is_empty() => Ok(Step::More),
            Progress::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = buffer.split_to(most.min(buffer.len())).freeze();
                *left -= data.len() as u64;
                Ok(Step::Data(data))
            }
            Progress::Chunked(decoder) => match decoder.step(buffer) {
                Ok(step) => {
                    if step == Step::End {
                        *self = Progress::Length(0);
                    }
                    Ok(step)
                }
                Err(error) => Err(self.fail(BodyError::Chunk(error))),
            },
            Progress::Failed(error) => Err(*error),
        }
    }

    /// Throws away what there is of the body in the buffer. Whether that was all.
    pub(super) fn discard(&mut self, buffer: &mut BytesMut) -> bool {
        if let Progress::Length(left) = self {
            let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            buffer.advance(most);
            *left -= most as u64;
            return *left == 0;
        }
        loop {
            match self.decode(buffer) {
                Ok(Step::Data(_)) => {}
                Ok(Step::End) => return true,
                Ok(Step::More) | Err(_) => return false,
            }
        }
    }

    /// It cannot be read any more.
    pub(super) fn fail(&mut self, error: BodyError) -> BodyError {
        *self = Progress::Failed(error);
        error
    }
}
