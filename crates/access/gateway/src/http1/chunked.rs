//! The chunked transfer coding (RFC 9112, section 7.1), byte for byte by its grammar. What a lax reader would forgive is where
//! two readers of the same bytes come to differ, so nothing is forgiven: not a blank, not a bare line feed.

use bytes::{Buf, Bytes, BytesMut};

use super::syntax::{is_text, is_token};

/// Digits of a chunk's size: as many as a u64 has.
const DIGITS: u8 = 16;
/// Bytes of all chunk extensions of a body. They say nothing to us, and there is no other bound on them.
const EXTENSIONS: usize = 4 << 10;
/// Bytes of all trailers of a body.
const TRAILERS: usize = 8 << 10;
/// Trailer fields of a body.
const FIELDS: usize = 32;

/// Fields that frame, route, authenticate or describe a message: behind it they come too late to be honest (RFC 9110, section
/// 6.5.1).
const FORBIDDEN: [&[u8]; 22] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"max-forwards",
    b"pragma",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];
/// A name that is longer than all forbidden ones is none of them.
const NAME: usize = 20;

/// What is wrong with a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkError {
    /// The size is not one to sixteen hexadecimal digits and CRLF.
    Size,
    /// A chunk extension does not follow the grammar.
    Extension,
    /// All chunk extensions together are too long.
    Extensions,
    /// A chunk is longer or shorter than it says.
    End,
    /// A trailer field is malformed.
    Trailer,
    /// A trailer field that may not be one.
    Forbidden,
    /// Too many trailer fields, or too long ones.
    Trailers,
}

impl ChunkError {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ChunkError::Size => "a chunk's size is malformed",
            ChunkError::Extension => "a chunk extension is malformed",
            ChunkError::Extensions => "the chunk extensions are too long",
            ChunkError::End => "a chunk is not as long as it says",
            ChunkError::Trailer => "a trailer field is malformed",
            ChunkError::Forbidden => "a field that may not be a trailer is one",
            ChunkError::Trailers => "the trailer fields are too many or too long",
        }
    }
}

/// What came of the bytes that are there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A piece of the body: a slice of the buffer.
    Data(Bytes),
    /// More bytes are needed.
    More,
    /// The body has ended; what is left in the buffer is behind it.
    End,
}

/// Where in the grammar the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    Name,
    Value,
    Unquoted,
    Quoted,
    Pair,
    AfterQuoted,
    SizeEnd,
    Data,
    DataEnd,
    DataLast,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    Last,
    Done,
}

