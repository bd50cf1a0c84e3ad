//! The stages of a request, in the order in which it passes them. The names are those of the modules, of the metrics'
//! `stage` label and of `docs/life-of-a-request.md`.

pub(crate) mod admit;
pub(crate) mod deadline;
pub(crate) mod forward;
pub(crate) mod normalize;
pub(crate) mod pick;
pub(crate) mod route;
pub(crate) mod transcode;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Normalize,
    Route,
    Deadline,
    Pick,
    Admit,
    Transcode,
    Forward,
}

impl Stage {
    pub(crate) const ALL: [Stage; 7] = [
        Stage::Normalize,
        Stage::Route,
        Stage::Deadline,
        Stage::Pick,
        Stage::Admit,
        Stage::Transcode,
        Stage::Forward,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Normalize => "normalize",
            Stage::Route => "route",
            Stage::Deadline => "deadline",
            Stage::Pick => "pick",
            Stage::Admit => "admit",
            Stage::Transcode => "transcode",
            Stage::Forward => "forward",
        }
    }
}
