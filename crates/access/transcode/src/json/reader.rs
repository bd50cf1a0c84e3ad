//! The cursor over a JSON text. Its bytes are known to be UTF-8 before it starts, so that it looks at ASCII only.

use super::escape::unescape;
use super::number::{self, Integer, NotInteger};
use crate::error::{ErrorKind, TranscodeError, shown_value};
use crate::schema::Key;
use crate::swar::find_special;

type Result<T> = std::result::Result<T, TranscodeError>;

/// A string as it stands in the input, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a [u8],
    /// Whether there is a backslash in it.
    pub(crate) escaped: bool,
    /// Where `raw` begins in the input.
    pub(crate) at: usize,
}

impl<'a> Text<'a> {
    /// Appends the string's value.
    #[inline]
    pub(crate) fn append_to(self, out: &mut Vec<u8>) -> Result<()> {
        if !self.escaped {
            out.extend_from_slice(self.raw);
            return Ok(());
        }
        unescape(self.raw, out)
            .map_err(|(offset, what)| TranscodeError::at(ErrorKind::Syntax, self.at + offset, what))
    }

    /// The string's value: the input itself where nothing is escaped, else built in `scratch`.
    #[inline]
    pub(crate) fn value<'s>(self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8]>
    where
        'a: 's,
    {
        if !self.escaped {
            return Ok(self.raw);
        }
        scratch.clear();
        self.append_to(scratch)?;
        Ok(scratch)
    }
}

/// Reads forward over a JSON text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pub(crate) pos: usize,
}

