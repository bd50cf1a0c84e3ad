//! `cargo xtask release`: `aqueduct` optimised by a profile (PGO). It is built to count how often each branch is taken, carries the load of
//! `bench gateway`, and is built again by those counts.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::steps::Steps;
use crate::workspace::{cargo, target};
use crate::{newer, tools};

/// The load: each kind of request the gateway carries. With its counters it is half as fast, so the figures say nothing.
const LOAD: &str = "run --quiet --release --package aqueduct-bench -- \
                    gateway --proxies aqueduct --rows get,post,grpc,stream,tls --rounds 2 --print-only";

pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    let compiler = Compiler::ask()?;
    let profdata = compiler.profdata(steps)?;
    tools::ensure(steps, &[tools::H2LOAD, tools::OPENSSL])?;
    let folder = target().join("profiled");
    let (counts, profile) = (folder.join("profile"), folder.join("aqueduct.profdata"));
    match fs::remove_dir_all(&counts) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context("remove earlier counts");
        }
        _ => {}
    }
    let binary = folder.join(&compiler.host).join("release/aqueduct");

    steps.run("build that counts", &mut compiler.build(&folder, "-Cprofile-generate", &counts))?;
    steps.run("build the load", &mut cargo("build --release --package aqueduct-bench"))?;
    steps.run("load", cargo(LOAD).env("AQUEDUCT_BIN", &binary).stdout(Stdio::null()))?;
    let mut merge = profdata.command();
    steps.run("profile", merge.args(["merge", "--output"]).arg(&profile).arg(&counts))?;
    steps.run("build by the profile", &mut compiler.build(&folder, "-Cprofile-use", &profile))?;
    anstream::println!("{}", binary.display());
    Ok(())
}

/// What rustc says of itself.
struct Compiler {
    host: String,
    /// The release of LLVM in it, which writes the counts in a format of its own.
    llvm: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let rustc = || Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let version = tools::output(rustc().arg("-vV"))?;
        let (host, llvm) = host_and_llvm(&version).context("rustc does not say what it was built for")?;
        let sysroot = tools::output(rustc().args(["--print", "sysroot"]))?;
        Ok(Self { host: host.to_owned(), llvm: llvm.to_owned(), sysroot: sysroot.trim().into() })
    }

    /// A build of `aqueduct` with one more option. A target that is named keeps the option from build scripts.
    fn build(&self, folder: &Path, option: &str, value: &Path) -> Command {
        let mut build = cargo("build --release --package aqueduct --target");
        build.arg(&self.host).env("CARGO_TARGET_DIR", folder);
        // Encoded: a path may have a space in it.
        build.env("CARGO_ENCODED_RUSTFLAGS", format!("{option}={}", value.display()));
        build
    }

    /// The tool that puts counts together: rustup's, the system's, or that of a newer release of the system.
    fn profdata(&self, steps: &mut Steps) -> Result<Profdata> {
        let rustups = self.sysroot.join("lib/rustlib").join(&self.host).join("bin/llvm-profdata");
        if rustups.is_file() {
            return Ok(Profdata { program: rustups, unpacked: None });
        }
        let name = format!("llvm-profdata-{}", self.llvm);
        if tools::on_path(&name) {
            return Ok(Profdata { program: name.into(), unpacked: None });
        }
        let package = format!("llvm-{}", self.llvm);
        let unpacked = target().join("tools").join(&package);
        let program = unpacked.join("usr/lib").join(&package).join("bin/llvm-profdata");
        if !program.is_file() {
            let needs = format!(
                "llvm-profdata of LLVM {} puts the counts together (`rustup component add llvm-tools` installs it)",
                self.llvm
            );
            newer::unpack(steps, &unpacked, &[&package], &needs)?;
        }
        Ok(Profdata { program, unpacked: Some(unpacked) })
    }
}

struct Profdata {
    program: PathBuf,
    unpacked: Option<PathBuf>,
}

impl Profdata {
    fn command(&self) -> Command {
        match &self.unpacked {
            Some(unpacked) => newer::command(unpacked, &self.program),
            None => Command::new(&self.program),
        }
    }
}

/// The host's triple and LLVM's release, of what `rustc -vV` prints.
fn host_and_llvm(version: &str) -> Option<(&str, &str)> {
    let value = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((value("host:")?, value("LLVM version:")?.split('.').next()?))
}

#[cfg(test)]
mod tests {
    use super::host_and_llvm;

    #[test]
    fn rustc_says_its_host_and_llvm() {
        let version = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                       release: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(host_and_llvm(version), Some(("x86_64-unknown-linux-gnu", "22")));
        assert_eq!(host_and_llvm("rustc 1.95.0"), None);
    }
}
