//! Rows as bytes.

use bytes::Bytes;

use super::{Event, Row, Spot};
use crate::plan::{Definition, Kind, Op, Plan, PlanStep};
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;

pub(super) fn encode(row: &Row) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    out.number(row.at);
    out.number(row.epoch);
    out.number(row.prev);
    out.number(row.events.len() as u64);
    for event in &row.events {
        out.event(event);
    }
    out.sealed()
}

pub(super) fn decode(bytes: &[u8]) -> Option<Row> {
    let mut from = Reader::unsealed(bytes, VERSION)?;
    let (at, epoch, prev, count) = (from.number()?, from.number()?, from.number()?, from.number()?);
    let events = (0..count).map(|_| from.event()).collect::<Option<Vec<_>>>()?;
    from.is_empty().then_some(Row { at, epoch, prev, events })
}

impl Writer {
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
                self.maybe(*deadline_at);
            }
            Event::Sent { spot, attempt } => {
                self.byte(2);
                self.spot(*spot);
                self.number(u64::from(*attempt));
            }
            Event::Done { spot, output } => self.about(3, *spot, output),
            Event::Rejected { spot, reason } => self.about(4, *spot, reason.as_bytes()),
            Event::Unknown { spot, attempt, failures, reason, retry_at } => {
                self.about(5, *spot, reason.as_bytes());
                self.number(u64::from(*attempt));
                self.number(u64::from(*failures));
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
            Definition::Typed { name, hash, input } => {
                self.byte(1);
                self.bytes(name.as_bytes());
                self.hash(hash);
                self.bytes(input);
            }
        }
        self.hash(&plan.fingerprint);
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

impl Reader<'_> {
    fn short(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
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
                Event::Created { plan, context, deadline_at: self.maybe()? }
            }
            2 => Event::Sent { spot: self.spot()?, attempt: self.short()? },
            3 => Event::Done { spot: self.spot()?, output: Bytes::copy_from_slice(self.bytes()?) },
            4 => Event::Rejected { spot: self.spot()?, reason: self.text()? },
            5 => {
                let (spot, reason) = (self.spot()?, self.text()?);
                let (attempt, failures) = (self.short()?, self.short()?);
                Event::Unknown { spot, attempt, failures, reason, retry_at: self.number()? }
            }
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
            1 => {
                let (name, hash) = (self.text()?, self.hash()?);
                Definition::Typed { name, hash, input: Bytes::copy_from_slice(self.bytes()?) }
            }
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
