//! Headers as bytes; the id is the key.

use crate::id::SagaId;
use crate::store::Header;
use crate::view::{Status, Summary};
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;

pub(super) fn encode(header: &Header) -> Vec<u8> {
    let Header { summary, epoch, seq, due_at, fingerprint } = header;
    let mut out = Writer::new(VERSION);
    let status = Status::ALL.iter().position(|status| *status == summary.status).unwrap_or_default();
    out.number(status as u64);
    out.number(*epoch);
    out.number(*seq);
    out.maybe(*due_at);
    out.number(summary.created_at);
    out.maybe(summary.deadline_at);
    out.maybe(summary.finished_at);
    out.hash(fingerprint);
    out.bytes(summary.definition.as_bytes());
    out.bytes(summary.reason.as_bytes());
    out.sealed()
}

pub(super) fn decode(id: SagaId, bytes: &[u8]) -> Option<Header> {
    let mut from = Reader::unsealed(bytes, VERSION)?;
    let status = *Status::ALL.get(usize::try_from(from.number()?).ok()?)?;
    let (epoch, seq, due_at) = (from.number()?, from.number()?, from.maybe()?);
    let (created_at, deadline_at, finished_at) = (from.number()?, from.maybe()?, from.maybe()?);
    let fingerprint = from.hash()?;
    let (definition, reason) = (from.text()?, from.text()?);
    let summary = Summary { id, status, reason, definition, created_at, deadline_at, finished_at };
    from.is_empty().then_some(Header { summary, epoch, seq, due_at, fingerprint })
}
