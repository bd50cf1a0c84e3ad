//! The backend's gRPC server reflection: one file an answer, and faults on request. Silent until a test gives it files.

use std::collections::BTreeMap;

use bytes::Bytes;
use h2::server::SendResponse;

use crate::backend::{Seen, frame, head, trailers};

/// Changes the answers to a reading's first questions, those for symbols. One that comes in the middle changes nothing.
pub(crate) type Fault = fn(&mut Vec<Vec<u8>>);

/// What the backend tells, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Reflector {
    /// Which of `v1` and `v1alpha` it serves.
    pub(crate) versions: Vec<&'static str>,
    /// `FileDescriptorProto`s by name. `echo.proto` has the service.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) fault: Option<Fault>,
    pub(crate) asked: Vec<String>,
}

impl Reflector {
    /// Tells what is in a `FileDescriptorSet`.
    pub(crate) fn tell(&mut self, versions: &[&'static str], set: &[u8]) {
        self.versions = versions.to_vec();
        let name = |file: &[u8]| String::from_utf8(fields(file)[0].1.clone()).unwrap();
        self.files = fields(set).into_iter().map(|(_, file)| (name(&file), file)).collect();
    }

    fn answers(&mut self, wire: &[u8]) -> Vec<Vec<u8>> {
        let (mut answers, mut is_first) = (Vec::new(), false);
        let mut rest = wire;
        while let Some((length, more)) = rest.get(1..).and_then(<[u8]>::split_first_chunk::<4>) {
            let (request, next) = more.split_at(u32::from_be_bytes(*length) as usize);
            rest = next;
            let (field, name) = fields(request).remove(0);
            let name = String::from_utf8(name).unwrap();
            is_first |= field == 4;
            let file = match field {
                3 => self.files.get(&name),
                4 if name == "test.v1.Echo" => self.files.get("echo.proto"),
                _ => None,
            };
            answers.push(match file {
                Some(file) => put(4, &put(1, file)),
                None => put(7, &[&[8, 5][..], &put(2, b"not here")].concat()),
            });
            self.asked.push(name);
        }
        if let Some(fault) = self.fault.filter(|_| is_first) {
            fault(&mut answers);
        }
        answers
    }
}

/// Answers `ServerReflectionInfo` once all requests are there.
pub(crate) fn answer(path: &str, wire: &[u8], mut respond: SendResponse<Bytes>, seen: &Seen) {
    let mut reflector = seen.reflector.lock().unwrap();
    if !reflector.versions.iter().any(|version| path.contains(&format!(".{version}."))) {
        let mut response = head();
        response.headers_mut().extend(trailers("12 no reflection"));
        return drop(respond.send_response(response, true));
    }
    let answers = reflector.answers(wire);
    let mut send = respond.send_response(head(), false).unwrap();
    for answer in answers {
        drop(send.send_data(frame(&answer), false));
    }
    drop(send.send_trailers(trailers("0")));
}

/// A field of bytes.
pub(crate) fn put(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(bytes);
    out
}

/// The fields of a message that has fields of bytes only, up to the first that is another.
pub(crate) fn fields(mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut fields = Vec::new();
    while let [key, rest @ ..] = wire
        && key & 7 == 2
    {
        let bytes = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (length, rest) = rest.split_at(bytes);
        let length = length.iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        let (value, rest) = rest.split_at(length);
        fields.push((key >> 3, value.to_vec()));
        wire = rest;
    }
    fields
}
