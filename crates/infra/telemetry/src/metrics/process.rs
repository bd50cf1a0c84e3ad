//! What every process shows: its own figures from `/proc`, and what its tokio runtimes and tasks do.

use super::{Registry, Snapshot, lock};
use aqueduct_runtime::{task, worker::RuntimeStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::fs;

/// The unit of times in `/proc`. `USER_HZ` is part of the kernel's interface and 100 on every platform we build for.
const TICKS_PER_SECOND: f64 = 100.0;

impl Registry {
    /// Shows `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`, `process_threads` and
    /// `process_start_time_seconds`: the names that all Prometheus clients share, hence without our prefix. What the
    /// system does not tell is left out.
    pub fn collect_process(&self) {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Process));
        *lock(&self.process) = Some(registry);
    }

    /// Shows the tasks alive, spawned and panicked by name.
    pub fn collect_tasks(&self) {
        self.collect(|snapshot| {
            let counts = task::counts();
            let by_name = |value: fn(&task::TaskCount) -> u64| {
                counts.iter().map(move |count| ([("name", count.name)], value(count)))
            };
            snapshot.gauges("tasks", "Tasks that have not ended", by_name(|count| count.alive));
            snapshot.counters("tasks_spawned", "Tasks spawned", by_name(|count| count.spawned));
            snapshot.counters("task_panics", "Tasks that ended by a panic", by_name(|count| count.panicked));
        });
    }

    /// Shows what tokio runtimes do, as read at each scrape: [`RuntimeStats::of`] a runtime, or a worker's
    /// [`stats_reader`](aqueduct_runtime::worker::Workers::stats_reader). Call it once, for all runtimes.
    pub fn collect_runtimes(&self, read: impl Fn() -> Vec<RuntimeStats> + Send + Sync + 'static) {
        self.collect(move |snapshot| {
            let all = read();
            let label = |stats: &RuntimeStats| stats.name.clone();
            let names: Vec<_> = all.iter().map(label).collect();
            let rows = || names.iter().map(String::as_str).zip(&all);
            let busy = rows().map(|(name, stats)| ([("runtime", name)], stats.busy));
            snapshot.counters("runtime_busy_seconds", "Time that threads did not wait for events", busy);
            let parks = rows().map(|(name, stats)| ([("runtime", name)], stats.parks));
            snapshot.counters("runtime_parks", "Times that threads went to wait for events", parks);
            let threads = rows().map(|(name, stats)| ([("runtime", name)], stats.threads));
            snapshot.gauges("runtime_threads", "Threads that run tasks", threads);
            let tasks = rows().map(|(name, stats)| ([("runtime", name)], stats.alive_tasks));
            snapshot.gauges("runtime_tasks", "Tasks that have not ended", tasks);
            let queued = rows().map(|(name, stats)| ([("runtime", name)], stats.global_queue));
            snapshot.gauges("runtime_queued_tasks", "Tasks woken from other threads and not run yet", queued);
        });
    }
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut snapshot = Snapshot::new(&mut encoder);
        if let Some(Stat { cpu_seconds, started_after_boot }) = read_stat() {
            snapshot.counter("process_cpu_seconds", "CPU time used, user and system", cpu_seconds);
            if let Some(boot) = boot_time() {
                let help = "Start of the process, in seconds since the Unix epoch";
                snapshot.gauge("process_start_time_seconds", help, boot + started_after_boot);
            }
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(kibibytes) = number_after(&status, "VmRSS:") {
            snapshot.gauge("process_resident_memory_bytes", "Memory in RAM", kibibytes * 1024);
        }
        if let Some(threads) = number_after(&status, "Threads:") {
            snapshot.gauge("process_threads", "Threads of the process", threads);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            snapshot.gauge("process_open_fds", "Open file descriptors", entries.count());
        }
        snapshot.finish()
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

fn read_stat() -> Option<Stat> {
    parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// proc_pid_stat(5). The second field, the command in parentheses, may itself contain blanks and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(") ")?;
    let seconds = |index: usize| Some(rest.split(' ').nth(index)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    // Fields 14, 15 and 22 of the whole line; the rest begins with the third.
    Some(Stat { cpu_seconds: seconds(11)? + seconds(12)?, started_after_boot: seconds(19)? })
}

/// When the machine started, in seconds since the Unix epoch.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The first number of the line that starts with `name`, as in `/proc/self/status` and `/proc/meminfo`.
pub(crate) fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Stat, number_after, parse_stat};

    #[test]
    fn a_command_may_look_like_fields() {
        let line = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 12345 1 2 3";
        assert_eq!(parse_stat(line), Some(Stat { cpu_seconds: 3.0, started_after_boot: 123.45 }));
        assert_eq!(parse_stat("7 (truncated) S 1"), None);
    }

    #[test]
    fn numbers_are_found_by_name() {
        assert_eq!(number_after("VmRSS:\t    5120 kB\nThreads:\t9\n", "Threads:"), Some(9));
        assert_eq!(number_after("VmRSS:\t    5120 kB\n", "VmRSS:"), Some(5120));
        assert_eq!(number_after("VmRSS:\t    5120 kB\n", "VmHWM:"), None);
    }
}
