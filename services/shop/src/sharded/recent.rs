//! How far a replica must be to be asked at all: as far as a heartbeat that this process committed at most Δ ago.
//!
//! A token alone says what its bearer has seen, which may be of any age. A replica that has it may lack all that came since, and
//! its answer would not say so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_shards::{SHARDS, Token};
use tokio::time::Instant;

/// More than there are in Δ.
const KEPT: usize = 16;

/// The last heartbeats of each shard's server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    delta: Duration,
    shards: Arc<[Mutex<Beats>; SHARDS as usize]>,
}

/// When they were sent, and what a replica that has them has at least.
type Beats = VecDeque<(Instant, Token)>;

impl Recent {
    pub(crate) fn new(delta: Duration) -> Self {
        Self { delta, shards: Arc::default() }
    }

    /// A heartbeat was committed in the first of these shards of one server; it was sent at `sent`.
    pub(crate) fn beat(&self, held: &[u8], token: &Token, sent: Instant) {
        let Some(first) = held.first() else { return };
        for shard in held {
            let Some(beats) = self.shards.get(usize::from(*shard)) else { continue };
            let mut beats = beats.lock().unwrap_or_else(PoisonError::into_inner);
            beats.push_back((sent, token.moved(*first, *shard)));
            if beats.len() > KEPT {
                beats.pop_front();
            }
        }
    }

    /// What a replica of the shard must have applied to answer a bearer of `token`; `None` if only the primary can.
    pub(crate) fn after(&self, shard: u8, token: &Token) -> Option<Token> {
        let beats = self.shards.get(usize::from(shard))?.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest that will do is the one that replicas are most likely to have.
        let (_, beat) = beats.iter().find(|(sent, _)| sent.elapsed() < self.delta)?;
        Some(beat.clone().merge(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_must_have_the_oldest_beat_that_is_not_older_than_delta() {
        let recent = Recent::new(Duration::from_secs(1));
        let [first, second, own] =
            ["2@0-1-7", "2@0-1-8", "3@0-1-5"].map(|text| Token::parse(text.as_bytes()).unwrap());
        let wanted = |shard| recent.after(shard, &own).map(|token| token.to_string());
        assert_eq!(wanted(3), None, "nothing was committed yet");
        recent.beat(&[2, 3], &first, Instant::now());
        tokio::time::advance(Duration::from_millis(600)).await;
        recent.beat(&[2, 3], &second, Instant::now());
        assert_eq!(wanted(3).as_deref(), Some("3@0-1-7"));
        assert_eq!(wanted(1), None, "another server");
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(wanted(3).as_deref(), Some("3@0-1-8"));
        let newer = Token::parse(b"3@0-1-9").unwrap();
        assert_eq!(recent.after(3, &newer), Some(newer));
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(wanted(3), None, "all of them are too old");
    }
}
