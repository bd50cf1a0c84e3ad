//! The tables' epochs: what makes everything older of a table a miss where single keys cannot be told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// The epochs of all tables, as this process knows them. Who follows the changes raises them before it raises the second level's
/// watermark; a tier reads and fills in the epoch that is known when its load begins. One per process; a clone is another handle.
#[derive(Debug, Clone, Default)]
pub struct Epochs {
    tables: Arc<Mutex<HashMap<String, Table>>>,
}

// A mutex: loads ask, hits in memory do not.
#[derive(Debug, Clone, Copy, Default)]
struct Table {
    epoch: u64,
    raised: Option<Instant>,
}

impl Epochs {
    /// Every table is in epoch 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises a table's epoch; it never goes down. What was filled in below it is a miss from here on, and what is loaded within
    /// the visible lag after it is not filled in.
    pub fn raise(&self, table: &str, epoch: u64) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.entry(table.to_owned()).or_default();
        if epoch > known.epoch {
            *known = Table { epoch, raised: Some(Instant::now()) };
        }
    }

    /// A table's epoch.
    pub fn of(&self, table: &str) -> u64 {
        self.get(table).0
    }

    /// A table's epoch, and when it was raised to it.
    pub(crate) fn get(&self, table: &str) -> (u64, Option<Instant>) {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).map_or((0, None), |table| (table.epoch, table.raised))
    }
}

#[cfg(test)]
mod tests {
    use super::Epochs;

    #[tokio::test(start_paused = true)]
    async fn an_epoch_never_goes_down() {
        let epochs = Epochs::new();
        assert_eq!(epochs.get("orders"), (0, None));
        epochs.raise("orders", 3);
        let (_, raised) = epochs.get("orders");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        epochs.raise("orders", 3);
        epochs.raise("orders", 2);
        assert_eq!((epochs.get("orders"), epochs.of("accounts")), ((3, raised), 0));
    }
}
