//! `cargo xtask test`: every test of the workspace.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::conformance::{self, Runner};
use crate::steps::Steps;
use crate::tools::{self, NEXTEST};
use crate::workspace::{cargo, root, target};

/// The cfg under which a crate's synchronisation is loom's. Not `loom` itself, which takes `tokio::net` away.
const LOOM_CFG: &str = "aqueduct_loom";

/// Where the models lie: in modules of these names. Other tests of the crate may not build on loom's atomics.
const MODELS: &str = "test(/loom|model/)";

/// Runs all tests: units, properties and end to end; the examples in the documentation; protobuf's conformance suite;
/// the loom models.
pub(crate) fn all(steps: &mut Steps) -> Result<()> {
    // First, so that a missing tool is not named after all else has run.
    let runner = Runner::install(steps)?;
    selected(steps, &[])?;
    steps.run("documentation examples", &mut cargo("test --workspace --doc"))?;
    conformance::suite(steps, &runner)?;
    loom(steps)
}

/// Runs the tests that nextest selects by `select`; all but examples and loom models if it is empty.
pub(crate) fn selected(steps: &mut Steps, select: &[String]) -> Result<()> {
    tools::ensure(steps, &[tools::CC, tools::STRACE, tools::PYTHON])?;
    tools::ensure_servers(steps)?;
    tools::OPENAPI_VALIDATOR.ensure(steps)?;
    let nextest = NEXTEST.program(steps)?;
    // Built together with the tests, or cargo would resolve other features for the binary and compile much of it twice.
    steps.run("build", &mut cargo("build --workspace --lib --bins --tests --examples"))?;
    let mut run = in_root(&nextest);
    run.args(["nextest", "run", "--workspace"]).args(select);
    run.env("AQUEDUCT_BIN", target().join("debug/aqueduct"));
    steps.run("tests", &mut run)
}

/// Runs the models of each crate that has some: exhaustive, so optimised, and in a folder of their own, because the cfg
/// changes every dependency.
fn loom(steps: &mut Steps) -> Result<()> {
    let metadata =
        MetadataCommand::new().current_dir(root()).no_deps().exec().context("read cargo's metadata")?;
    let crates = with_models(&metadata);
    if crates.is_empty() {
        bail!("no crate depends on loom under cfg({LOOM_CFG}): the models would be skipped in silence");
    }
    let nextest = NEXTEST.program(steps)?;
    for name in crates {
        let mut run = in_root(&nextest);
        // Fails when nothing matches, so a renamed model cannot drop out unseen.
        run.args(["nextest", "run", "--release", "--lib", "--no-tests", "fail", "-E", MODELS, "-p", &name]);
        run.env("RUSTFLAGS", format!("--cfg {LOOM_CFG}")).env("CARGO_TARGET_DIR", target().join("loom"));
        steps.run(&format!("loom models of {name}"), &mut run)?;
    }
    Ok(())
}

/// The crates that depend on loom under [`LOOM_CFG`].
fn with_models(metadata: &Metadata) -> Vec<String> {
    let under_cfg = |package: &&Package| {
        package.dependencies.iter().any(|dependency| {
            let target = dependency.target.as_ref().map(ToString::to_string).unwrap_or_default();
            dependency.name == "loom" && target.contains(LOOM_CFG)
        })
    };
    metadata.packages.iter().filter(under_cfg).map(|package| package.name.to_string()).collect()
}

fn in_root(program: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}
