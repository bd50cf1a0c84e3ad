//! The stages of a request, in the order in which it passes them. The names are those of the modules, of the metrics'
//! `stage` label and of `docs/life-of-a-request.md`.

pub(crate) mod admit;
pub(crate) mod deadline;
pub(crate) mod forward;
pub(crate) mod limit;
pub(crate) mod normalize;
pub(crate) mod pick;
pub(crate) mod route;
pub(crate) mod transcode;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Normalize,
    Route,
    Limit,
    Deadline,
    Pick,
    Admit,
    Transcode,
    Forward,
}

impl Stage {
    pub(crate) const ALL: [Stage; 8] = [
        Stage::Normalize,
        Stage::Route,
        Stage::Limit,
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
            Stage::Limit => "limit",
            Stage::Deadline => "deadline",
            Stage::Pick => "pick",
            Stage::Admit => "admit",
            Stage::Transcode => "transcode",
            Stage::Forward => "forward",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_stages_are_those_of_the_code_in_their_order() {
        let page = include_str!("../../../../../docs/life-of-a-request.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut documented: Vec<_> = rows.collect();
        assert_eq!(documented.pop(), Some("transcode"), "the answer comes back through it");
        assert_eq!(documented, Stage::ALL.map(Stage::name));
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index, "laps are kept by it");
        }
    }
}
