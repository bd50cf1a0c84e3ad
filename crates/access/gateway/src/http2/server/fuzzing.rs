//! What a server says is HTTP/2, whatever it hears: for the fuzz target.

use std::collections::HashMap;

use crate::http2::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, LONGEST, PING, RESET,
    SETTINGS, WINDOW_UPDATE,
};
use crate::http2::hpack::Decoder;

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Answer {
    Interim,
    Begun,
    Ended,
}

/// What was sent.
#[derive(Debug)]
pub(crate) struct Sent;

impl Sent {
    /// Frames of the right kinds, lengths and order; heads that can be decoded. The last frame may be cut off.
    pub(crate) fn check(mut bytes: &[u8]) {
        let mut decoder = Decoder::new(1 << 20, usize::MAX);
        let mut answers: HashMap<u32, Answer> = HashMap::new();
        let (mut first, mut gone) = (true, u32::MAX);
        while let Some(head) = bytes.first_chunk::<HEAD>() {
            let head = Head::read(head);
            let Some(payload) = bytes.get(HEAD..HEAD + head.length) else { return };
            bytes = bytes.get(HEAD + head.length..).unwrap_or_default();
            assert!(!first || head.kind == SETTINGS && !head.has(ACK), "the first frame is {head:?}");
            first = false;
            assert!(head.length <= LONGEST, "{head:?}");
            match head.kind {
                HEADERS => {
                    assert!(head.has(END_HEADERS), "answers are short here");
                    let block = decoder.decode(payload).ok();
                    let block = block.filter(|block| block.wrong.is_none() && block.asked.is_none());
                    let Some(block) = block else {
                        unreachable!("a block that we would not read: {payload:?}")
                    };
                    let before = answers.get(&head.stream).copied();
                    let now = match block.status {
                        Some(status) if status.is_informational() => Answer::Interim,
                        Some(_) => Answer::Begun,
                        None => Answer::Ended,
                    };
                    let follows = match before {
                        None => now < Answer::Ended,
                        Some(Answer::Interim) => now == Answer::Begun,
                        Some(Answer::Begun) => now == Answer::Ended && head.has(END_STREAM),
                        Some(Answer::Ended) => false,
                    };
                    assert!(follows, "{now:?} behind {before:?} on {}", head.stream);
                    answers.insert(head.stream, if head.has(END_STREAM) { Answer::Ended } else { now });
                }
                DATA => {
                    assert_eq!(answers.get(&head.stream), Some(&Answer::Begun), "data on {}", head.stream);
                    if head.has(END_STREAM) {
                        answers.insert(head.stream, Answer::Ended);
                    }
                }
                // Behind the end it says that the rest of the request is not wanted.
                RESET => {
                    answers.insert(head.stream, Answer::Ended);
                }
                GOAWAY => {
                    let last = payload.first_chunk().map_or(0, |last| u32::from_be_bytes(*last));
                    assert!(last <= gone, "a good-bye that takes back another");
                    gone = last;
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                CONTINUATION => unreachable!("answers are short here"),
                kind => unreachable!("a frame of kind {kind}"),
            }
        }
    }
}
