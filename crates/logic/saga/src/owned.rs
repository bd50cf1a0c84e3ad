//! A saga in this process's hands.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::OwnedSemaphorePermit;

pub(crate) use crate::held::Held;
use crate::id::SagaId;
use crate::log::tail::Tail;
use crate::shared::Shared;
use crate::show;
use crate::state::State;
use crate::store::{Header, Store, Stored};

/// A saga that is claimed, and how far it is.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) held: Held,
    pub(crate) state: State,
    /// The number of its last transition.
    pub(crate) seq: u64,
    /// How its log ends.
    pub(crate) tail: Tail,
    /// A place among those that were claimed, until the first transition.
    pub(crate) arrival: Option<OwnedSemaphorePermit>,
}

/// A saga that is claimed, and of which nobody knows how far it is.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) held: Held,
    pub(crate) header: Header,
}

impl Held {
    /// A hold on a saga that is about to be created, if there is a runner with room for it.
    pub(crate) fn at_birth<S: Store>(shared: &Shared<S>, id: &SagaId, epoch: u64) -> Option<Self> {
        if shared.runners.load(Relaxed) == 0 {
            return None;
        }
        let place = Arc::clone(&shared.room).try_acquire_owned().ok()?;
        Some(Self::new(&shared.held, id, epoch, place))
    }
}

/// What was claimed, ready to go on.
pub(crate) fn adopt<S: Store>(
    shared: &Shared<S>,
    stored: Stored,
    (place, arrival): (OwnedSemaphorePermit, OwnedSemaphorePermit),
) -> Result<Owned, Box<Broken>> {
    let folded = show::fold(&stored);
    let Header { epoch, seq, summary, due_at, .. } = &stored.header;
    let held = Held::new(&shared.held, &summary.id, *epoch, place).list(due_at.unwrap_or_default());
    match folded {
        Some((mut state, tail)) => {
            state.orphan();
            Ok(Owned { held, state, seq: *seq, tail, arrival: Some(arrival) })
        }
        None => Err(Box::new(Broken { held, header: stored.header })),
    }
}
