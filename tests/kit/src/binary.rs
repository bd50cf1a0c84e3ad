//! Finds the `aqueduct` binary, and builds it when nobody has.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// How the binary is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `target/debug`: what tests run.
    Debug,
    /// `target/release`: what benchmarks run.
    Release,
}

/// The path of the `aqueduct` binary.
///
/// `AQUEDUCT_BIN` names one that is there already (`cargo xtask test` sets it, having built it in the same go as the
/// tests). Otherwise cargo builds it, once a process, and one process at a time.
///
/// # Panics
///
/// When `AQUEDUCT_BIN` names no file, or cargo fails; cargo's own messages stand above.
pub fn aqueduct(profile: Profile) -> &'static Path {
    static DEBUG: OnceLock<PathBuf> = OnceLock::new();
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    let cell = if profile == Profile::Debug { &DEBUG } else { &RELEASE };
    cell.get_or_init(|| match std::env::var_os("AQUEDUCT_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "AQUEDUCT_BIN names no file: {}", path.display());
            path
        }
        None => build(profile),
    })
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate lies in tests/kit")
}

fn build(profile: Profile) -> PathBuf {
    let lock = File::create(std::env::temp_dir().join("aqueduct-build.lock")).expect("open the build lock");
    lock.lock().expect("take the build lock");
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.current_dir(workspace()).stderr(Stdio::inherit());
    cargo.args([
        "build",
        "--package",
        "aqueduct",
        "--bin",
        "aqueduct",
        "--message-format=json-render-diagnostics",
    ]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("run cargo");
    assert!(output.status.success(), "cargo could not build the binary");
    let path = executable(&String::from_utf8_lossy(&output.stdout)).expect("cargo named the binary it built");
    fs::canonicalize(path).expect("the binary is there")
}

/// The path of the `aqueduct` executable in cargo's JSON messages.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "aqueduct")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::{executable, workspace};
    use std::path::PathBuf;

    #[test]
    fn reads_the_executable_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"aqueduct-ids"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"aqueduct"},"executable":"/t/debug/aqueduct"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/debug/aqueduct")));
        assert_eq!(executable(r#"{"reason":"build-finished","success":false}"#), None);
    }

    #[test]
    fn the_workspace_is_where_the_lock_file_is() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
