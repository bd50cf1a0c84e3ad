//! The ways in which tests break the cache on purpose, to see that the property test and the simulation notice. Otherwise
//! the question "is it broken?" is a constant `false`, and the branch is gone.

/// One promise, broken.
#[cfg_attr(not(feature = "mutations"), allow(unreachable_pub, reason = "only tests break the cache"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A fill does not ask whether a fence came in between.
    FillDespiteFence,
    /// A caller joins a load that began before the last fence.
    JoinDespiteFence,
    /// A fence marks the running load but leaves the entry.
    FenceKeepsEntry,
    /// A load below the floor is accepted.
    FillBelowFloor,
    /// A failed refresh writes the old value back as a fresh one.
    RefreshRenewsOldValue,
    /// A flush leaves running loads joinable and their results valid.
    FlushForgetsLoads,
    /// A caller joins a load that began long ago, while nothing vouches for what it missed.
    JoinOutdated,
    /// Entries go out unmarked whatever the watermark is.
    NoWatermark,
    /// What a lower level gave is kept although a floor that may concern it is forgotten.
    KeepDespiteForgotten,
    /// What was read right after a change of unknown version was announced is kept as any other.
    KeepUnsighted,
}
