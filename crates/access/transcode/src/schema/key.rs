//! A field's name in JSON, laid out so that most names are compared and copied in registers.

/// Names up to this length are copied as one block of constant size.
const BLOCK: usize = 32;

/// `,"name":`, the bytes in front of a value.
#[derive(Debug)]
pub(crate) struct Key {
    /// With its quotes, comma and colon.
    text: Box<[u8]>,
    /// The start of `text`, filled up with zeros.
    block: [u8; BLOCK],
    /// The first eight bytes of `"name"`; zeros behind a shorter one.
    head: u64,
    /// Which bits of `head` count.
    mask: u64,
    /// The last eight bytes of `"name"`, when it has as many.
    tail: u64,
}

impl Key {
    /// A `json_name` option may hold anything, quotes included.
    pub(super) fn new(name: &str) -> Key {
        let mut text = vec![b','];
        crate::wire_to_json::string::put_string(&mut text, name);
        text.push(b':');
        let mut block = [0; BLOCK];
        block.iter_mut().zip(&text).for_each(|(slot, byte)| *slot = *byte);
        let quoted = &text[1..text.len() - 1];
        let head = quoted.iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        let mask = if quoted.len() < 8 { (1 << (8 * quoted.len())) - 1 } else { u64::MAX };
        let tail = quoted.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        Key { block, head, mask, tail, text: text.into() }
    }

    /// `"name"`.
    fn quoted(&self) -> &[u8] {
        self.text.get(1..self.text.len() - 1).unwrap_or_default()
    }

    /// The length of `"name"`, if `rest` of a JSON text starts with it.
    #[inline]
    pub(crate) fn starts(&self, rest: &[u8]) -> Option<usize> {
        let length = self.text.len() - 2;
        let same = match rest.first_chunk() {
            Some(chunk) if u64::from_le_bytes(*chunk) & self.mask != self.head => false,
            Some(_) if length <= 8 => true,
            // The two words overlap, or meet.
            Some(_) if length <= 16 => {
                rest.get(..length).and_then(|name| name.last_chunk()).map(|chunk| u64::from_le_bytes(*chunk))
                    == Some(self.tail)
            }
            _ => rest.starts_with(self.quoted()),
        };
        same.then_some(length)
    }

    /// Appends `,"name":`.
    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if self.text.len() <= BLOCK {
            // A copy of constant size is two moves; the surplus is cut off again.
            let end = out.len() + self.text.len();
            out.extend_from_slice(&self.block);
            out.truncate(end);
        } else {
            out.extend_from_slice(&self.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_found_and_written() {
        for length in 0..40 {
            let name: String = ('a'..='z').cycle().take(length).collect();
            let key = Key::new(&name);
            let mut out = b"x".to_vec();
            key.put(&mut out);
            assert_eq!(out, format!("x,\"{name}\":").into_bytes());
            let check = |rest: &str, expect: bool| {
                assert_eq!(key.starts(rest.as_bytes()), expect.then_some(length + 2), "{name} in {rest}");
            };
            check(&format!("\"{name}\": and more of it"), true);
            check(&format!("\"{name}\""), true);
            check(&format!("\"{name}x\": and more of it"), false);
            check(&format!("\"{name}"), false);
            check("", false);
            for at in 0..length {
                let mut other = name.clone().into_bytes();
                other[at] ^= 1;
                check(&format!("\"{}\": and more", String::from_utf8(other).unwrap()), false);
            }
        }
        assert_eq!(Key::new("a\"b").starts(br#""a\"b":1"#), Some(6), "as it stands in the text");
    }
}
