//! `admit`: whether the upstream gets one request more. Beyond its bound requests wait, for a short time and in a short
//! queue; what would only grow old in it is refused at once, so that the client may go elsewhere.
//!
//! An adaptive breaker has its place here, before the bound: it refuses what the upstream would fail.

use aqueduct_transcode::Code;

use crate::reject::Reject;
use crate::stage::Stage;
use crate::upstream::Upstream;
use crate::upstream::gate::{NoPlace, Permit};

/// A place among the upstream's requests, to be held until the answer is complete; `None` when it has no bound.
pub(crate) async fn admit(upstream: &Upstream) -> Result<Option<Permit>, Reject> {
    let Some(gate) = &upstream.gate else { return Ok(None) };
    if let Some(permit) = gate.try_enter() {
        return Ok(Some(permit));
    }
    // In a box, so that those who need not wait do not carry the room for it.
    Box::pin(gate.enter()).await.map(Some).map_err(|why| shed(&upstream.name, why))
}

/// UNAVAILABLE rather than RESOURCE_EXHAUSTED: the upstream is busy, whoever asks, and a try elsewhere or later may help.
#[cold]
fn shed(upstream: &str, why: NoPlace) -> Reject {
    let (reason, message) = match why {
        NoPlace::QueueFull => ("queue_full", "the queue for the upstream is full"),
        NoPlace::QueueTimeout => ("queue_timeout", "the upstream had no room in time"),
    };
    Reject::new(Stage::Admit, reason, Code::Unavailable, message)
        .with_inside(format!("{message}: {upstream}"))
        .with_retry_after(1)
}
