//! Tokens of a worker that are known to be good: a signature costs tens of microseconds to verify, and a client sends the same
//! token with every request.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::auth::{Identity, KeySet};

/// Tokens of one generation.
const MOST: usize = 4096;

/// Until when a token is good, and whose it is.
type Good = (u64, Rc<Identity>);

/// Bounded by two generations: when the newer is full, the older is forgotten, and whoever of it is asked for moves on.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Of which all that is kept was verified.
    keys: Option<Arc<KeySet>>,
    newer: HashMap<[u8; 32], Good, RandomState>,
    older: HashMap<[u8; 32], Good, RandomState>,
}

impl Tokens {
    /// Whose token has this SHA-256, if it was good by these keys and still is at this second.
    pub(crate) fn get(&mut self, digest: &[u8; 32], keys: &Arc<KeySet>, now: u64) -> Option<Rc<Identity>> {
        if !self.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            return None;
        }
        let found = self.newer.get(digest).cloned();
        let (until, identity) = if let Some(good) = found {
            good
        } else {
            let good = self.older.remove(digest)?;
            self.keep(*digest, good.clone());
            good
        };
        (now < until).then_some(identity)
    }

    pub(crate) fn put(&mut self, digest: [u8; 32], keys: &Arc<KeySet>, good: Good) {
        if !self.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            *self = Self { keys: Some(Arc::clone(keys)), ..Self::default() };
        }
        self.keep(digest, good);
    }

    fn keep(&mut self, digest: [u8; 32], good: Good) {
        if self.newer.len() >= MOST {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(digest, good);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> [u8; 32] {
        crate::auth::sha256(&number.to_le_bytes())
    }

    #[test]
    fn what_is_kept_is_bounded_and_ends_with_the_token_or_the_keys() {
        let (keys, others) = (Arc::<KeySet>::default(), Arc::<KeySet>::default());
        let mut tokens = Tokens::default();
        let who = Rc::new(Identity::of_key("a"));
        for number in 0..3 * MOST {
            tokens.put(digest(number), &keys, (10, Rc::clone(&who)));
        }
        assert!(tokens.newer.len() + tokens.older.len() <= 2 * MOST);
        assert!(tokens.get(&digest(0), &keys, 9).is_none(), "forgotten");
        let old = digest(3 * MOST - 1);
        assert!(tokens.get(&old, &keys, 9).is_some() && tokens.get(&old, &keys, 10).is_none());
        assert!(tokens.get(&old, &others, 9).is_none(), "verified by other keys");
    }
}