impl<'a> Reader<'a> {
    /// Refuses bytes that are not UTF-8, once and for all.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Reader { bytes, pos: 0 }),
            Err(error) => {
                Err(TranscodeError::at(ErrorKind::Syntax, error.valid_up_to(), "the JSON text is not UTF-8"))
            }
        }
    }

    /// The next byte that is not blank, without taking it; 0 at the end, which no token starts with.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.pos) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pos += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    /// Takes `byte` if it comes next, after blanks.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.pos += usize::from(found);
        found
    }

    /// Takes these very bytes if they come next, without blanks.
    #[inline]
    fn take_exactly(&mut self, bytes: &[u8]) -> bool {
        let found = self.bytes.get(self.pos..).is_some_and(|rest| rest.starts_with(bytes));
        if found {
            self.pos += bytes.len();
        }
        found
    }

    /// Takes the name of a field in quotes, if it comes next, without blanks.
    #[inline]
    pub(crate) fn take_name(&mut self, key: &Key) -> bool {
        let length = self.bytes.get(self.pos..).and_then(|rest| key.starts(rest));
        self.pos += length.unwrap_or(0);
        length.is_some()
    }

    /// Takes the `:` between a name and its value.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<()> {
        if self.take(b':') { Ok(()) } else { Err(self.unexpected("\":\"")) }
    }

    /// After a member or element: true when another follows, false when `close` was taken. Trailing commas are refused.
    #[inline]
    pub(crate) fn more(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            b',' => {
                self.pos += 1;
                if self.peek() == close {
                    return Err(self.unexpected("another one after the comma"));
                }
                Ok(true)
            }
            byte if byte == close => {
                self.pos += 1;
                Ok(false)
            }
            _ if close == b'}' => Err(self.unexpected("\",\" or \"}\"")),
            _ => Err(self.unexpected("\",\" or \"]\"")),
        }
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.peek();
        if self.pos == self.bytes.len() { Ok(()) } else { Err(self.unexpected("the end of the JSON text")) }
    }

    /// Takes a string, checking all but its escapes, which [`Text::append_to`] and [`Text::value`] check.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>> {
        if self.peek() != b'"' {
            return Err(self.unexpected("a string"));
        }
        let start = self.pos + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = find_special(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => {
                    let what = "a control character in a string must be escaped";
                    return Err(TranscodeError::at(ErrorKind::Syntax, at, what));
                }
                None => {
                    self.pos = self.bytes.len();
                    return Err(self.unexpected("the end of the string"));
                }
            }
        }
        self.pos = at + 1;
        Ok(Text { raw: self.bytes.get(start..at).unwrap_or_default(), escaped, at: start })
    }

    /// Takes `true`, `false` or `null`, whose first letter was seen.
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<()> {
        if self.take_exactly(word.as_bytes()) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    /// Takes a number and gives its text.
    pub(crate) fn number(&mut self) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        match number::scan(rest) {
            Ok(length) => {
                self.pos += length;
                Ok(rest.get(..length).unwrap_or_default())
            }
            Err(0) => Err(self.unexpected("a number")),
            Err(offset) => {
                self.pos += offset;
                Err(self.unexpected("the rest of a number"))
            }
        }
    }

    /// Takes an integer of at most 19 digits and nothing behind them, the form nearly all have; `None` (and nothing
    /// taken) when it is written in any other way. A quoted one must close its quotes.
    #[inline]
    pub(crate) fn plain_integer(&mut self) -> Option<Integer> {
        let quoted = self.bytes.get(self.pos) == Some(&b'"');
        let mut at = self.pos + usize::from(quoted);
        let negative = self.bytes.get(at) == Some(&b'-');
        at += usize::from(negative);
        let first = at;
        let mut magnitude = 0u64;
        let end = loop {
            match self.bytes.get(at) {
                Some(&byte) if byte.is_ascii_digit() && at - first < 19 => {
                    magnitude = magnitude * 10 + u64::from(byte - b'0');
                    at += 1;
                }
                Some(b'"') if quoted => break at + 1,
                Some(b'0'..=b'9' | b'.' | b'e' | b'E') => return None,
                _ if quoted => return None,
                _ => break at,
            }
        };
        if at == first || (self.bytes.get(first) == Some(&b'0') && at > first + 1) {
            return None;
        }
        self.pos = end;
        Some(Integer { negative, magnitude })
    }

    /// Takes an integer in any way JSON can write it, quoted or not. `scratch` is for escapes in the quotes.
    pub(crate) fn integer(
        &mut self,
        scratch: &mut Vec<u8>,
    ) -> Result<std::result::Result<Integer, Option<NotInteger>>> {
        if self.peek() != b'"' {
            return Ok(number::integer(self.number()?).map_err(Some));
        }
        let text = self.string()?.value(scratch)?;
        Ok(match number::scan(text) {
            Ok(length) if length == text.len() => number::integer(text).map_err(Some),
            _ => Err(None),
        })
    }

    /// Skips one value of any type, as strictly as if it were read.
    pub(crate) fn skip_value(&mut self, depth: u32, scratch: &mut Vec<u8>) -> Result<()> {
        match self.peek() {
            b'"' => self.string()?.value(scratch).map(drop),
            b'{' | b'[' => self.skip_nested(depth, scratch),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn skip_nested(&mut self, depth: u32, scratch: &mut Vec<u8>) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.too_deep());
        };
        let object = self.peek() == b'{';
        let close = if object { b'}' } else { b']' };
        self.pos += 1;
        if self.take(close) {
            return Ok(());
        }
        loop {
            if object {
                self.string()?.value(scratch)?;
                self.colon()?;
            }
            self.skip_value(depth, scratch)?;
            if !self.more(close)? {
                return Ok(());
            }
        }
    }

    #[cold]
    pub(crate) fn too_deep(&self) -> TranscodeError {
        TranscodeError::at(ErrorKind::Limit, self.pos, "the JSON is nested too deep")
    }

    /// An error at the next byte: what should be there, and what is.
    #[cold]
    pub(crate) fn unexpected(&mut self, expected: &str) -> TranscodeError {
        self.peek();
        self.mismatch(ErrorKind::Syntax, self.pos, expected)
    }

    /// The same for a value of the wrong type or range, which begins at `at`.
    #[cold]
    pub(crate) fn mismatch(&self, kind: ErrorKind, at: usize, expected: &str) -> TranscodeError {
        if at >= self.bytes.len() {
            return TranscodeError::at(kind, at, format!("expected {expected}, but the JSON ends here"));
        }
        TranscodeError::at(kind, at, format!("expected {expected}, found {}", self.excerpt(at)))
    }

    /// The token at `at`, cut to a readable length.
    fn excerpt(&self, at: usize) -> String {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let length = match rest.first() {
            Some(b'"') => {
                rest.iter().skip(1).position(|&byte| byte == b'"').map_or(rest.len(), |end| end + 2)
            }
            Some(b'{') => return "an object".to_owned(),
            Some(b'[') => return "an array".to_owned(),
            Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'-' => {
                let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                rest.iter().take_while(|byte| word(byte)).count()
            }
            _ => {
                let character = String::from_utf8_lossy(rest.get(..4.min(rest.len())).unwrap_or_default());
                return character.chars().next().map(|first| format!("{first:?}")).unwrap_or_default();
            }
        };
        shown_value(rest.get(..length).unwrap_or_default())
    }
}
