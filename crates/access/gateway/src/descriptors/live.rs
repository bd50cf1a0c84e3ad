//! The descriptors in use, and the decision whether what was read replaces them. Nothing does that is not good together
//! with all the rest: schema, routes and bindings.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_telemetry::health::Check;
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::descriptors::Sets;
use crate::edge::{Edge, Shared};
use crate::metrics::ReloadMetrics;
use crate::options::{Options, Problem};

/// Distinct messages of one trouble that are logged; it may alternate between several.
const MAX_TOLD: usize = 16;

/// All sources. Their readers take turns: one swap at a time.
#[derive(Debug)]
pub(super) struct Live {
    shared: Arc<Shared>,
    /// The configuration that names the sources. Once another one is in use, nothing that was read for this one is.
    options: Arc<Options>,
    check: Option<Check>,
    metrics: ReloadMetrics,
    sources: Mutex<Vec<Source>>,
}

#[derive(Debug)]
struct Source {
    name: String,
    /// What the routes were compiled from; `None` while nothing was.
    live: Option<Bytes>,
    /// What was read last. It differs from `live` when it was refused.
    newest: Option<Bytes>,
    unavailable: Trouble,
    invalid: Trouble,
}

impl Source {
    /// Whether what was read last is not in use.
    fn is_pending(&self) -> bool {
        self.newest != self.live
    }
}

/// What is wrong now, and what the log was told since it was last right.
#[derive(Debug, Default)]
struct Trouble {
    now: Option<String>,
    told: Vec<String>,
}

impl Trouble {
    /// Whether the log should be told.
    fn begin(&mut self, why: &str) -> bool {
        self.now = Some(why.to_owned());
        let new = self.told.len() < MAX_TOLD && !self.told.iter().any(|told| told == why);
        if new {
            self.told.push(why.to_owned());
        }
        new
    }

    /// Whether there was any.
    fn end(&mut self) -> bool {
        self.told.clear();
        self.now.take().is_some()
    }
}

