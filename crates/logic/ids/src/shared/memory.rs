//! A register in memory, for tests of what is built on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Entry, Register, RegisterError, Row, Settings};

/// Rows that live as long as the last clone. It never fails, and nothing in it is durable.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    settings: Option<Settings>,
    rows: BTreeMap<u16, Entry>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register for Memory {
    fn place(&self) -> String {
        "the register in memory".to_owned()
    }

    async fn settings(&self, proposed: Settings) -> Result<Settings, RegisterError> {
        Ok(*self.state().settings.get_or_insert(proposed))
    }

    async fn read(&self) -> Result<Vec<(u16, Entry)>, RegisterError> {
        Ok(self.state().rows.iter().map(|(worker, entry)| (*worker, entry.clone())).collect())
    }

    async fn swap(&self, worker: u16, expect: u64, row: Row) -> Result<Option<u64>, RegisterError> {
        let rows = &mut self.state().rows;
        if rows.get(&worker).map_or(0, |entry| entry.version) != expect {
            return Ok(None);
        }
        let version = expect + 1;
        rows.insert(worker, Entry { version, row });
        Ok(Some(version))
    }
}
