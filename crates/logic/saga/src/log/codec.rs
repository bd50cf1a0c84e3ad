//! Rows as bytes: a version, the fields with lengths and numbers as LEB128, and a checksum at the end.

use bytes::Bytes;

use super::{Event, Row, Spot};
use crate::plan::{Definition, Kind, Op, Plan, PlanStep};

const VERSION: u8 = 1;
const SUM: usize = 8;

pub(super) fn encode(row: &Row) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(64));
    out.byte(VERSION);
    out.number(row.at);
    out.number(row.epoch);
    out.number(row.events.len() as u64);
    for event in &row.events {
        out.event(event);
    }
    let sum = checksum(&out.0);
    out.0.extend(sum.to_le_bytes());
    out.0
}

pub(super) fn decode(bytes: &[u8]) -> Option<Row> {
    let (body, sum) = bytes.split_last_chunk::<SUM>()?;
    if checksum(body) != u64::from_le_bytes(*sum) {
        return None;
    }
    let mut from = Reader(body);
    if from.byte()? != VERSION {
        return None;
    }
    let (at, epoch, count) = (from.number()?, from.number()?, from.number()?);
    let events = (0..count).map(|_| from.event()).collect::<Option<Vec<_>>>()?;
    from.0.is_empty().then_some(Row { at, epoch, events })
}

/// FNV-1a, 64 bits: it finds what a disk or a hand does to a row, and need not withstand anyone.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn spot(&mut self, spot: Spot) {
        self.number(spot.step as u64 * 2 + u64::from(spot.op == Op::Compensate));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Created { plan, context, deadline_at } => {
                self.byte(1);
                self.plan(plan);
                self.number(context.len() as u64);
                for (key, value) in context {
                    self.bytes(key.as_bytes());
                    self.bytes(value.as_bytes());
                }
                self.number(deadline_at.map_or(0, |at| at.saturating_add(1)));
            }
            Event::Sent { spot, attempt } => {
                self.byte(2);
                self.spot(*spot);
                self.number(u64::from(*attempt));
            }
            Event::Done { spot, output } => self.about(3, *spot, output),
            Event::Rejected { spot, reason } => self.about(4, *spot, reason.as_bytes()),
            Event::Unknown { spot, reason, retry_at } => {
                self.about(5, *spot, reason.as_bytes());
                self.number(*retry_at);
            }
            Event::Withdrawn { spot } => {
                self.byte(6);
                self.spot(*spot);
            }
            Event::Turned { reason } => self.text(7, reason),
            Event::Completed => self.byte(8),
            Event::Compensated => self.byte(9),
            Event::Parked { spot: Some(spot), reason } => self.about(10, *spot, reason.as_bytes()),
            Event::Parked { spot: None, reason } => self.text(11, reason),
            Event::Retried { actor } => self.text(12, actor),
            Event::Skipped { actor } => self.text(13, actor),
            Event::Abandoned { actor } => self.text(14, actor),
        }
    }

    fn about(&mut self, tag: u8, spot: Spot, bytes: &[u8]) {
        self.byte(tag);
        self.spot(spot);
        self.bytes(bytes);
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.byte(tag);
        self.bytes(text.as_bytes());
    }

    fn plan(&mut self, plan: &Plan) {
        match &plan.definition {
            Definition::Dynamic => self.byte(0),
            Definition::Typed { name, hash } => {
                self.byte(1);
                self.bytes(name.as_bytes());
                self.0.extend_from_slice(hash);
            }
        }
        self.0.extend_from_slice(&plan.fingerprint);
        self.number(plan.steps.len() as u64);
        for step in &plan.steps {
            self.bytes(step.name.as_bytes());
            let kind = match step.kind {
                Kind::Compensable => 0,
                Kind::Pivot => 1,
                Kind::Retriable => 2,
            };
            self.byte(kind | u8::from(step.together) << 2);
            self.bytes(step.target.as_bytes());
            self.bytes(&step.payload);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&[u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn hash(&mut self) -> Option<[u8; 32]> {
        let (hash, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(*hash)
    }

    fn spot(&mut self) -> Option<Spot> {
        let number = self.number()?;
        let op = if number & 1 == 0 { Op::Execute } else { Op::Compensate };
        Some(Spot { step: usize::try_from(number >> 1).ok()?, op })
    }

    fn event(&mut self) -> Option<Event> {
        Some(match self.byte()? {
            1 => {
                let plan = self.plan()?;
                let count = self.number()?;
                let context =
                    (0..count).map(|_| Some((self.text()?, self.text()?))).collect::<Option<Vec<_>>>()?;
                Event::Created { plan, context, deadline_at: self.number()?.checked_sub(1) }
            }
            2 => Event::Sent { spot: self.spot()?, attempt: u32::try_from(self.number()?).ok()? },
            3 => Event::Done { spot: self.spot()?, output: Bytes::copy_from_slice(self.bytes()?) },
            4 => Event::Rejected { spot: self.spot()?, reason: self.text()? },
            5 => Event::Unknown { spot: self.spot()?, reason: self.text()?, retry_at: self.number()? },
            6 => Event::Withdrawn { spot: self.spot()? },
            7 => Event::Turned { reason: self.text()? },
            8 => Event::Completed,
            9 => Event::Compensated,
            10 => Event::Parked { spot: Some(self.spot()?), reason: self.text()? },
            11 => Event::Parked { spot: None, reason: self.text()? },
            12 => Event::Retried { actor: self.text()? },
            13 => Event::Skipped { actor: self.text()? },
            14 => Event::Abandoned { actor: self.text()? },
            _ => return None,
        })
    }

    fn plan(&mut self) -> Option<Plan> {
        let definition = match self.byte()? {
            0 => Definition::Dynamic,
            1 => Definition::Typed { name: self.text()?, hash: self.hash()? },
            _ => return None,
        };
        let fingerprint = self.hash()?;
        let count = self.number()?;
        let steps = (0..count).map(|_| self.step()).collect::<Option<Vec<_>>>()?;
        Some(Plan { definition, steps, fingerprint })
    }

    fn step(&mut self) -> Option<PlanStep> {
        let name = self.text()?;
        let flags = self.byte()?;
        let kind = match flags & 3 {
            0 => Kind::Compensable,
            1 => Kind::Pivot,
            2 => Kind::Retriable,
            _ => return None,
        };
        let (target, payload) = (self.text()?, Bytes::copy_from_slice(self.bytes()?));
        Some(PlanStep { name, kind, target, payload, together: flags & 4 != 0 })
    }
}
