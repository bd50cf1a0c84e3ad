//! `cargo xtask conformance`: protobuf's own conformance suite, against the transcoder.

mod runner;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::steps::Steps;
use crate::workspace::{cargo, target};

pub(crate) use runner::Runner;

/// How a whole run of this release of the suite ends, up to an edition: tests that pass, and tests that are skipped.
/// Skipped are those that want unknown fields kept, for which JSON has no form (and text format, in a suite of its own).
/// Exact, so that a testee that skips more, or a runner that runs less, cannot pass.
const RUNS: [(&str, Outcome); 2] =
    [("PROTO3", Outcome { passed: 2774, skipped: 5 }), ("2023", Outcome { passed: 5558, skipped: 9 })];

/// The last line of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    passed: u32,
    skipped: u32,
}

/// How many failures are shown, and how much of each: a request may fill pages.
const SHOWN: (usize, usize) = (20, 600);

/// Builds the testee and runs the suite.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    let runner = Runner::install(steps)?;
    steps.run("build the testee", &mut cargo("build --package aqueduct-transcode --example conformance"))?;
    suite(steps, &runner)
}

/// Runs the suite against the testee, which was built with the other examples.
pub(crate) fn suite(steps: &mut Steps, runner: &Runner) -> Result<()> {
    for (edition, expected) in RUNS {
        let mut command = runner.command();
        command.args(["--enforce_recommended", "--maximum_edition", edition, "--output_dir"]);
        // The runner puts a file name right behind it.
        command
            .arg(format!("{}/", runner.folder().display()))
            .arg(target().join("debug/examples/conformance"));
        steps.step(&format!("conformance up to {edition}"), "protobuf's suite", || {
            check(&mut command, expected)
        })?;
    }
    Ok(())
}

fn check(command: &mut Command, expected: Outcome) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("start the conformance runner")?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let summaries: Vec<&str> = text.lines().filter(|line| line.starts_with("CONFORMANCE SUITE")).collect();
    for line in &summaries {
        anstream::eprintln!("{line}");
    }
    let passed = summaries.iter().filter_map(|line| passed(line)).find(|outcome| outcome.passed > 0);
    if output.status.success() && passed == Some(expected) {
        return Ok(());
    }
    let failures = text.lines().filter(|line| line.starts_with("ERROR") || line.starts_with("Error"));
    for line in failures.take(SHOWN.0) {
        anstream::eprintln!("{}", line.chars().take(SHOWN.1).collect::<String>());
    }
    ensure!(!summaries.is_empty(), "the conformance runner gave up ({}):\n{text}", output.status);
    ensure!(output.status.success(), "the suite failed ({})", output.status);
    let Outcome { passed: tests, skipped } = expected;
    bail!("the suite ran other tests than it should: {tests} pass and {skipped} are skipped in a whole run")
}

/// `CONFORMANCE SUITE PASSED: 2774 successes, 5 skipped, 0 expected failures, 0 unexpected failures.`
fn passed(summary: &str) -> Option<Outcome> {
    let counts = summary.strip_prefix("CONFORMANCE SUITE PASSED: ")?;
    let count = |what: &str| {
        counts.trim_end_matches('.').split(", ").find_map(|part| part.strip_suffix(what)?.parse().ok())
    };
    let none = count(" expected failures") == Some(0) && count(" unexpected failures") == Some(0);
    none.then_some(Outcome { passed: count(" successes")?, skipped: count(" skipped")? })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, passed};

    #[test]
    fn only_a_clean_summary_passes() {
        let check = |line: &str, expect| assert_eq!(passed(line), expect, "{line}");
        let clean = "CONFORMANCE SUITE PASSED: 2774 successes, 5 skipped, 0 expected failures, 0 unexpected failures.";
        check(clean, Some(Outcome { passed: 2774, skipped: 5 }));
        check(&clean.replace("0 unexpected", "1 unexpected"), None);
        check(&clean.replace("0 expected", "1 expected"), None);
        check(&clean.replace("PASSED", "FAILED"), None);
        check("CONFORMANCE SUITE PASSED: 1 successes", None);
        check("", None);
    }
}
