//! The steps of a task: each is announced, timed and remembered for the closing summary.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail};

use crate::workspace::root;

const TITLE: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The steps done so far.
#[derive(Debug)]
pub(crate) struct Steps {
    start: Instant,
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    took: Duration,
    passed: bool,
}

impl Steps {
    pub(crate) fn start() -> Self {
        Self { start: now(), done: Vec::new() }
    }

    /// Runs a command, with its output shown as it comes, as the step `name`.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let shown = show(command);
        self.step(name, &shown, || {
            let status = command.status().with_context(|| format!("start `{shown}`"))?;
            if !status.success() {
                bail!("`{shown}` failed ({status})");
            }
            Ok(())
        })
    }

    /// Does `work` as the step `name`; `detail` says what it is about to do.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        detail: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        anstream::eprintln!("{TITLE}==> {name}{TITLE:#}: {detail}");
        let start = now();
        let outcome = work();
        let took = start.elapsed();
        let (style, word) = if outcome.is_ok() { (GOOD, "done") } else { (BAD, "failed") };
        anstream::eprintln!("{TITLE}==> {name}{TITLE:#}: {style}{word}{style:#} in {}\n", seconds(took));
        self.done.push(Step { name: name.to_owned(), took, passed: outcome.is_ok() });
        outcome
    }

    /// Prints what was done, how long each step took, and why the task failed if it did.
    pub(crate) fn summary(&self, outcome: &Result<()>) {
        let width = self.done.iter().map(|step| step.name.len()).max().unwrap_or(0).max("total".len());
        for step in &self.done {
            let (style, word) = if step.passed { (GOOD, "ok") } else { (BAD, "failed") };
            anstream::eprintln!("  {:width$}  {:>8}  {style}{word}{style:#}", step.name, seconds(step.took));
        }
        anstream::eprintln!("  {:width$}  {:>8}", "total", seconds(self.start.elapsed()));
        match outcome {
            Ok(()) => anstream::eprintln!("{GOOD}all passed{GOOD:#}"),
            Err(error) => anstream::eprintln!("{BAD}failed{BAD:#}: {error:#}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "durations of commands, for a person to read")]
fn now() -> Instant {
    Instant::now()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The command as one could type it in the root, with the variables that were set for it.
fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}={}", name.to_string_lossy(), quote(&value)))
    });
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args()).map(|word| quote(&word.to_string_lossy()));
    let root = format!("{}/", root().display());
    variables.chain(words).collect::<Vec<_>>().join(" ").replace(&root, "")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::{Steps, root, show};
    use std::process::Command;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/toolchain/bin/cargo");
        command.args(["nextest", "run", "-E", "test(a b)"]).env("RUSTFLAGS", "--cfg x");
        assert_eq!(show(&command), "RUSTFLAGS='--cfg x' cargo nextest run -E 'test(a b)'");
        let mut command = Command::new("true");
        command.env("AQUEDUCT_BIN", root().join("target/debug/aqueduct"));
        assert_eq!(show(&command), "AQUEDUCT_BIN=target/debug/aqueduct true");
    }

    #[test]
    fn a_failing_command_fails_its_step() {
        let mut steps = Steps::start();
        assert!(steps.run("good", &mut Command::new("true")).is_ok());
        let error = steps.run("bad", &mut Command::new("false")).unwrap_err();
        assert!(error.to_string().contains("`false` failed"), "{error}");
        assert!(steps.run("absent", &mut Command::new("/no/such/program")).is_err());
        assert_eq!(steps.done.iter().map(|step| step.passed).collect::<Vec<_>>(), [true, false, false]);
    }
}
