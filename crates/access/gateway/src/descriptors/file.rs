//! A descriptor set in a file: read again when the file is another one, by its stamp, about once a second.

use std::path::PathBuf;
use std::rc::Rc;

use aqueduct_runtime::file::Watched;
use tokio::time::{MissedTickBehavior, interval};

use crate::descriptors::Descriptors;
use crate::descriptors::live::Live;

/// Looks at the file until the worker ends.
pub(super) async fn follow(live: Rc<Live>, index: usize, path: PathBuf) {
    let mut file = Watched::new(path, Descriptors::MAX_BYTES as u64);
    let mut ticks = interval(live.poll());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A slow disk must not hold up the worker's requests.
        let look = move || {
            let found = file.look();
            (file, found)
        };
        let Ok((looked, found)) = tokio::task::spawn_blocking(look).await else {
            // The runtime ends.
            return;
        };
        file = looked;
        match found {
            Ok(None) => {}
            Ok(Some(bytes)) => live.offer(index, bytes.into()).await,
            Err(error) => live.unavailable(index, error.to_string()).await,
        }
    }
}
