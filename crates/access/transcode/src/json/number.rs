//! JSON numbers: the grammar, and exact integers out of any way of writing them.

/// An integer as sign and magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integer {
    pub(crate) negative: bool,
    pub(crate) magnitude: u64,
}

impl Integer {
    /// As a signed integer of `bits` (32 or 64).
    #[inline]
    pub(crate) fn signed(self, bits: u32) -> Option<i64> {
        let limit = 1u64 << (bits - 1);
        match self.negative {
            false if self.magnitude < limit => Some(self.magnitude.cast_signed()),
            true if self.magnitude <= limit => Some(self.magnitude.wrapping_neg().cast_signed()),
            _ => None,
        }
    }

    /// As an unsigned integer of `bits` (32 or 64).
    #[inline]
    pub(crate) fn unsigned(self, bits: u32) -> Option<u64> {
        let fits = self.magnitude == 0 || (!self.negative && self.magnitude <= u64::MAX >> (64 - bits));
        fits.then_some(self.magnitude)
    }
}

/// Why a number is no integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotInteger {
    Fraction,
    TooLarge,
}

/// The length of the number at the start of `text` by JSON's grammar; `Err` with the place that breaks it.
pub(crate) fn scan(text: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize| {
        let count =
            text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { Err(from) } else { Ok(from + count) }
    };
    let start = usize::from(text.first() == Some(&b'-'));
    let mut at = digits(start)?;
    if text.get(start) == Some(&b'0') && at > start + 1 {
        return Err(start + 1);
    }
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Ok(at)
}

/// The exact value of a number that [`scan`] accepted, when it is an integer: `1e3`, `120.0` and `0.5e1` are.
pub(crate) fn integer(token: &[u8]) -> Result<Integer, NotInteger> {
    let (negative, rest) = match token.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, token),
    };
    let split = rest.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(split);
    let mut value = 0u64;
    // Zeros that count only if another digit follows; and the decimal exponent of what is in `value`.
    let mut zeros = 0i64;
    let mut scale = self::exponent(exponent);
    let mut in_fraction = false;
    for &byte in mantissa {
        match byte {
            b'.' => in_fraction = true,
            b'0' if value == 0 => scale -= i64::from(in_fraction),
            b'0' => {
                zeros += 1;
                scale -= i64::from(in_fraction);
            }
            digit => {
                let grown = power(zeros + 1).and_then(|power| value.checked_mul(power));
                let grown = grown.and_then(|grown| grown.checked_add(u64::from(digit - b'0')));
                value = grown.ok_or(NotInteger::TooLarge)?;
                zeros = 0;
                scale -= i64::from(in_fraction);
            }
        }
    }
    scale += zeros;
    if value == 0 {
        return Ok(Integer { negative, magnitude: 0 });
    }
    if scale < 0 {
        return Err(NotInteger::Fraction);
    }
    let magnitude = power(scale).and_then(|power| value.checked_mul(power)).ok_or(NotInteger::TooLarge)?;
    Ok(Integer { negative, magnitude })
}

/// `e+12` as a number; beyond any that could matter, some large one.
fn exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [_, b'-', digits @ ..] => (true, digits),
        [_, b'+', digits @ ..] | [_, digits @ ..] => (false, digits),
        [] => return 0,
    };
    let value =
        digits.iter().fold(0i64, |n, byte| n.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    // Far from the edges of i64, so that the mantissa's length can be added.
    let value = value.min(i64::MAX / 4);
    if negative { -value } else { value }
}

fn power(exponent: i64) -> Option<u64> {
    10u64.checked_pow(u32::try_from(exponent).ok()?)
}