/// Reads one chunked body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    digits: u8,
    /// Of the chunk's data.
    left: u64,
    extensions: usize,
    trailers: usize,
    fields: usize,
    name: [u8; NAME],
    name_len: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            digits: 0,
            left: 0,
            extensions: 0,
            trailers: 0,
            fields: 0,
            name: [0; NAME],
            name_len: 0,
        }
    }

    /// Takes the next piece out of the buffer.
    pub(crate) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, ChunkError> {
        let mut used = 0;
        for byte in buffer.iter() {
            if matches!(self.state, State::Data | State::Done) {
                break;
            }
            self.state = self.next(*byte)?;
            used += 1;
        }
        buffer.advance(used);
        match self.state {
            State::Done => Ok(Step::End),
            State::Data if !buffer.is_empty() => {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let data = buffer.split_to(most.min(buffer.len())).freeze();
                self.left -= data.len() as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                Ok(Step::Data(data))
            }
            _ => Ok(Step::More),
        }
    }

    fn next(&mut self, byte: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size => self.size(byte),
            State::Extension
            | State::Name
            | State::Value
            | State::Unquoted
            | State::Quoted
            | State::Pair
            | State::AfterQuoted => self.extension(byte),
            State::SizeEnd if byte != b'\n' => Err(ChunkError::Size),
            State::SizeEnd if self.left == 0 => Ok(State::TrailerStart),
            State::SizeEnd => Ok(State::Data),
            State::DataEnd if byte == b'\r' => Ok(State::DataLast),
            State::DataLast if byte == b'\n' => {
                self.digits = 0;
                Ok(State::Size)
            }
            State::DataEnd | State::DataLast => Err(ChunkError::End),
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerEnd
            | State::Last => self.trailer(byte),
            State::Data | State::Done => Ok(self.state),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == DIGITS {
                return Err(ChunkError::Size);
            }
            self.digits += 1;
            // Sixteen digits fit.
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(ChunkError::Size),
            b'\r' => Ok(State::SizeEnd),
            b';' => Ok(State::Extension),
            _ => Err(ChunkError::Size),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS {
            return Err(ChunkError::Extensions);
        }
        match (self.state, byte) {
            (State::Extension | State::Name, _) if is_token(byte) => Ok(State::Name),
            (State::Value | State::Unquoted, _) if is_token(byte) => Ok(State::Unquoted),
            (State::Name, b'=') => Ok(State::Value),
            (State::Value, b'"') => Ok(State::Quoted),
            (State::Quoted, b'"') => Ok(State::AfterQuoted),
            (State::Quoted, b'\\') => Ok(State::Pair),
            (State::Quoted | State::Pair, _) if is_text(byte) => Ok(State::Quoted),
            (State::Name | State::Unquoted | State::AfterQuoted, b';') => Ok(State::Extension),
            (State::Name | State::Unquoted | State::AfterQuoted, b'\r') => Ok(State::SizeEnd),
            _ => Err(ChunkError::Extension),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailers += 1;
        if self.trailers > TRAILERS {
            return Err(ChunkError::Trailers);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::Last),
            (State::Last, b'\n') => Ok(State::Done),
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => {
                if self.state == State::TrailerStart {
                    self.fields += 1;
                    self.name_len = 0;
                }
                if self.fields > FIELDS {
                    return Err(ChunkError::Trailers);
                }
                if let Some(place) = self.name.get_mut(self.name_len) {
                    *place = byte.to_ascii_lowercase();
                }
                self.name_len += 1;
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => {
                let name = self.name.get(..self.name_len).unwrap_or_default();
                if FORBIDDEN.contains(&name) { Err(ChunkError::Forbidden) } else { Ok(State::TrailerValue) }
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerEnd, b'\n') => Ok(State::TrailerStart),
            _ => Err(ChunkError::Trailer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what is behind it, once both are there.
    type Found<T> = Result<Option<(T, T)>, ChunkError>;

    /// What is found when the input comes in two pieces that are cut at `cut`.
    fn decode(input: &[u8], cut: usize) -> Found<Vec<u8>> {
        let (mut decoder, mut buffer, mut body) = (Decoder::new(), BytesMut::new(), Vec::new());
        let (first, second) = input.split_at(cut);
        for (piece, more) in [(first, !second.is_empty()), (second, false)] {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.step(&mut buffer)? {
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::More => break,
                    Step::End if more => break,
                    Step::End => return Ok(Some((body, buffer.to_vec()))),
                }
            }
        }
        Ok(None)
    }

    #[track_caller]
    fn check(input: &[u8], expect: Found<&[u8]>) {
        let expect = expect.map(|found| found.map(|(body, rest)| (body.to_vec(), rest.to_vec())));
        for cut in 0..=input.len() {
            assert_eq!(decode(input, cut), expect, "{:?} cut at {cut}", input.escape_ascii().to_string());
        }
    }

    #[test]
    fn chunks_are_joined_wherever_they_are_cut() {
        check(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", Ok(Some((b"abcde", b"GET"))));
        check(b"0\r\n\r\n", Ok(Some((b"", b""))));
        check(b"000\r\n\r\n", Ok(Some((b"", b""))));
        check(b"000000000000000a\r\n0123456789\r\n0\r\n\r\n", Ok(Some((b"0123456789", b""))));
        check(b"A\r\n0123456789\r\n0000000000000000\r\n\r\n", Ok(Some((b"0123456789", b""))));
        check(b"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", Ok(Some((b"\r\n", b""))));
        check(b"3\r\nab", Ok(None));
    }

    #[test]
    fn sizes_are_digits_and_nothing_else() {
        for bad in [
            "\r\n",
            " 1\r\n",
            "1 \r\n",
            "1\t\r\n",
            "0x1\r\n",
            "+1\r\n",
            "-1\r\n",
            "1_0\r\n",
            "g\r\n",
            "1\n",
            "1\ra",
            "00000000000000001\r\n",
            "1\r\r\n",
            "1,1\r\n",
            "\n",
            "1\x0b\r\n",
        ] {
            check(bad.as_bytes(), Err(ChunkError::Size));
        }
    }

    #[test]
    fn chunks_are_as_long_as_they_say() {
        for bad in ["1\r\nab\r\n", "1\r\na\n", "1\r\na\r\r\n", "2\r\na\r\n0\r\n\r\n", "1\r\na0\r\n\r\n"] {
            check(bad.as_bytes(), Err(ChunkError::End));
        }
    }

    #[test]
    fn extensions_follow_the_grammar_and_are_bounded() {
        for good in ["a", "a=b", "a;b=c", "a=\"b c\"", "a=\"\\\"\\\\;é\"", "a=\"\";b", "a=\"\t\""] {
            let input = [b"1;", good.as_bytes(), b"\r\nx\r\n0;", good.as_bytes(), b"\r\n\r\n"].concat();
            check(&input, Ok(Some((b"x", b""))));
        }
        for bad in [
            "",
            ";a",
            "a;",
            "a=",
            "=a",
            " a",
            "a ",
            "a =b",
            "a= b",
            "a=b c",
            "a=\"b",
            "a=\"\n\"",
            "a=\"\x01\"",
            "a=\"\x7f\"",
            "a=\"b\"c",
            "a\0",
            "a=\"\\\r\"",
            "a\n",
            "a=b\"",
            "a,b",
        ] {
            check(format!("1;{bad}\r\nx\r\n0\r\n\r\n").as_bytes(), Err(ChunkError::Extension));
        }
        let long = "a".repeat(EXTENSIONS - 1);
        let within = format!("1;{long}\r\nx\r\n0\r\n\r\n");
        assert_eq!(decode(within.as_bytes(), 0), Ok(Some((b"x".to_vec(), Vec::new()))));
        let beyond = format!("1;{long}\r\nx\r\n0;a\r\n\r\n");
        assert_eq!(decode(beyond.as_bytes(), 0), Err(ChunkError::Extensions), "in all, not each");
    }

    #[test]
    fn trailers_are_checked_bounded_and_dropped() {
        for good in ["a: b\r\n", "a:\r\nb:c\r\n", "x-checksum:\t1 2 é\r\n", "hosts: a\r\n"] {
            check(format!("0\r\n{good}\r\nX").as_bytes(), Ok(Some((b"", b"X"))));
        }
        for bad in [
            "a\r\n",
            " a: b\r\n",
            "a : b\r\n",
            ": b\r\n",
            "a: b\n",
            "a: b\r\n c\r\n",
            "a: \0\r\n",
            "a: b\rc\r\n",
            "\n",
        ] {
            check(format!("0\r\n{bad}\r\n").as_bytes(), Err(ChunkError::Trailer));
        }
        for name in FORBIDDEN {
            assert!(name.len() <= NAME);
            let name = String::from_utf8_lossy(name).to_ascii_uppercase();
            check(format!("0\r\n{name}: 1\r\n\r\n").as_bytes(), Err(ChunkError::Forbidden));
        }
        let many = "a: b\r\n".repeat(FIELDS);
        assert!(decode(format!("0\r\n{many}\r\n").as_bytes(), 0).is_ok());
        assert_eq!(decode(format!("0\r\n{many}a: b\r\n\r\n").as_bytes(), 0), Err(ChunkError::Trailers));
        let long = format!("0\r\na: {}\r\n\r\n", "b".repeat(TRAILERS));
        assert_eq!(decode(long.as_bytes(), 0), Err(ChunkError::Trailers));
    }
}
