//! Where the two participants are: in this process, in the shards, or in a process of their own.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::context::Context;
use aqueduct_saga::typed::Failure;
use aqueduct_saga::{Call, Op};

use super::definition::Transfer;
use super::{COLOR_HEADER, TRACEPARENT, log_step};
use crate::error::OpenError;
use crate::ledger::remote::Remote;
use crate::ledger::sharded::Ledgers;
use crate::ledger::{Ledger, Move, Opened, Refused, Side, Step};
use crate::options::Options;
use crate::proto::shop::Account;

/// The participants, `a` and `b`. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Seats(Arc<[Seat; 2]>);

/// Where one is.
#[derive(Debug)]
pub(crate) enum Seat {
    Here(Ledger),
    /// Of every process of the system.
    Shards(Ledgers),
    There(Box<Remote>),
    /// Does what a test has written.
    #[cfg(test)]
    Scripted(super::tests::Script),
}

impl Seats {
    /// Opens those that are here, in folders within the data folder.
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        Self::of(options, |side| {
            let folder = options.data_dir.join(format!("accounts-{side}"));
            Ledger::open(&folder, side, barrier_kept(options.transfers_kept)).map(Seat::Here)
        })
    }

    /// Those that have no process of their own are in the shards.
    pub(crate) fn on_shards(options: &Options, ledgers: &Ledgers) -> Result<Self, OpenError> {
        Self::of(options, |_| Ok(Seat::Shards(ledgers.clone())))
    }

    fn of(options: &Options, own: impl Fn(Side) -> Result<Seat, OpenError>) -> Result<Self, OpenError> {
        let seat = |side: Side| match &options.participants[side as usize] {
            Some(address) => Ok(Seat::There(Box::new(Remote::new(address)?))),
            None => own(side),
        };
        Ok(Self(Arc::new([seat(Side::A)?, seat(Side::B)?])))
    }

    #[cfg(test)]
    pub(crate) fn of_seats(seats: [Seat; 2]) -> Self {
        Self(Arc::new(seats))
    }

    fn seat(&self, account: i64) -> &Seat {
        &self.0[Side::of(account) as usize]
    }

    /// Those in this process.
    pub(crate) fn here(&self) -> Vec<Ledger> {
        let here = |seat: &Seat| if let Seat::Here(ledger) = seat { Some(ledger.clone()) } else { None };
        self.0.iter().filter_map(here).collect()
    }

    /// Where the others are.
    pub(crate) fn there(&self) -> Vec<(Side, Box<Remote>)> {
        let there = |(side, seat): (Side, &Seat)| match seat {
            Seat::There(remote) => Some((side, remote.clone())),
            Seat::Here(_) | Seat::Shards(_) => None,
            #[cfg(test)]
            Seat::Scripted(_) => None,
        };
        Side::ALL.into_iter().zip(self.0.iter()).filter_map(there).collect()
    }

    /// Resolves with the reason when the store of one that is here has failed.
    pub(crate) async fn failed(&self) -> String {
        match &self.here()[..] {
            [] => std::future::pending().await,
            [one] => one.failed().await,
            [one, other, ..] => tokio::select! {
                reason = one.failed() => reason,
                reason = other.failed() => reason,
            },
        }
    }

    pub(crate) async fn open_account(&self, id: i64, cents: i64) -> Result<Opened<Account>, Refused> {
        match self.seat(id) {
            Seat::Here(ledger) => ledger.open_account(id, cents).await,
            Seat::Shards(ledgers) => ledgers.open_account(id, cents).await,
            Seat::There(remote) => remote.open_account(id, cents).await,
            #[cfg(test)]
            Seat::Scripted(_) => Err(Refused::Unknown("it has no accounts".into())),
        }
    }

    pub(crate) async fn account(&self, id: i64) -> Result<Option<Account>, Refused> {
        match self.seat(id) {
            // A few microseconds, mostly from memory: handing it to a blocking thread would cost more than it takes.
            Seat::Here(ledger) => ledger.account(id),
            Seat::Shards(ledgers) => ledgers.account(id).await,
            Seat::There(remote) => remote.account(id).await,
            #[cfg(test)]
            Seat::Scripted(_) => Ok(None),
        }
    }

    /// Makes one attempt at a step, or at its undoing, as the call says.
    pub(crate) async fn make(&self, call: &Call, step: Step, input: &Transfer) -> Result<(), Failure> {
        let step = Move {
            transfer: call.saga.to_string(),
            step,
            undo: call.op == Op::Compensate,
            from: input.from,
            to: input.to,
            cents: input.cents,
        };
        let (context, color) = onward(&call.context);
        let made = match self.seat(step.account()) {
            Seat::Here(ledger) => {
                log_step(&step, ledger.side(), &context, color);
                ledger.make(step).await
            }
            Seat::Shards(ledgers) => {
                log_step(&step, Side::of(step.account()), &context, color);
                ledgers.make(step).await
            }
            Seat::There(remote) => {
                let traceparent = String::from_utf8_lossy(&context.traceparent()).into_owned();
                let trace = (TRACEPARENT.to_owned(), traceparent);
                let color = color.map(|color| (COLOR_HEADER.to_owned(), color.to_owned()));
                let along: Vec<_> = std::iter::once(trace).chain(color).collect();
                remote.make(step, &along, call.timeout).await
            }
            #[cfg(test)]
            Seat::Scripted(script) => script.make(&step),
        };
        made.map_err(|refused| match refused {
            Refused::Rejected(why) => Failure::Rejected(why),
            Refused::Aborted => Failure::Rejected("it was undone before it arrived".into()),
            Refused::Unknown(why) => Failure::Unknown(why),
        })
    }
}

/// Longer than transfers are kept, so that one that is sent once more at the last moment finds its steps made.
pub(crate) fn barrier_kept(transfers_kept: Duration) -> Duration {
    transfers_kept.saturating_mul(2)
}

/// What the submission brought, for one more hop: a new span of its trace, and its colour.
fn onward(context: &[(String, String)]) -> (Context, Option<&str>) {
    let find = |name: &str| context.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let parent = find(TRACEPARENT).and_then(|parent| Context::parse_traceparent(parent.as_bytes()).ok());
    (parent.map_or_else(|| Context::new_root(false), |parent| parent.child()), find(COLOR_HEADER))
}
