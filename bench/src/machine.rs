//! Where and when a run was taken, and the file that it is kept in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::binary::workspace;
use rustix::process::{Resource, getrlimit, setrlimit};

/// One line each: date, commit, processor, memory, kernel, and how busy the machine was already.
pub(crate) fn facts() -> Vec<String> {
    let cpu = read_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read_line("/proc/meminfo", "MemTotal").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ");
    vec![
        format!("Date: {}", first_line("date", &["-u", "+%F %H:%M UTC"])),
        format!("Commit: {}", commit()),
        format!("Machine: {cpu}, {cores} cores, {memory}"),
        format!("Kernel: {}", first_line("uname", &["-sr"])),
        format!("Load before the run (1, 5, 15 min): {load}"),
    ]
}

/// Gives the last core to what is measured, and everything else, this process first, the others. `None` where there is only
/// one core.
pub(crate) fn split_cores() -> Result<Option<usize>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Ok(None);
    }
    // Threads and children that start later inherit it.
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-c", "-p", &format!("0-{}", cores - 2), &std::process::id().to_string()]);
    let output = taskset.output().context("start taskset")?;
    ensure!(output.status.success(), "taskset failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(cores - 1))
}

/// Raises the limit of open files for this process, and for its children, which inherit it.
///
/// # Errors
///
/// When fewer than `count` are allowed.
pub(crate) fn allow_files(count: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    ensure!(
        limit.maximum.is_none_or(|most| most >= count),
        "{count} open files are needed, and {} allowed: raise `ulimit -Hn`, or ask for fewer with --connections",
        limit.maximum.unwrap_or_default()
    );
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raise the limit of open files")
}

/// What the processors did since the machine started, in its ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Processors {
    all: u64,
    stolen: u64,
}

/// Likewise, now.
pub(crate) fn processors() -> Processors {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what comes behind is contained in the first two.
    let line = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    let ticks: Vec<u64> = line.take(8).filter_map(|number| number.parse().ok()).collect();
    Processors { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or_default() }
}

impl Processors {
    /// The share of the time until `later` that the machine below this one kept for itself.
    pub(crate) fn stolen_until(&self, later: &Self) -> f64 {
        let all = later.all.saturating_sub(self.all).max(1);
        later.stolen.saturating_sub(self.stolen) as f64 / all as f64
    }
}

/// The first line that a command prints on either stream, or a word saying that it did not run.
pub(crate) fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(workspace()).output();
    let Ok(output) = output else { return format!("{program}: not found") };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// Writes a run to `bench/runs/<date>-<what>.md`; a later one of the same day gets a number. Answers the path.
pub(crate) fn keep(what: &str, report: &str) -> Result<PathBuf> {
    let folder = workspace().join("bench/runs");
    fs::create_dir_all(&folder).context("make bench/runs")?;
    let date = first_line("date", &["-u", "+%F"]);
    ensure!(date.len() == 10, "`date` printed no date: {date}");
    let names =
        (1..).map(|n| if n == 1 { format!("{date}-{what}.md") } else { format!("{date}-{what}-{n}.md") });
    let free = names.map(|name| folder.join(name)).find(|path| !path.exists()).context("name the run")?;
    fs::write(&free, report).with_context(|| format!("write {}", free.display()))?;
    Ok(free)
}

fn commit() -> String {
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"]);
    let note = if changed.is_empty() { "" } else { ", with uncommitted changes" };
    format!("{}{note}", first_line("git", &["rev-parse", "--short=10", "HEAD"]))
}

fn read_line(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
