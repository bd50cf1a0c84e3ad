//! Cuts a client's stream of JSON into its elements, without I/O: bytes come in pieces of any size, and each is looked
//! at once. Only the boundaries are found here; what is between them the encoder checks.

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::error::{ErrorKind, TranscodeError};
use crate::options::MAX_DEPTH;

/// What [`Splitter::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// A whole element.
    Element {
        /// Where it is in the buffer.
        range: Range<usize>,
        /// Where it begins in the stream: the base for [`TranscodeError::shifted`].
        offset: usize,
        /// Bytes to drop from the front of the buffer before the next call: up to the end of the element.
        consumed: usize,
    },
    /// More bytes are needed: append them to the buffer.
    More {
        /// Bytes to drop from the front of the buffer before the next call.
        consumed: usize,
    },
    /// The stream has ended as it should.
    End,
}

/// Finds the elements of one stream: the elements of one array, or values one behind the other (NDJSON; a value may
/// span lines, and several may be on one).
///
/// The caller keeps a buffer, appends what comes, and drops from its front what [`next`](Splitter::next) says was
/// consumed. The splitter itself is of constant size; the buffer never needs more than one element and the piece that
/// was appended last, so a caller that bounds the length of the buffer bounds everything.
///
/// ```
/// use aqueduct_transcode::{Split, Splitter};
///
/// let mut splitter = Splitter::json();
/// let mut buffer = b"[{\"id\": 1}, {\"i".to_vec();
/// assert_eq!(splitter.next(&buffer, false)?, Split::Element { range: 1..10, offset: 1, consumed: 10 });
/// buffer.drain(..10);
/// assert_eq!(splitter.next(&buffer, false)?, Split::More { consumed: 2 });
/// buffer.drain(..2);
/// buffer.extend(b"d\": 2}]");
/// assert_eq!(splitter.next(&buffer, true)?, Split::Element { range: 0..9, offset: 12, consumed: 9 });
/// buffer.drain(..9);
/// assert_eq!(splitter.next(&buffer, true)?, Split::End);
/// # Ok::<(), aqueduct_transcode::TranscodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Splitter {
    place: Place,
    /// The element that has begun, at `start` of the buffer.
    token: Option<Token>,
    start: usize,
    /// Bytes of the buffer that were looked at.
    scanned: usize,
    /// Bytes of the stream that are no more in the buffer.
    base: usize,
}

/// What may come next, outside of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `[` or the first of the values.
    Begin,
    /// A value.
    Values,
    /// Behind `[`.
    First,
    /// Behind a comma.
    Another,
    /// Behind an element of an array.
    Behind,
    /// Behind `]`.
    Closed,
}

/// Inside an element: how many brackets are open.
#[derive(Debug, Clone, Copy)]
enum Token {
    /// A number or a literal.
    Bare,
    /// Between the strings of an object or array.
    Nested(u32),
    String(u32),
    /// In a string, behind a backslash.
    Escape(u32),
}

type Result<T> = std::result::Result<T, TranscodeError>;

impl Splitter {
    /// An array when the first byte is `[`, otherwise values.
    pub fn json() -> Self {
        Self::new(Place::Begin)
    }

    /// Values one behind the other, even where the first is an array.
    pub fn values() -> Self {
        Self::new(Place::Values)
    }

    fn new(place: Place) -> Self {
        Splitter { place, token: None, start: 0, scanned: 0, base: 0 }
    }

    /// Finds the next element. `buffer` begins with the first byte that was not consumed; `at_end` says that nothing
    /// will be appended to it. Places in errors are bytes of the stream. Behind an error the splitter is of no use.
    pub fn next(&mut self, buffer: &[u8], at_end: bool) -> Result<Split> {
        loop {
            if let Some(token) = self.token {
                let complete = self.scan(token, buffer)?;
                // The end of the stream ends a number too, but in an array it might have had more digits.
                let bare = matches!(self.token, Some(Token::Bare)) && self.place == Place::Values;
                return match (complete, at_end) {
                    (true, _) => Ok(self.element()),
                    (false, true) if bare => Ok(self.element()),
                    (false, true) => Err(self.ends_early("the end of the element")),
                    (false, false) => Ok(self.more(self.start)),
                };
            }
            let rest = buffer.get(self.scanned..).unwrap_or_default();
            let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
            self.scanned += blanks;
            match rest.get(blanks) {
                Some(&byte) => self.begin(byte, rest.get(blanks..).unwrap_or_default())?,
                None if !at_end => return Ok(self.more(self.scanned)),
                None => return self.end(),
            }
        }
    }

