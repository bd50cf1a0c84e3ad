//! Which server of a shard is the primary: the one that says it can be written to.

/// What the last round of questions came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one. `others` can be written to as well, which they should not.
    Primary { at: usize, others: Vec<usize> },
    /// None answers as a primary.
    Nobody,
    /// Several do, and none of them is the one known so far. Whichever was taken, writes could be lost.
    Contested(Vec<usize>),
}

/// Chooses from what every server said: `Some(true)` it can be written to, `Some(false)` it is read-only, `None` no answer.
///
/// The primary stays while it can be written to, and also while it does not answer and nobody else can be written to: it may come
/// back, and until then there is no better. Otherwise the only writable server takes its place.
pub(crate) fn choose(current: Option<usize>, writable: &[Option<bool>]) -> Choice {
    let able: Vec<usize> = (0..writable.len()).filter(|at| writable[*at] == Some(true)).collect();
    match (current, able.as_slice()) {
        (Some(at), _) if able.contains(&at) => {
            Choice::Primary { at, others: able.into_iter().filter(|other| *other != at).collect() }
        }
        (_, [at]) => Choice::Primary { at: *at, others: Vec::new() },
        (Some(at), []) if writable[at].is_none() => Choice::Primary { at, others: Vec::new() },
        (_, []) => Choice::Nobody,
        (_, _) => Choice::Contested(able),
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, choose};

    /// `w`ritable, `r`ead-only, `-` no answer.
    #[track_caller]
    fn check(current: Option<usize>, said: &str, expect: &Choice) {
        let said = said.chars().map(|c| match c {
            'w' => Some(true),
            'r' => Some(false),
            _ => None,
        });
        assert_eq!(choose(current, &said.collect::<Vec<_>>()), *expect);
    }

    fn primary(at: usize) -> Choice {
        Choice::Primary { at, others: Vec::new() }
    }

    #[test]
    fn at_the_start_it_is_the_only_writable_one() {
        check(None, "wrr", &primary(0));
        check(None, "rrw", &primary(2));
        check(None, "-rw", &primary(2));
        check(None, "rr-", &Choice::Nobody);
        check(None, "ww", &Choice::Contested(vec![0, 1]));
    }

    #[test]
    fn it_stays_while_it_can_be_written_to() {
        check(Some(0), "wr", &primary(0));
        check(Some(0), "wrw", &Choice::Primary { at: 0, others: vec![2] });
    }

    #[test]
    fn it_changes_only_to_the_one_that_took_its_place() {
        check(Some(0), "rw", &primary(1));
        check(Some(0), "-w", &primary(1));
        check(Some(0), "rww", &Choice::Contested(vec![1, 2]));
        check(Some(0), "-ww", &Choice::Contested(vec![1, 2]));
    }

    #[test]
    fn a_primary_that_does_not_answer_is_waited_for() {
        check(Some(0), "-r", &primary(0));
        check(Some(0), "--", &primary(0));
        check(Some(0), "rr", &Choice::Nobody);
        check(Some(0), "r-", &Choice::Nobody);
    }
}
