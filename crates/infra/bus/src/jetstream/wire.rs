//! A record as a message of NATS: the topic in the subject, all else beside the payload in headers.

use std::fmt::Write as _;
use std::sync::Arc;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::Error;
use crate::publish::DedupId;
use crate::record::{Draft, Header, Record};

const SOURCE: &str = "Aqueduct-Source";
const EPOCH: &str = "Aqueduct-Epoch";
const SEQ: &str = "Aqueduct-Seq";
const KEY: &str = "Aqueduct-Key";
/// Before the names of a draft's own headers.
const OWN: &str = "Aqueduct-H-";
const MSG_ID: &str = "Nats-Msg-Id";
const EXPECTED: &str = "Nats-Expected-Last-Sequence";

/// A record's number: an epoch, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

/// The subject of a topic.
pub(super) fn subject(prefix: &str, topic: &str) -> Result<String, Error> {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>'))
    };
    if topic.split('.').all(word) {
        Ok(format!("{prefix}.{topic}"))
    } else {
        Err(Error::Topic(topic.to_owned()))
    }
}

/// The headers of a record, and what the stream's last sequence must be before it.
pub(super) fn headers(source: &str, number: Number, id: &DedupId, draft: &Draft, expected: u64) -> HeaderMap {
    let Number { epoch, seq } = number;
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    };
    put(SOURCE, source.to_owned());
    put(EPOCH, epoch.to_string());
    put(SEQ, seq.to_string());
    put(MSG_ID, format!("{source}/{epoch}/{seq}/{}", id.as_str()));
    put(EXPECTED, expected.to_string());
    if !draft.key.is_empty() {
        put(KEY, escape(&draft.key));
    }
    for Header { name, value } in &draft.headers {
        headers.append(format!("{OWN}{}", escape(name.as_bytes())).as_str(), escape(value).as_str());
    }
    headers
}

/// Whose record it is; `None` when no publisher of ours wrote it.
pub(super) fn number(headers: &HeaderMap, source: &str) -> Option<Number> {
    let text = |name: &str| Some(headers.get(name)?.as_str());
    let number = |name| text(name)?.parse().ok();
    (text(SOURCE)? == source).then_some(Number { epoch: number(EPOCH)?, seq: number(SEQ)? })
}

/// The record in a message.
pub(super) fn record(
    prefix: &str,
    source: &Arc<str>,
    number: Number,
    message: async_nats::Message,
) -> Record {
    let topic =
        message.subject.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    let headers = message.headers.unwrap_or_default();
    let own = headers.iter().filter_map(|(name, values)| {
        let name: Arc<str> = String::from_utf8(unescape(name_of(name).strip_prefix(OWN)?)).ok()?.into();
        Some(
            values
                .iter()
                .map(move |value| Header { name: Arc::clone(&name), value: unescape(value.as_str()).into() }),
        )
    });
    Record {
        topic: topic.into(),
        key: headers.get(KEY).map_or_else(Bytes::new, |key| unescape(key.as_str()).into()),
        source: Arc::clone(source),
        epoch: number.epoch,
        seq: number.seq,
        headers: own.flatten().collect(),
        payload: message.payload,
    }
}

fn name_of(name: &HeaderName) -> &str {
    name.as_ref()
}

/// Visible ASCII without `%` and `:` as it is, all else as `%0A`: a header is a line of text.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b':') {
            text.push(char::from(*byte));
        } else {
            let written = write!(text, "%{byte:02X}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }
    text
}

/// What is no escape stays as it is.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, hex(0), hex(1)) {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Number, headers, number, record, subject};
    use crate::publish::DedupId;
    use crate::record::{Draft, Header};

    #[test]
    fn a_record_comes_out_as_it_went_in() {
        let mut draft = Draft::new("orders.changed", vec![0, b'%', b'a', b'\r', b'\n', 0xff], "payload");
        let header = |name: &str, value: &'static [u8]| Header { name: name.into(), value: value.into() };
        draft.headers = vec![header("trace", b"a: b\r\n"), header("col our", b"")];
        let at = Number { epoch: 7, seq: 9 };
        let map = headers("primary-0", at, &DedupId::new("0-1-42/0"), &draft, 3);
        assert_eq!(map.get("Nats-Msg-Id").unwrap().as_str(), "primary-0/7/9/0-1-42/0");
        assert_eq!(number(&map, "primary-0"), Some(at));
        assert_eq!(number(&map, "primary-1"), None);
        let message = async_nats::Message {
            subject: subject("aqueduct.primary-0", &draft.topic).unwrap().into(),
            reply: None,
            payload: draft.payload.clone(),
            headers: Some(map),
            status: None,
            description: None,
            length: 0,
        };
        let mut back = record("aqueduct.primary-0", &Arc::from("primary-0"), at, message);
        back.headers.sort_by(|a, b| b.name.cmp(&a.name));
        assert_eq!((&back.topic, &back.key, &back.payload), (&draft.topic, &draft.key, &draft.payload));
        assert_eq!((&*back.source, back.epoch, back.seq), ("primary-0", 7, 9));
        assert_eq!(back.headers, draft.headers);
    }

    #[test]
    fn a_topic_that_is_no_subject_is_refused() {
        for topic in ["", ".", "a.", "a b", "a.*", ">", "ä"] {
            assert!(subject("aqueduct.s", topic).is_err(), "{topic:?}");
        }
    }
}
