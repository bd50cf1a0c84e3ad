//! Where the gateway learns what services look like: descriptor sets, the files they are in, and gRPC server
//! reflection. What is read again replaces the routes as a whole, and only when everything is good together.

pub(crate) mod file;
mod files;
mod live;
mod reflection;

use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::task::{self, Owned};
use aqueduct_telemetry::health::{Check, Health, OnFailure};
use bytes::Bytes;

use crate::descriptors::live::Live;
use crate::edge::Edge;
use crate::options::Options;

/// A source of descriptors. Several count as one set; files they share must be equal.
#[derive(Debug, Clone)]
pub enum Descriptors {
    /// A serialised `google.protobuf.FileDescriptorSet`, imports included.
    Set {
        /// Where it is from, for messages.
        name: String,
        /// The set, at most [`Descriptors::MAX_BYTES`] when it is read again.
        bytes: Bytes,
        /// The file it is from. When there is one, it is read again whenever it changes.
        file: Option<PathBuf>,
    },
    /// What an upstream tells of the services that are routed to it, by gRPC server reflection (v1, else v1alpha).
    /// The gateway starts without it, and refuses what it cannot know yet with 503.
    Reflection {
        /// Name of the upstream.
        upstream: String,
        /// How often it is asked again. Until it has told something good it is asked every [`Timeouts::poll`].
        ///
        /// [`Timeouts::poll`]: crate::Timeouts::poll
        every: Duration,
    },
}

/// The newest bytes of each source, in the order of [`Options::descriptors`]; `None` where nothing has been read yet.
pub(crate) type Sets = Vec<Option<Bytes>>;

impl Descriptors {
    /// Bytes of a descriptor set. Those of large companies are a few MiB.
    pub const MAX_BYTES: usize = 64 << 20;

    /// A set that does not change.
    pub fn set(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::Set { name: name.into(), bytes: bytes.into(), file: None }
    }

    /// Reflection of an upstream, every 30 s.
    pub fn reflection(upstream: impl Into<String>) -> Self {
        Self::Reflection { upstream: upstream.into(), every: Duration::from_secs(30) }
    }

    /// What is known before the gateway runs: empty for reflection.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Set { bytes, .. } => bytes,
            Self::Reflection { .. } => &[],
        }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Set { name, .. } => name.clone(),
            Self::Reflection { upstream, .. } => format!("the upstream `{upstream}`"),
        }
    }
}

impl Options {
    /// What is known before the gateway runs.
    pub(crate) fn sets(&self) -> Sets {
        let known = |source: &Descriptors| match source {
            Descriptors::Set { bytes, .. } => Some(bytes.clone()),
            Descriptors::Reflection { .. } => None,
        };
        self.descriptors.iter().map(known).collect()
    }

    /// What is known before the gateway runs, and what an earlier configuration was told by the same upstreams.
    pub(crate) fn sets_after(&self, before: &Self, told: &[Option<Bytes>]) -> Sets {
        let known = |source: &Descriptors| {
            let Descriptors::Reflection { upstream: asked, .. } = source else { return None };
            before.descriptors.iter().zip(told).find_map(|(source, set)| match source {
                Descriptors::Reflection { upstream, .. } if upstream == asked => set.clone(),
                _ => None,
            })
        };
        let sets = self.descriptors.iter().zip(self.sets());
        sets.map(|(source, set)| set.or_else(|| known(source))).collect()
    }

    /// Whether the services of an upstream may be told by reflection that has not been read yet.
    pub(crate) fn is_unread(&self, upstream: &str, sets: &[Option<Bytes>]) -> bool {
        self.descriptors.iter().zip(sets).any(|(source, set)| match source {
            // Which services an upstream that does not exist was meant to tell, nobody knows.
            Descriptors::Reflection { upstream: asked, .. } => {
                set.is_none() && (asked == upstream || !self.upstreams.contains_key(asked))
            }
            Descriptors::Set { .. } => false,
        })
    }

    pub(crate) fn check_descriptors(&self, problem: &mut impl FnMut(String, String)) {
        if self.timeouts.poll.is_zero() {
            problem("timeouts.poll".into(), "must not be 0".into());
        }
        let mut seen = HashSet::new();
        for (index, source) in self.descriptors.iter().enumerate() {
            let Descriptors::Reflection { upstream, every } = source else { continue };
            let path = format!("descriptors[{index}].reflection");
            if !self.upstreams.contains_key(upstream) {
                let known: Vec<_> = self.upstreams.keys().map(String::as_str).collect();
                problem(path, format!("there is no upstream `{upstream}`; there are: {}", known.join(", ")));
            } else if !seen.insert(upstream) {
                problem(path, format!("`{upstream}` is asked twice"));
            } else if !self.routes.iter().any(|route| route.upstream == *upstream) {
                problem(path, format!("no route goes to `{upstream}`, so there is nothing to ask it for"));
            }
            if every.is_zero() {
                problem(format!("descriptors[{index}].every"), "must not be 0".into());
            }
        }
    }
}

/// Whatever a server answers, it is taken or refused; see `fuzzing`.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_reflection(response: &Bytes) {
    let mut files = files::Files::default();
    if files.take(response).is_ok() {
        let missing = files.missing();
        assert!(files.missing().is_empty(), "{missing:?} would be asked for twice");
        assert!(files.into_set().len() <= response.len() + 16, "more was made of it than it said");
    }
}

/// Registers the check of what reflection has to tell first. Before the gateway counts as started, as for the upstreams.
pub(crate) fn register(options: &Options, health: &Health) -> Option<Check> {
    let any = options.descriptors.iter().any(|source| matches!(source, Descriptors::Reflection { .. }));
    any.then(|| health.check("descriptors", OnFailure::Unavailable))
}

/// Looks for changes until the tasks are dropped. Called by one worker, which has the connections.
pub(crate) fn watch(edge: &Rc<Edge>, check: Option<Check>) -> Vec<Owned> {
    let live = Live::new(edge, check);
    let follow = |(index, source): (usize, &Descriptors)| {
        let live = Rc::clone(&live);
        match source {
            Descriptors::Set { file: Some(path), .. } => {
                Some(task::spawn_local("descriptor-file", file::follow(live, index, path.clone())))
            }
            Descriptors::Set { file: None, .. } => None,
            Descriptors::Reflection { upstream, every } => {
                let told = reflection::follow((Rc::clone(edge), live), index, upstream.clone(), *every);
                Some(task::spawn_local("descriptor-reflection", told))
            }
        }
    };
    live.options().descriptors.iter().enumerate().filter_map(follow).map(Owned::from).collect()
}
