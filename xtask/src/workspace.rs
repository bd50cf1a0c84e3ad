//! Where the workspace is, and how cargo is called in it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in xtask")
}

/// The folder of built files.
pub(crate) fn target() -> PathBuf {
    // A relative CARGO_TARGET_DIR counts from where the user stands, but every cargo here runs in the root.
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A cargo command line, given as one would type it, run in the root.
///
/// It runs the cargo that runs this, so that a toolchain chosen by `+name` holds for all steps.
pub(crate) fn cargo(line: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(line.split_ascii_whitespace());
    // Set by `cargo run` for this program alone; a build script that saw them would run again.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}
