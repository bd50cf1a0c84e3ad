//! `cargo xtask ci`: what must hold before a change goes in.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::steps::Steps;
use crate::test;
use crate::tools::{self, DENY};
use crate::workspace::{cargo, root};

/// The most packages that the binary may be built from: what a first `cargo run` has to compile.
const MOST_PACKAGES: usize = 320;

/// All checks; the quick ones first.
pub(crate) fn all(steps: &mut Steps) -> Result<()> {
    tools::ensure(steps, &[tools::CC])?;
    steps.run("format", &mut cargo("fmt --all --check"))?;
    packages(steps)?;
    let deny = DENY.program(steps)?;
    let mut check = Command::new(deny);
    check.current_dir(root()).args(["--log-level", "error", "check", "--hide-inclusion-graph"]);
    steps.run("dependencies", check.args(["bans", "licenses", "sources"]))?;
    steps.run("lints", &mut cargo("clippy --workspace --all-targets -- -D warnings"))?;
    let mut doc = cargo("doc --workspace --no-deps --document-private-items");
    steps.run("documentation", doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    test::all(steps)
}

fn packages(steps: &mut Steps) -> Result<()> {
    steps.step("packages", &format!("at most {MOST_PACKAGES} in the binary"), || {
        let tree = tools::output(&mut cargo("tree -p aqueduct -e normal,build --prefix none"))?;
        let count = distinct(&tree);
        anstream::eprintln!("{count} packages");
        ensure!(
            count <= MOST_PACKAGES,
            "the binary is built from {count} packages, more than {MOST_PACKAGES}"
        );
        Ok(())
    })
}

/// How many packages a tree names. `(*)` marks one whose dependencies were shown before.
fn distinct(tree: &str) -> usize {
    tree.lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .collect::<BTreeSet<_>>()
        .len()
}

#[cfg(test)]
mod tests {
    use super::distinct;

    #[test]
    fn packages_count_once_and_versions_apart() {
        assert_eq!(distinct("a v1\nb v1\nb v2\n\na v1 (*)\nb v1\n"), 3);
    }
}
