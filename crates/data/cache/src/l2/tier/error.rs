//! Why a tier has no row.

/// Why a tier has no row. A second level that does not answer is no reason: the primary is asked.
#[derive(Debug, thiserror::Error)]
pub enum TierError<E> {
    /// The owner's read of the primary failed.
    #[error("the primary failed: {0}")]
    Primary(E),
    /// The primary goes on answering less than what is known: it is no primary, or it lost commits.
    #[error("the primary has version {found}, but {least} was committed")]
    Behind {
        /// What it answered last.
        found: u64,
        /// The least version that may be answered.
        least: u64,
    },
    /// The second level cannot be used, and enough loads pass it by already. Worth a retry with back-off.
    #[error("{0} loads pass the second level by already")]
    Overloaded(usize),
}

impl<E> TierError<E> {
    /// A stable word for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Primary(_) => "primary",
            Self::Behind { .. } => "behind",
            Self::Overloaded(_) => "overloaded",
        }
    }
}
