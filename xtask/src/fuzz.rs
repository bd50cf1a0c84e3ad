//! `cargo xtask fuzz`: arbitrary input for the parsers of outside bytes.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::Steps;
use crate::tools::{self, FUZZ};
use crate::workspace::{root, target};

/// What to feed, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                               every target for a minute
  cargo xtask fuzz template query --seconds 600
  cargo xtask fuzz template --keep               adds what reached new code to fuzz/corpus

An input that breaks a promise is shown and kept in fuzz/artifacts. Move it to fuzz/corpus under a name that says what it
is: the tests replay it from then on.")]
pub(crate) struct Args {
    /// The targets, of those in fuzz/fuzz_targets [default: all]
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Afterwards, add to fuzz/corpus the smallest inputs that reach code which nothing there reaches
    #[arg(long)]
    keep: bool,
}

/// Inputs that libFuzzer makes are no longer than this: longer ones find little more, and slow it down.
const LONGEST: u32 = 1024;

pub(crate) fn run(steps: &mut Steps, args: &Args) -> Result<()> {
    let all = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}, only {}", all.join(", "));
    }
    let chosen = if args.targets.is_empty() { &all } else { &args.targets };
    tools::ensure(steps, &[tools::CC, tools::CXX])?;
    let program = FUZZ.program(steps)?;
    let cargo_fuzz = |subcommand: &str| {
        let mut command = Command::new(&program);
        // The sanitizers need a nightly compiler, and look for what safe Rust does not do.
        command.current_dir(root()).args([subcommand, "--sanitizer", "none", "--features", "libfuzzer"]);
        command.args(["--strip-dead-code", "--fuzz-dir", "fuzz", "--target-dir"]).arg(target().join("fuzz"));
        // Coverage is counted before linking, so that optimising there gains little and costs minutes.
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command
    };
    steps.run("build", &mut cargo_fuzz("build"))?;
    for name in chosen {
        let found = target().join("fuzz/corpus").join(name);
        fs::create_dir_all(&found).with_context(|| format!("make {}", found.display()))?;
        let kept = root().join("fuzz/corpus").join(name);
        let mut run = cargo_fuzz("run");
        // What is found goes into the first folder.
        run.arg(name).arg(&found).arg(&kept).args(["--", "-print_final_stats=1"]);
        run.args([format!("-max_total_time={}", args.seconds), format!("-max_len={LONGEST}")]);
        run.arg(format!("-dict={}", root().join("fuzz/dict").join(format!("{name}.dict")).display()));
        steps.run(&format!("fuzz {name}"), &mut run)?;
        if args.keep {
            let mut merge = cargo_fuzz("run");
            merge.arg(name).arg(&kept).arg(&found).args(["--", "-merge=1"]);
            steps.run(&format!("keep what {name} found"), &mut merge)?;
        }
    }
    Ok(())
}

/// The programs in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn the_targets_are_the_programs() {
        let names = targets().unwrap();
        assert!(names.iter().any(|name| name == "template"), "{names:?}");
    }
}
