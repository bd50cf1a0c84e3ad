//! The saga. What it begins with and the steps' names are in logs: they are never given another meaning.

use aqueduct_saga::Call;
use aqueduct_saga::typed::{Action, Failure, Input, InvalidDefinition, Saga, Undo};
use serde::{Deserialize, Serialize};

use super::seats::Seats;
use crate::ledger::Step;

/// What a transfer begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) cents: i64,
}

impl Input for Transfer {
    const NAME: &'static str = "shop.transfer";
}

/// The steps of a transfer, at these participants.
pub(crate) fn transfer(seats: &Seats) -> Result<Saga<Transfer>, InvalidDefinition> {
    let (debit, credit, settle) = (Debit(seats.clone()), Credit(seats.clone()), Settle(seats.clone()));
    Saga::<Transfer>::builder().compensable(debit).pivot(credit).retriable(settle).build()
}

/// Takes the money from the payer, and holds it.
struct Debit(Seats);

/// Gives it to the receiver, who may spend it at once. It cannot be taken back: so it decides, and has no `undo`.
struct Credit(Seats);

/// Lets go what the payer's account holds.
struct Settle(Seats);

impl Action<Transfer> for Debit {
    type Needs = ();
    type Output = ();

    fn name(&self) -> &str {
        Step::Debit.as_str()
    }

    async fn execute(&self, call: &Call, input: &Transfer, (): ()) -> Result<(), Failure> {
        self.0.make(call, Step::Debit, input).await
    }
}

impl Undo<Transfer> for Debit {
    async fn undo(&self, call: &Call, input: &Transfer, (): (), _: Option<()>) -> Result<(), Failure> {
        self.0.make(call, Step::Debit, input).await
    }
}

impl Action<Transfer> for Credit {
    type Needs = ();
    type Output = ();

    fn name(&self) -> &str {
        Step::Credit.as_str()
    }

    async fn execute(&self, call: &Call, input: &Transfer, (): ()) -> Result<(), Failure> {
        self.0.make(call, Step::Credit, input).await
    }
}

impl Action<Transfer> for Settle {
    type Needs = ();
    type Output = ();

    fn name(&self) -> &str {
        Step::Settle.as_str()
    }

    async fn execute(&self, call: &Call, input: &Transfer, (): ()) -> Result<(), Failure> {
        self.0.make(call, Step::Settle, input).await
    }
}
