//! Programs and libraries of a newer release of the system, unpacked beside what needs them: nothing is installed, and
//! the system's configuration is read, not changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::Steps;
use crate::tools;

/// Where the libraries lie in what [`unpack`] unpacks, the loader among them.
const WITHIN: &str = "usr/lib/x86_64-linux-gnu";
/// The loader's name there.
const LOADER: &str = "ld-linux-x86-64.so.2";

/// The releases with glibc 2.38 or newer, by the origin that a mirror says its packages have. A release's name, not a
/// version, so that its point releases may come and go.
const RELEASES: [(&str, &str); 2] = [("Debian", "trixie"), ("Ubuntu", "noble")];

/// A program that finds the loader and the libraries in `unpacked`.
pub(crate) fn command(unpacked: &Path, program: &Path) -> Command {
    let libraries = unpacked.join(WITHIN);
    let mut command = Command::new(libraries.join(LOADER));
    command.arg("--library-path").arg(libraries).arg(program);
    command
}

/// Fetches `packages` and what they depend on through apt, and unpacks all into `folder`. `needs` says what for, should that not be
/// possible here.
pub(crate) fn unpack(steps: &mut Steps, folder: &Path, packages: &[&str], needs: &str) -> Result<()> {
    if !tools::on_path("apt-get") || std::env::consts::ARCH != "x86_64" {
        bail!("{needs}, and only on Debian and Ubuntu on x86-64 it can be fetched from a newer release");
    }
    let source = match source()? {
        Some(source) => source,
        None if tools::is_root() => {
            steps.run("package lists", Command::new("apt-get").args(["update", "-qq"]))?;
            source()?.with_context(|| format!("{needs}, and apt knows no mirror of Debian or Ubuntu"))?
        }
        None => bail!("{needs}; to fetch it, apt has to know its mirror. Run: sudo apt-get update"),
    };
    // Under its own name once it is whole.
    let part = folder.with_extension("part");
    for earlier in [folder, &part] {
        if earlier.exists() {
            fs::remove_dir_all(earlier).context("remove what an earlier run left")?;
        }
    }
    let apt = Apt::new(part.join("apt"), &source)?;
    steps.run("newer package lists", apt.command().args(["update", "-qq"]))?;
    let mut download = apt.command();
    download.args(["install", "-qq", "-y", "--download-only", "--no-install-recommends"]);
    steps.run("newer packages", download.args(packages))?;
    for package in fs::read_dir(apt.root.join("archives"))?.collect::<std::io::Result<Vec<_>>>()? {
        if package.path().extension().is_some_and(|extension| extension == "deb") {
            tools::output(Command::new("dpkg-deb").arg("--extract").arg(package.path()).arg(&part))?;
        }
    }
    fs::remove_dir_all(&apt.root).context("remove the package lists")?;
    fs::rename(&part, folder).with_context(|| format!("make {}", folder.display()))
}

/// A line for apt's `sources.list`: the newer release, on the mirror that the system uses.
fn source() -> Result<Option<String>> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(CREATED_BY) $(COMPONENT) $(ORIGIN) $(LABEL) $(REPO_URI)"]);
    Ok(source_among(&tools::output(&mut targets)?))
}

fn source_among(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        // The security archive has the same origin and another label.
        let (origin, uri) = match line.split(' ').collect::<Vec<_>>()[..] {
            ["Packages", "main", origin, label, uri] if label == origin => (origin, uri),
            _ => return None,
        };
        let (_, release) = RELEASES.iter().find(|(name, _)| *name == origin)?;
        let keys = format!("/usr/share/keyrings/{}-archive-keyring.gpg", origin.to_lowercase());
        Some(format!("deb [signed-by={keys}] {uri} {release} main\n"))
    })
}

/// apt with lists and a state of its own, so that it needs no root.
struct Apt {
    root: PathBuf,
}

impl Apt {
    fn new(root: PathBuf, source: &str) -> Result<Apt> {
        for folder in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(root.join(folder)).with_context(|| format!("make {}", root.display()))?;
        }
        fs::write(root.join("sources.list"), source)?;
        // Nothing is installed, from where apt stands.
        fs::write(root.join("status"), "")?;
        let here = root.display();
        let configuration = format!(
            "Dir::Etc {{ sourcelist \"{here}/sources.list\"; sourceparts \"{here}/none\"; }};\n\
             Dir::Etc {{ preferences \"/dev/null\"; preferencesparts \"{here}/none\"; }};\n\
             Dir::State \"{here}\"; Dir::State {{ lists \"{here}/lists\"; status \"{here}/status\"; }};\n\
             Dir::Cache \"{here}\"; Dir::Cache::archives \"{here}/archives\";\n\
             Acquire {{ Languages \"none\"; IndexTargets::deb::DEP-11::DefaultEnabled \"false\"; }};\n\
             # Root's apt would hand the download to a user who may not see this folder.\n\
             APT::Sandbox::User \"root\";\n"
        );
        fs::write(root.join("apt.conf"), configuration)?;
        Ok(Apt { root })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.current_dir(&self.root).arg("--config-file").arg(self.root.join("apt.conf"));
        command
    }
}

#[cfg(test)]
mod tests {
    use super::source_among;

    #[test]
    fn the_mirror_is_the_one_of_the_system() {
        let targets = "DEP-11 main Debian Debian http://mirror.test/debian/\n\
                       Packages main Debian Debian-Security http://mirror.test/security/\n\
                       Packages main . Docker http://other.test/\n\
                       Packages main   http://unread.test/\n\
                       Packages main Debian Debian http://mirror.test/debian/\n";
        let line = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.test/debian/ trixie main\n";
        assert_eq!(source_among(targets).as_deref(), Some(line));
        assert_eq!(source_among("Packages main   http://unread.test/\n"), None);
    }
}