    /// Takes the byte that comes next outside of elements.
    fn begin(&mut self, byte: u8, rest: &[u8]) -> Result<()> {
        let next = match (self.place, byte) {
            (Place::Begin, b'[') => Some(Place::First),
            (Place::First | Place::Behind, b']') => Some(Place::Closed),
            (Place::Behind, b',') => Some(Place::Another),
            (Place::Behind, _) => return Err(self.unexpected("\",\" or \"]\"", rest)),
            (Place::Closed, _) => return Err(self.unexpected("nothing behind the array", rest)),
            (Place::Another, b']') => return Err(self.unexpected("another one after the comma", rest)),
            (_, b',' | b':' | b']' | b'}') => return Err(self.unexpected("a value", rest)),
            _ => None,
        };
        if let Some(next) = next {
            self.place = next;
            self.scanned += 1;
            return Ok(());
        }
        if self.place == Place::Begin {
            self.place = Place::Values;
        }
        self.start = self.scanned;
        let token = match byte {
            b'"' => Token::String(0),
            b'{' | b'[' => Token::Nested(1),
            _ => Token::Bare,
        };
        self.scanned += 1;
        self.token = Some(token);
        Ok(())
    }

    /// Goes on in an element; true when it is complete.
    fn scan(&mut self, mut token: Token, buffer: &[u8]) -> Result<bool> {
        let mut complete = false;
        while let Some((&byte, rest)) = buffer.get(self.scanned..).and_then(<[u8]>::split_first) {
            if matches!(token, Token::Bare) && ends_bare(byte) {
                complete = true;
                break;
            }
            self.scanned += 1;
            token = match (token, byte) {
                (Token::String(0), b'"') | (Token::Nested(1), b']' | b'}') => {
                    complete = true;
                    break;
                }
                (Token::String(depth), b'"') => Token::Nested(depth),
                (Token::String(depth), b'\\') => Token::Escape(depth),
                (Token::String(depth), _) => {
                    self.scanned += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    Token::String(depth)
                }
                (Token::Escape(depth), _) => Token::String(depth),
                (Token::Nested(depth), b'"') => Token::String(depth),
                (Token::Nested(MAX_DEPTH..), b'[' | b'{') => {
                    let at = self.base + self.scanned - 1;
                    return Err(TranscodeError::at(ErrorKind::Limit, at, "the JSON is nested too deep"));
                }
                (Token::Nested(depth), b'[' | b'{') => Token::Nested(depth + 1),
                (Token::Nested(depth), b']' | b'}') => Token::Nested(depth - 1),
                (same, _) => same,
            };
        }
        self.token = Some(token);
        Ok(complete)
    }

    /// What is behind the element is for the next call.
    fn element(&mut self) -> Split {
        let (range, consumed) = (self.start..self.scanned, self.scanned);
        let offset = self.base + self.start;
        if self.place != Place::Values {
            self.place = Place::Behind;
        }
        self.token = None;
        self.base += consumed;
        (self.start, self.scanned) = (0, 0);
        Split::Element { range, offset, consumed }
    }

    fn more(&mut self, consumed: usize) -> Split {
        self.base += consumed;
        self.scanned -= consumed;
        self.start = 0;
        Split::More { consumed }
    }

    fn end(&mut self) -> Result<Split> {
        match self.place {
            Place::Begin | Place::Values | Place::Closed => Ok(Split::End),
            Place::First => Err(self.ends_early("a value or \"]\"")),
            Place::Another => Err(self.ends_early("a value")),
            Place::Behind => Err(self.ends_early("\",\" or \"]\"")),
        }
    }

    #[cold]
    fn ends_early(&self, expected: &str) -> TranscodeError {
        let what = format!("expected {expected}, but the stream ends here");
        TranscodeError::at(ErrorKind::Syntax, self.base + self.scanned, what)
    }

    #[cold]
    fn unexpected(&self, expected: &str, rest: &[u8]) -> TranscodeError {
        let shown = String::from_utf8_lossy(rest.get(..4.min(rest.len())).unwrap_or_default());
        let found = shown.chars().next().unwrap_or_default();
        let what = format!("expected {expected}, found {found:?}");
        TranscodeError::at(ErrorKind::Syntax, self.base + self.scanned, what)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What cannot be part of a number or a literal.
fn ends_bare(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b',' | b':' | b'"' | b'[' | b']' | b'{' | b'}')
}
