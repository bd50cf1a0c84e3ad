//! What ends a connection that does not end by itself: a drain, a long silence, a client that takes nothing, is gone, or does not come to the
//! end of a head. It costs requests nothing: it has a bell of its own, which only its timer and the drain ring.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Shared;
use crate::client::Overdue;
use crate::http2::frame::{Reason, Violation};
use crate::service::Host;

/// A client that is silent for so long while it has requests in flight is asked whether it is there …
const SILENCE: Duration = Duration::from_secs(30);
/// … and gone when it does not answer within this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks, at most.
const LOOK: Duration = Duration::from_secs(10);

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nobody is there any more who takes anything.
    HangUp(&'static str),
    Violation(Violation),
}

/// Looks now and then. A drain, or a long silence, lets what is in flight finish and tells the client to go.
pub(super) async fn watch<S>(shared: &Shared, host: &Host<'_, S>) -> Verdict {
    let Host { client, times, drain, .. } = host;
    let mut last = Instant::now();
    let (mut asked, mut left, mut block) = (None, None, None);
    loop {
        let now = Instant::now();
        let mut next = now + LOOK.min(times.head);
        match client.due(times, now) {
            Ok(due) => next = next.min(due),
            Err(Overdue::Write) => return Verdict::HangUp("it does not take its answer"),
            Err(_) if left.is_none() => {
                shared.leave();
                left = Some(now);
            }
            Err(_) => {}
        }
        if shared.take_heard() {
            (last, asked) = (now, None);
        }
        match asked {
            Some(asked) if now >= asked + PATIENCE => return Verdict::HangUp("it does not answer"),
            None if now >= last + SILENCE && !shared.is_quiet() => {
                shared.ping();
                asked = Some(now);
            }
            _ => {}
        }
        let open = shared.open_block();
        match block {
            Some((number, since)) if open == Some(number) => {
                if now >= since + times.head {
                    let what = "a header block that does not end";
                    return Verdict::Violation(Violation::new(Reason::ENHANCE_YOUR_CALM, what));
                }
            }
            _ => block = open.map(|number| (number, now)),
        }
        if let Some(since) = &mut left {
            if client.take_wrote() || client.is_busy() {
                *since = now;
            }
            // The other side may never answer the good-bye.
            if now >= *since + times.head {
                return Verdict::HangUp("it does not go");
            }
        }
        tokio::select! {
            biased;
            () = drain.started(), if left.is_none() => {
                shared.leave();
                left = Some(Instant::now());
            }
            () = tokio::time::sleep_until(next) => {}
        }
    }
}
