//! `google.rpc.Status` as the body of an error: whatever the upstream sent, something well-formed comes out.

use super::string::put_string;
use super::{Place, Printer};
use crate::status::Code;
use crate::wire::wire_type;
use crate::wkt::base64;

impl Printer<'_, '_> {
    /// `{"code":5,"message":"…","details":[…]}`; the details are those of the `google.rpc.Status` that is the input.
    /// Code and message come from the headers, which count.
    pub(crate) fn status(&mut self, code: Code, message: &str) {
        self.out.extend_from_slice(b"{\"code\":");
        self.out.extend_from_slice(itoa::Buffer::new().format(code.number()).as_bytes());
        self.out.extend_from_slice(b",\"message\":");
        put_string(&mut self.out, message);
        self.out.extend_from_slice(b",\"details\":");
        let start = self.out.len();
        let mut cursor = self.cursor(0, self.wire.len());
        while !cursor.at_end() {
            let Ok((number, wire)) = cursor.tag() else { break };
            if (number, wire) != (3, wire_type::LEN) {
                if cursor.skip(number, wire, self.options.depth()).is_err() {
                    break;
                }
                continue;
            }
            let Ok((start, end)) = cursor.len_range() else { break };
            self.detail(Place::Piece { start, end });
        }
        self.close(start, b'[', b']');
        self.out.push(b'}');
    }

    /// One detail with a comma before it. One of an unknown type, or malformed, keeps its bytes as base64.
    fn detail(&mut self, place: Place) {
        self.out.push(b',');
        let start = self.out.len();
        if self.any(place, self.options.depth()).is_ok() {
            return;
        }
        self.out.truncate(start);
        self.scratch.entries.clear();
        let (mut url, mut value): (&[u8], &[u8]) = (&[], &[]);
        let read = self.each_field(place, 1, |number, wire, cursor| {
            match (number, wire) {
                (1, wire_type::LEN) => url = cursor.len_bytes()?,
                (2, wire_type::LEN) => value = cursor.len_bytes()?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        if read.is_err() {
            // Not even an Any: there is nothing to keep.
            self.out.truncate(start - 1);
            return;
        }
        self.out.extend_from_slice(b"{\"@type\":");
        put_string(&mut self.out, &String::from_utf8_lossy(url));
        self.out.extend_from_slice(b",\"value\":\"");
        base64::encode(value, &mut self.out);
        self.out.extend_from_slice(b"\"}");
    }
}
