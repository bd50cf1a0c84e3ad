//! Which masters there are: what lets a reader tell one that was replaced, and does not know it yet, from its successor.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::key::PARTS;
use super::{Backend, Error, Key, Store, Value};
use crate::Stamp;

/// How often all parts are asked. In between, one part of each master that is known.
const ALL: Duration = Duration::from_secs(2);

/// Where to ask, and what the last answers were.
#[derive(Debug)]
pub(super) struct Probes {
    /// A key in each part.
    keys: Vec<Key>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    asked_all: Option<Instant>,
    /// A part of each master.
    parts: Vec<usize>,
    masters: Vec<Stamp>,
}

impl Probes {
    pub(super) fn new() -> Self {
        let part = |part| {
            (0..1_u32 << 20)
                .filter_map(|number| Key::new("aqueduct", &format!("master-{number}")).ok())
                .find(|key| key.part() == part)
        };
        Self { keys: (0..PARTS).filter_map(part).collect(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The masters that answer now. One whose parts are all being moved, or that is away, is not among them.
    pub(super) async fn ask<B: Backend>(&self, store: &Store<B>) -> Vec<Stamp> {
        let (parts, known, asked_all) = {
            let known = self.known();
            (known.parts.clone(), known.masters.clone(), known.asked_all)
        };
        if asked_all.is_some_and(|at| at.elapsed() < ALL) {
            let (_, masters) = self.ask_parts(store, parts).await;
            if masters.iter().all(|master| known.contains(master)) {
                return masters;
            }
        }
        let (parts, masters) = self.ask_parts(store, (0..self.keys.len()).collect()).await;
        *self.known() = Known { asked_all: Some(Instant::now()), parts, masters: masters.clone() };
        masters
    }

    /// The different masters of these parts, and a part of each.
    async fn ask_parts<B: Backend>(&self, store: &Store<B>, parts: Vec<usize>) -> (Vec<usize>, Vec<Stamp>) {
        let answers = join_all(parts.iter().map(|part| store.master(&self.keys[*part]))).await;
        let (mut places, mut masters) = (Vec::new(), Vec::new());
        for (part, answer) in parts.into_iter().zip(answers) {
            if let Ok(Some(master)) = answer
                && !masters.contains(&master)
            {
                places.push(part);
                masters.push(master);
            }
        }
        (places, masters)
    }
}

/// The answer of the script; `None` of one that is no master.
pub(super) fn master(value: Value) -> Result<Option<Stamp>, Error> {
    let refused = || Error::Reply("master");
    let Value::Array(items) = value else { return Err(refused()) };
    match items.into_iter().next() {
        Some(Value::Bytes(hex)) if hex.is_empty() => Ok(None),
        Some(Value::Bytes(hex)) => Stamp::from_hex(&hex).map(Some).ok_or_else(refused),
        _ => Err(refused()),
    }
}
