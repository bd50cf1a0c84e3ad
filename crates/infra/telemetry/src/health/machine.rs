//! What the process may use and what of it is in use: from its cgroup (v2) where that has a limit, otherwise from the
//! machine's `/proc`. Files that are missing or unreadable give no figure.

use crate::metrics::number_after;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files of one machine; a test gives another root.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
    /// The process's own cgroup and those around it, innermost first. A limit of any of them binds.
    cgroups: Vec<PathBuf>,
}

/// CPU time used and available since some fixed moment, in the same unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cpu {
    used: f64,
    available: f64,
}

impl Cpu {
    pub(super) fn fraction_since(self, before: Self) -> f64 {
        let available = self.available - before.available;
        if available <= 0.0 {
            return 0.0;
        }
        // A cgroup may use a little more than its quota within one period.
        ((self.used - before.used) / available).clamp(0.0, 1.0)
    }
}

impl Machine {
    pub(super) fn at(root: &Path) -> Self {
        Self { cgroups: cgroups(root), root: root.to_owned() }
    }

    /// `elapsed` is the wall time since a moment of the caller's choice.
    pub(super) fn cpu(&self, elapsed: Duration) -> Option<Cpu> {
        let limited = self.cgroups.iter().find_map(|group| {
            let cores = cpu_limit(&read(group, "cpu.max")?)?;
            let used = number_after(&read(group, "cpu.stat")?, "usage_usec")?;
            #[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
            Some(Cpu { used: used as f64, available: elapsed.as_secs_f64() * 1e6 * cores })
        });
        limited.or_else(|| machine_cpu(&read(&self.root, "proc/stat")?))
    }

    /// The part of the memory in use, without page cache that can be given back.
    pub(super) fn memory(&self) -> Option<f64> {
        let limited = self.cgroups.iter().find_map(|group| {
            let limit = read(group, "memory.max")?.trim().parse().ok()?;
            let used: u64 = read(group, "memory.current")?.trim().parse().ok()?;
            let cache = read(group, "memory.stat").and_then(|stat| number_after(&stat, "inactive_file"));
            Some(fraction(used.saturating_sub(cache.unwrap_or(0)), limit))
        });
        limited.or_else(|| {
            let meminfo = read(&self.root, "proc/meminfo")?;
            let (total, available) =
                (number_after(&meminfo, "MemTotal:")?, number_after(&meminfo, "MemAvailable:")?);
            Some(fraction(total.saturating_sub(available), total))
        })
    }
}

fn cgroups(root: &Path) -> Vec<PathBuf> {
    let membership = read(root, "proc/self/cgroup").unwrap_or_default();
    // Version 2 is the line with number 0 and no controllers.
    let Some(path) = membership.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    let top = root.join("sys/fs/cgroup");
    let ancestors = Path::new(path).ancestors().map(|ancestor| top.join(ancestor));
    ancestors.collect()
}

/// `cpu.max` in cores: `quota period`, or `max period` for none.
fn cpu_limit(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then_some(quota / period)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (guest time is in user).
fn machine_cpu(stat: &str) -> Option<Cpu> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let available: f64 = ticks.iter().sum();
    Some(Cpu { used: available - idle, available })
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn fraction(used: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { (used as f64 / of as f64).min(1.0) }
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Machine};
    use std::fs;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn without_limits_the_machine_counts() {
        let (_root, machine) = machine(&[
            ("proc/self/cgroup", "0::/user.slice\n"),
            ("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            ("proc/stat", "cpu  10 20 30 900 40 0 0 0 5 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"),
            ("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n"),
        ]);
        let cpu = machine.cpu(SECOND).unwrap();
        assert_eq!(cpu, Cpu { used: 60.0, available: 1000.0 });
        assert_eq!(machine.memory(), Some(0.75));
        let later = Cpu { used: 110.0, available: 1100.0 };
        assert!((later.fraction_since(cpu) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_nearest_limit_binds() {
        let (_root, machine) = machine(&[
            ("proc/self/cgroup", "1:name=systemd:/x\n0::/pod/container\n"),
            ("sys/fs/cgroup/pod/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/pod/cpu.stat", "usage_usec 400000\nuser_usec 1\n"),
            ("sys/fs/cgroup/pod/container/memory.max", "1000\n"),
            ("sys/fs/cgroup/pod/container/memory.current", "900\n"),
            ("sys/fs/cgroup/pod/container/memory.stat", "anon 1\ninactive_file 300\n"),
            ("proc/stat", "cpu  1 1 1 1 1 1 1 1 0 0\n"),
        ]);
        // Half a core for two seconds are 1,000,000 µs.
        assert_eq!(machine.cpu(2 * SECOND), Some(Cpu { used: 400_000.0, available: 1_000_000.0 }));
        assert_eq!(machine.memory(), Some(0.6));
    }

    #[test]
    fn nothing_readable_gives_no_figure() {
        let (_root, machine) = machine(&[("proc/stat", "cpu  garbage\n")]);
        assert_eq!((machine.cpu(SECOND), machine.memory()), (None, None));
    }

    #[test]
    fn this_machine_has_figures() {
        let machine = Machine::at(std::path::Path::new("/"));
        assert!(machine.cpu(SECOND).is_some());
        let memory = machine.memory().unwrap();
        assert!(memory > 0.0 && memory <= 1.0, "{memory}");
    }
}
