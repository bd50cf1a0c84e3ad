//! The second level as the auditor sees it.

use super::Tier;
use crate::audit::{Cached, Level};
use crate::l2::{Backend, Found, Key};
use std::fmt::Display;

/// Keys are told apart by their text, as in [`Tier::load`].
impl<K, V, B> Level<K, V> for Tier<V, B>
where
    K: Display + Sync,
    V: Clone + Send + Sync + 'static,
    B: Backend,
{
    async fn peek(&self, key: &K) -> Option<Cached<V>> {
        let inner = &*self.inner;
        Some(match inner.store.get(&self.key(key)?).await.ok()? {
            Found::Live(entry) if entry.fresh.is_zero() => return None,
            Found::Live(entry) => {
                Cached { version: inner.shown(entry.version), value: Some(inner.codec.decode(entry.data?)?) }
            }
            Found::Negative(entry) => Cached { version: inner.shown(entry.version), value: None },
            Found::Floor(_) | Found::Miss => return None,
        })
    }

    async fn repair(&self, key: &K, cached: &Cached<V>, newer: Option<u64>) -> bool {
        let store = &self.inner.store;
        let Some(key) = self.key(key) else { return false };
        match newer {
            _ if self.inner.is_bounded() => store.mark(&key).await.is_ok(),
            Some(newer) => store.invalidate(&key, newer).await.is_ok(),
            // A tombstone above the row's version cannot be taken back: it ends by itself.
            None if cached.value.is_none() => false,
            None => store.discard(&key, cached.version).await.is_ok(),
        }
    }
}

impl<V: Clone + Send + Sync + 'static, B: Backend> Tier<V, B> {
    fn key(&self, key: &impl Display) -> Option<Key> {
        let (epoch, _) = self.inner.epochs.get(&self.inner.table);
        Some(Key::new(&self.inner.table, &key.to_string()).ok()?.epoch(epoch))
    }
}
