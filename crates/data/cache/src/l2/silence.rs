//! Whether a part of the cluster has not answered for so long that it is the client that is stuck.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::key::PARTS;

/// Without any answer for so long, and to so many commands, the client is taken to be stuck: redis-rs can go on for minutes asking a
/// node that does not answer any more, after a failover. A fresh one learns what the cluster is like now.
const STUCK: (Duration, u32) = (Duration::from_secs(2), 8);

/// Commands since the last answer, of each part of the cluster: when the first began, and how many. Of each, since the client may know
/// all masters but one.
#[derive(Debug)]
pub(super) struct Silence(Mutex<[Option<(Instant, u32)>; PARTS]>);

impl Default for Silence {
    fn default() -> Self {
        Self(Mutex::new([None; PARTS]))
    }
}

impl Silence {
    fn parts(&self) -> MutexGuard<'_, [Option<(Instant, u32)>; PARTS]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command begins. Answers whether those before it have heard nothing for too long.
    pub(super) fn begin(&self, part: usize) -> bool {
        let (long, many) = STUCK;
        let mut parts = self.parts();
        let (since, count) = parts[part].get_or_insert_with(|| (Instant::now(), 0));
        let stuck = *count >= many && since.elapsed() >= long;
        *count = count.saturating_add(1);
        stuck
    }

    /// The part has answered.
    pub(super) fn heard(&self, part: usize) {
        self.parts()[part] = None;
    }

    /// There is another client.
    pub(super) fn forget(&self) {
        *self.parts() = [None; PARTS];
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Silence};
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_is_silent_is_noticed_while_the_others_answer() {
        let silence = Silence::default();
        for second in 0..20_u32 {
            let noticed = silence.begin(3);
            assert_eq!(noticed, second >= 8, "after {second} seconds and as many commands");
            assert!(!silence.begin(4));
            silence.heard(4);
            advance(Duration::from_secs(1)).await;
        }
        silence.heard(3);
        assert!(!silence.begin(3), "it has answered");
    }

    #[tokio::test(start_paused = true)]
    async fn many_commands_at_once_are_no_silence_and_a_fresh_client_begins_anew() {
        let silence = Silence::default();
        assert!((0..100).all(|_| !silence.begin(0)), "none has waited long");
        advance(Duration::from_secs(2)).await;
        assert!(silence.begin(0));
        silence.forget();
        assert!(!silence.begin(0));
    }
}
