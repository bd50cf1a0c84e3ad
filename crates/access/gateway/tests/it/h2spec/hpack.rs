//! h2spec's `hpack`: blocks that nobody can read.

use super::*;

pub(super) fn cases() -> Vec<Case> {
    let get = block(&request("GET", "/v1/say/x"));
    let behind = |name, rest: &[u8]| {
        let block = [&get[..], rest].concat();
        at_once(name, &[frame(HEADERS, WHOLE, 1, &block)], Connection(&[COMPRESSION]))
    };
    let larger = [b"\x3f\xe2\x1f", &get[..]].concat();
    vec![
        behind("hpack/2.3.3/1", b"\xfe"),
        behind("hpack/4.2/1", b"\x21"),
        behind("hpack/5.2/1", b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        behind("hpack/5.2/2", b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),
        behind("hpack/5.2/3", b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\xff\xff\xff\xfd\x25\x42\x7f"),
        behind("hpack/6.1/1", b"\x80"),
        at_once("hpack/6.3/1", &[frame(HEADERS, WHOLE, 1, &larger)], Connection(&[COMPRESSION])),
    ]
}
