//! The compressors, behind one face. They are fast levels: an answer is made for one client, and once.

use std::fmt;

use flate2::{Compress, FlushCompress, Status};
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::Algorithm;

const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// How far a whole answer looks back, as a power of two; zstd sizes itself.
const GZIP_WINDOW: u8 = 15;
/// The same of a stream, of which there may be many: a state then takes a few hundred KiB.
const STREAM_WINDOW: u8 = 14;
/// Output is asked for in pieces of this.
const ROOM: usize = 4 << 10;

/// A compressor and its state.
pub(crate) enum Encoder {
    Gzip(Box<Compress>),
    Zstd(Box<CCtx<'static>>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoder::Gzip(_) => "Gzip",
            Encoder::Zstd(_) => "Zstd",
        })
    }
}

/// The compressor failed: it had no memory.
#[derive(Debug)]
pub(crate) struct Failed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Continue,
    Flush,
    End,
}

impl Encoder {
    /// For answers that are whole.
    pub(crate) fn for_whole(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Gzip => Self::gzip(GZIP_WINDOW),
            Algorithm::Zstd => Self::zstd(&[])?,
        })
    }

    /// For answers that come bit by bit.
    pub(crate) fn for_stream(algorithm: Algorithm) -> Option<Self> {
        let log = u32::from(STREAM_WINDOW);
        Some(match algorithm {
            Algorithm::Gzip => Self::gzip(STREAM_WINDOW),
            Algorithm::Zstd => Self::zstd(&[
                CParameter::WindowLog(log),
                CParameter::HashLog(log),
                CParameter::ChainLog(log),
            ])?,
        })
    }

    fn gzip(window: u8) -> Self {
        Encoder::Gzip(Box::new(Compress::new_gzip(flate2::Compression::new(GZIP_LEVEL), window)))
    }

    fn zstd(more: &[CParameter]) -> Option<Self> {
        let mut context = CCtx::try_create()?;
        for parameter in [CParameter::CompressionLevel(ZSTD_LEVEL)].iter().chain(more) {
            context.set_parameter(*parameter).ok()?;
        }
        Some(Encoder::Zstd(Box::new(context)))
    }

    /// Ready for another answer.
    pub(crate) fn renewed(mut self) -> Option<Self> {
        match &mut self {
            Encoder::Gzip(state) => state.reset(),
            Encoder::Zstd(state) => drop(state.reset(ResetDirective::SessionOnly).ok()?),
        }
        Some(self)
    }

    /// Takes more in; what comes out of it may come later.
    pub(crate) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(data, Then::Continue, out)
    }

    /// Takes more in, and lets out all that the client needs to read it.
    pub(crate) fn flush(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(data, Then::Flush, out)
    }

    /// Takes the last in, and lets out the end.
    pub(crate) fn finish(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(data, Then::End, out)
    }

    fn run(&mut self, data: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), Failed> {
        match self {
            Encoder::Gzip(state) => gzip(state, data, then, out),
            Encoder::Zstd(state) => zstd(state, data, then, out),
        }
    }
}

fn gzip(state: &mut Compress, mut data: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), Failed> {
    let flush = match then {
        Then::Continue => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::End => FlushCompress::Finish,
    };
    loop {
        out.reserve(ROOM);
        let before = state.total_in();
        let status = state.compress_vec(data, out, flush).map_err(|_| Failed)?;
        let taken = usize::try_from(state.total_in() - before).unwrap_or(usize::MAX);
        data = data.get(taken..).unwrap_or_default();
        // Room that is left says that nothing waits for more of it.
        let done = data.is_empty() && out.len() < out.capacity() && then != Then::End;
        if done || status == Status::StreamEnd {
            return Ok(());
        }
    }
}

fn zstd(state: &mut CCtx<'_>, data: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), Failed> {
    let directive = match then {
        Then::Continue => ZSTD_EndDirective::ZSTD_e_continue,
        Then::Flush => ZSTD_EndDirective::ZSTD_e_flush,
        Then::End => ZSTD_EndDirective::ZSTD_e_end,
    };
    let mut input = InBuffer::around(data);
    loop {
        out.reserve(ROOM);
        let position = out.len();
        let mut output = OutBuffer::around_pos(out, position);
        let left = state.compress_stream2(&mut output, &mut input, directive).map_err(|_| Failed)?;
        let taken = input.pos() == data.len();
        // What is left of it is a hint only as long as nothing has to come out.
        if taken && (left == 0 || then == Then::Continue) {
            return Ok(());
        }
    }
}

/// The other way, for tests.
#[cfg(test)]
pub(crate) fn decode(algorithm: Algorithm, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    let length = match algorithm {
        Algorithm::Gzip => {
            let mut state = flate2::Decompress::new_gzip(15);
            state.decompress(data, &mut out, flate2::FlushDecompress::Sync).unwrap();
            usize::try_from(state.total_out()).unwrap()
        }
        Algorithm::Zstd => {
            let mut state = zstd_safe::DCtx::create();
            let mut output = OutBuffer::around(out.as_mut_slice());
            state.decompress_stream(&mut output, &mut InBuffer::around(data)).unwrap();
            output.pos()
        }
    };
    out.truncate(length);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_can_be_read_at_once() {
        for algorithm in [Algorithm::Gzip, Algorithm::Zstd] {
            let mut encoder = Encoder::for_stream(algorithm).unwrap();
            let (mut out, mut expect) = (Vec::new(), Vec::new());
            for number in 0..50_usize {
                // Noise too, which takes more room than there is at first.
                let noise = (0..number * 1000).map(|at| u8::try_from((at * at * 31 + at / 7) % 251).unwrap());
                let piece: Vec<_> =
                    format!("message {number}\n").into_bytes().into_iter().chain(noise).collect();
                expect.extend_from_slice(&piece);
                if number % 3 == 0 {
                    encoder.write(&piece, &mut out).unwrap();
                    continue;
                }
                encoder.flush(&piece, &mut out).unwrap();
                let got = decode(algorithm, &out);
                assert!(got == expect.get(..1 << 20).unwrap_or(&expect), "{algorithm:?} {number}");
            }
            encoder.finish(b"end", &mut out).unwrap();
            assert!(out.len() < expect.len());
        }
    }
}
