//! Finds the programs that tests start beside our own: servers and their clients, which `cargo xtask test` installs.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use crate::binary::workspace;

/// The folder of built files, and of what the tests install for themselves.
pub(crate) fn target() -> PathBuf {
    workspace().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The path of `program`: in `target/tools`, on `PATH`, or where a system's administrator has his.
///
/// # Errors
///
/// When there is none, with the way to get it.
pub(crate) fn find(program: &str) -> io::Result<PathBuf> {
    find_in(program, &std::env::var_os("PATH").unwrap_or_default())
}

fn find_in(program: &str, path: &OsStr) -> io::Result<PathBuf> {
    // First, since a distribution's release may be too old.
    let own = target().join("tools").join(program).join("bin");
    let folders = std::iter::once(own).chain(std::env::split_paths(path)).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file()).ok_or_else(|| {
        let what = format!("{program} is missing: `cargo xtask test` installs it");
        io::Error::new(io::ErrorKind::NotFound, what)
    })
}

#[cfg(test)]
mod tests {
    use super::{find, find_in};
    use std::ffi::OsStr;

    #[test]
    fn a_program_is_found_or_the_way_to_get_it_told() {
        assert!(find("sh").unwrap().is_absolute());
        let error = find_in("redis-server-of-old", OsStr::new("/nowhere:/usr/bin")).unwrap_err();
        assert!(error.to_string().contains("cargo xtask"), "{error}");
    }
}
