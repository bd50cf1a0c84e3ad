//! A reader over the bytes of an event: every read is checked, so that no input can make it panic.

/// The event ended before what it announced, or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What is left of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.uint(4)?).map_err(|_| Malformed)
    }

    /// A little-endian number of up to eight bytes.
    pub(crate) fn uint(&mut self, width: usize) -> Result<u64, Malformed> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The "length-encoded integer" of the protocol.
    pub(crate) fn lenenc(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            small @ 0..=250 => Ok(small.into()),
            252 => self.uint(2),
            253 => self.uint(3),
            254 => self.uint(8),
            251 | 255 => Err(Malformed),
        }
    }

    pub(crate) fn len(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.lenenc()?).map_err(|_| Malformed)
    }
}

/// Bit `at`, counted from the lowest of the first byte.
pub(crate) fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}
