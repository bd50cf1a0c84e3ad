//! What a saga does: its steps, in order, and how the engine may treat each.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;

use crate::id::is_name;

/// The most steps of a plan.
pub const MOST_STEPS: usize = 100;
/// The most bytes of all payloads and targets of a plan together.
pub const MOST_BYTES: usize = 4 << 20;

/// How a step may be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Comes before the pivot; is undone when the saga turns.
    Compensable,
    /// Decides: once it was sent there is no way back but its definite rejection. It is never compensated.
    Pivot,
    /// Comes after the pivot; is retried until it succeeds, and never compensated.
    Retriable,
}

/// One of the two things that are asked of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Do the step.
    Execute,
    /// Undo it, whether it arrived or not.
    Compensate,
}

impl Op {
    /// `execute` or `compensate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Compensate => "compensate",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanStep {
    /// Its name, unique in the plan: 1 to 128 visible ASCII characters.
    pub name: String,
    /// How it may be treated.
    pub kind: Kind,
    /// Where it is sent, for the executor to understand: a URL, say. Empty for a local step.
    pub target: String,
    /// What is sent, opaque here.
    pub payload: Bytes,
    /// Runs side by side with the step before it, which is of the same kind. A pivot is alone.
    pub together: bool,
}

impl PlanStep {
    /// A step that runs after the one before it.
    pub fn new(
        name: impl Into<String>,
        kind: Kind,
        target: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self { name: name.into(), kind, target: target.into(), payload: payload.into(), together: false }
    }

    /// The same, side by side with the step before it.
    #[must_use]
    pub fn together(self) -> Self {
        Self { together: true, ..self }
    }
}

/// Who knows what the steps do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Definition {
    /// The plan says it all.
    Dynamic,
    /// Code does. A coordinator that does not have the same code parks the saga instead of guessing.
    Typed {
        /// The definition's name.
        name: String,
        /// Of everything about it that a log depends on.
        hash: [u8; 32],
        /// What the saga begins with, as that code writes it.
        input: Bytes,
    },
}

impl Definition {
    /// The name, empty for a dynamic one.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dynamic => "",
            Self::Typed { name, .. } => name,
        }
    }

    /// Name and hash, for a message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Dynamic => "a plan without code".to_owned(),
            Self::Typed { name, hash, .. } => {
                let [a, b, c, d, ..] = hash;
                format!("{name} with hash {a:02x}{b:02x}{c:02x}{d:02x}…")
            }
        }
    }
}

/// The steps of a saga, and what tells it from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Who knows what the steps do.
    pub definition: Definition,
    /// In order: compensable ones, at most one pivot, retriable ones.
    pub steps: Vec<PlanStep>,
    /// Of the submission: a second one with the same id is the same saga if this is the same, and a conflict if not.
    pub fingerprint: [u8; 32],
}

impl Plan {
    /// Says what is wrong with it, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let steps = &self.steps;
        if !(1..=MOST_STEPS).contains(&steps.len()) {
            return Err(format!("a saga has 1 to {MOST_STEPS} steps, not {}", steps.len()));
        }
        let mut names = HashSet::new();
        let mut bytes = match &self.definition {
            Definition::Dynamic => 0,
            Definition::Typed { input, .. } => input.len(),
        };
        let mut before: Option<&PlanStep> = None;
        for (at, step) in steps.iter().enumerate() {
            let name = &step.name;
            if !is_name(name) {
                return Err(format!("steps[{at}].name has 1 to 128 visible ASCII characters"));
            }
            if !names.insert(name) {
                return Err(format!("steps[{at}].name: {name:?} is the name of an earlier step"));
            }
            if let Some(before) = before {
                follows(before, step).map_err(|why| format!("steps[{at}] ({name}): {why}"))?;
            } else if step.together {
                return Err(format!("steps[0] ({name}): there is no step before it to run together with"));
            }
            bytes += step.payload.len() + step.target.len();
            before = Some(step);
        }
        if bytes > MOST_BYTES {
            return Err(format!("its payloads have {bytes} bytes, and {MOST_BYTES} at most are kept"));
        }
        Ok(())
    }

    /// The numbers of the steps that run together with `step`, itself included.
    pub(crate) fn stage_of(&self, step: usize) -> std::ops::Range<usize> {
        let joins = |at: usize| self.steps.get(at).is_some_and(|step| step.together);
        let first = (0..=step).rev().find(|at| !joins(*at)).unwrap_or(0);
        let end = (first + 1..self.steps.len()).find(|at| !joins(*at)).unwrap_or(self.steps.len());
        first..end
    }
}

/// Whether `step` may come right after `before`.
fn follows(before: &PlanStep, step: &PlanStep) -> Result<(), &'static str> {
    match (before.kind, step.kind) {
        (_, Kind::Compensable) if before.kind != Kind::Compensable => {
            Err("a compensable step comes before the pivot and the retriable steps")
        }
        (Kind::Pivot, Kind::Pivot) => Err("a saga has one pivot at most"),
        (Kind::Retriable, Kind::Pivot) => Err("a pivot comes before the retriable steps"),
        (_, Kind::Pivot) if step.together => Err("a pivot runs alone"),
        (before, kind) if step.together && before != kind => Err("steps that run together are of one kind"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c`, `p`, `r` are steps of that kind; a `+` before one lets it run together with the one before.
    fn plan(shape: &str) -> Plan {
        let mut steps = Vec::new();
        let mut together = false;
        for letter in shape.chars() {
            let kind = match letter {
                'c' => Kind::Compensable,
                'p' => Kind::Pivot,
                'r' => Kind::Retriable,
                _ => {
                    together = true;
                    continue;
                }
            };
            let step = PlanStep::new(format!("s{}", steps.len()), kind, "", "");
            steps.push(PlanStep { together, ..step });
            together = false;
        }
        Plan { definition: Definition::Dynamic, steps, fingerprint: [0; 32] }
    }

    #[test]
    fn shapes() {
        for good in ["c", "p", "r", "cc", "cp", "cpr", "cr", "ccprr", "pr", "c+c+cp", "cpr+r"] {
            assert_eq!(plan(good).validate(), Ok(()), "{good}");
        }
        let check = |shape: &str, expect: &str| {
            let why = plan(shape).validate().unwrap_err();
            assert!(why.contains(expect), "{shape}: {why}");
        };
        check("", "1 to 100 steps, not 0");
        check(&"c".repeat(101), "not 101");
        check("pc", "before the pivot");
        check("rc", "before the pivot");
        check("pp", "one pivot");
        check("cprp", "before the retriable");
        check("rp", "before the retriable");
        check("c+p", "alone");
        check("p+r", "one kind");
        check("+c", "no step before");
    }

    #[test]
    fn names_and_sizes() {
        let check = |change: fn(&mut Plan), expect: &str| {
            let mut plan = plan("cp");
            change(&mut plan);
            assert_eq!(plan.validate().unwrap_err(), expect);
        };
        check(|p| p.steps[1].name.clear(), "steps[1].name has 1 to 128 visible ASCII characters");
        check(|p| p.steps[1].name = "s0".into(), "steps[1].name: \"s0\" is the name of an earlier step");
        check(
            |p| p.steps[1].payload = vec![0; MOST_BYTES + 1].into(),
            "its payloads have 4194305 bytes, and 4194304 at most are kept",
        );
    }

    #[test]
    fn stages() {
        let plan = plan("cc+c+cpr+r");
        let stages: Vec<_> = (0..7).map(|step| plan.stage_of(step)).collect();
        assert_eq!(stages, [0..1, 1..4, 1..4, 1..4, 4..5, 5..7, 5..7]);
    }
}
