//! What the server knows of itself: whether IDs can be minted, and whether it is going down.

use aqueduct_ids::IdError;

/// The state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Why no ID can be minted at the moment.
    pub(crate) unminted: Option<IdError>,
    /// Why none will be any more: only a restart takes another lease.
    pub(crate) over: Option<String>,
    /// Nothing more will change, so that streams should end.
    pub(crate) ending: bool,
}

impl State {
    /// Whether IDs are minted.
    pub(crate) fn ready(&self) -> bool {
        self.why_not().is_none() && !self.ending
    }

    /// Why IDs are not minted, if so.
    pub(crate) fn why_not(&self) -> Option<String> {
        self.over.clone().or_else(|| self.unminted.map(|error| error.to_string()))
    }
}