impl Live {
    pub(super) fn new(edge: &Edge, check: Option<Check>) -> Rc<Self> {
        let shared = Arc::clone(&edge.shared);
        let routes = edge.routes();
        let options = Arc::clone(routes.options());
        let sources = options.descriptors.iter().zip(&routes.compiled().sets).map(|(source, set)| Source {
            name: source.name(),
            live: set.clone(),
            newest: set.clone(),
            unavailable: Trouble::default(),
            invalid: Trouble::default(),
        });
        let sources = Mutex::new(sources.collect());
        let metrics = shared.families.reloads();
        let live = Self { shared, options, check, metrics, sources };
        // What an earlier configuration was told may be all there.
        if let Ok(sources) = live.sources.try_lock() {
            live.show(&sources);
        }
        Rc::new(live)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The time between two looks.
    pub(super) fn poll(&self) -> Duration {
        self.options.timeouts.poll
    }

    /// Whether something of this source is in use.
    pub(super) async fn is_read(&self, index: usize) -> bool {
        self.sources.lock().await.get(index).is_some_and(|source| source.live.is_some())
    }

    /// A source could not be read: what it said before stays.
    pub(super) async fn unavailable(&self, index: usize, why: String) {
        let mut sources = self.sources.lock().await;
        let Some(source) = sources.get_mut(index) else { return };
        self.metrics.unavailable.inc();
        if source.unavailable.begin(&why) {
            tracing::warn!(source = source.name, why, "descriptors cannot be read; what was there stays");
        }
        self.show(&sources);
    }

    /// A source was read: what it says is used if it is good.
    pub(super) async fn offer(&self, index: usize, bytes: Bytes) {
        let mut sources = self.sources.lock().await;
        let Some(source) = sources.get_mut(index) else { return };
        if source.unavailable.end() {
            tracing::info!(source = source.name, "descriptors can be read again");
        }
        let is_new = source.newest.as_ref() != Some(&bytes);
        source.newest = Some(bytes);
        let is_tried = is_new && source.is_pending();
        let refusal = if is_tried { self.adopt(&mut sources, index).await.err() } else { None };
        if let (Some(source), Some(why)) = (sources.get_mut(index), refusal)
            && source.invalid.begin(&why)
        {
            tracing::warn!(source = source.name, why, "descriptors are refused; those of before stay");
        }
        let result = match sources.get(index) {
            Some(source) if source.is_pending() => &self.metrics.invalid,
            _ if is_tried => &self.metrics.swapped,
            _ => &self.metrics.unchanged,
        };
        result.inc();
        for source in sources.iter_mut().filter(|source| !source.is_pending()) {
            if source.invalid.end() {
                tracing::info!(source = source.name, "descriptors are good again");
            }
        }
        self.show(&sources);
    }

    /// Tries all that was read last together, since what moves from one source to another is good only with both; then
    /// each change alone, so that a bad one holds up no other. An error is why the one at `index` is refused.
    async fn adopt(&self, sources: &mut [Source], index: usize) -> Result<(), String> {
        let newest = sources.iter().map(|source| source.newest.clone()).collect();
        let mut result = self.swap(newest).await;
        if result.is_ok() {
            for source in sources {
                source.live.clone_from(&source.newest);
            }
            return result;
        }
        let pending: Vec<_> =
            (0..sources.len()).filter(|&at| sources.get(at).is_some_and(Source::is_pending)).collect();
        for at in pending.iter().copied().filter(|_| pending.len() > 1) {
            let set = |(other, source): (usize, &Source)| {
                if other == at { source.newest.clone() } else { source.live.clone() }
            };
            let alone = self.swap(sources.iter().enumerate().map(set).collect()).await;
            if let (Some(source), Ok(())) = (sources.get_mut(at), &alone) {
                source.live.clone_from(&source.newest);
            }
            if at == index {
                result = alone;
            }
        }
        result
    }

    /// Compiles everything, and hands it to the workers if it is good. Requests in flight keep the routes they have.
    async fn swap(&self, sets: Sets) -> Result<(), String> {
        let options = Arc::clone(&self.options);
        let current = Arc::clone(&self.shared.compiled.borrow());
        // A large set takes longer than a request should wait.
        let compiled = tokio::task::spawn_blocking(move || options.compile(sets, Some(&current))).await;
        let compiled =
            compiled.map_err(|error| error.to_string())?.map_err(|problems| describe(&problems))?;
        let (services, bindings) = (compiled.schema.services().len(), compiled.router.bindings().len());
        let is_meant = self.shared.compiled.send_if_modified(|current| {
            let is_meant = Arc::ptr_eq(&current.options, &self.options);
            if is_meant {
                *current = Arc::new(compiled);
            }
            is_meant
        });
        if is_meant {
            tracing::info!(services, bindings, "new descriptors are in use");
        }
        Ok(())
    }

    /// The check fails until everything has been read once. After that it only tells what is wrong: the gateway goes on
    /// with what it has.
    fn show(&self, sources: &[Source]) {
        let Some(check) = &self.check else { return };
        let trouble = |source: &Source| {
            let why = source.unavailable.now.as_ref().or(source.invalid.now.as_ref());
            let why = why.cloned().or_else(|| source.live.is_none().then(|| "not read yet".to_owned()))?;
            Some(format!("{}: {why}", source.name))
        };
        let troubles: Vec<_> = sources.iter().filter_map(trouble).collect();
        check.set(sources.iter().all(|source| source.live.is_some()), troubles.join("; "));
    }
}

fn describe(problems: &[Problem]) -> String {
    const SHOWN: usize = 4;
    let mut parts: Vec<_> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = problems.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        parts.push(format!("and {more} more"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_told_once_until_it_is_over() {
        let mut trouble = Trouble::default();
        assert!(!trouble.end());
        assert!(trouble.begin("a is away"));
        assert!(trouble.begin("b is away"));
        assert!(!trouble.begin("a is away"), "two that alternate are told once each");
        assert_eq!(trouble.now.as_deref(), Some("a is away"));
        assert!(trouble.end());
        assert!(trouble.begin("a is away"), "and again after it was over");
        for number in 0..MAX_TOLD {
            trouble.begin(&number.to_string());
        }
        assert!(!trouble.begin("one more"), "a message that is always another one does not fill the log");
    }
}
