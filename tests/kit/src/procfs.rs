//! What a process used, read from Linux's `/proc` (proc_pid_stat(5)).

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// User and system time of a process and of those of its children that still live, all threads together.
///
/// The kernel counts it exactly and shows it in ticks of 10 ms, so measure over seconds.
///
/// # Errors
///
/// When the process is gone.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut total = own_cpu_time(pid)?;
    for child in children(pid)? {
        total += cpu_time(child)?;
    }
    Ok(total)
}

/// Resident memory in bytes (`VmRSS`) of a process and its living children.
///
/// # Errors
///
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let mut total = status_kib(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:")? * 1024;
    for child in children(pid)? {
        total += resident_bytes(child)?;
    }
    Ok(total)
}

/// The living children of a process, of all its threads.
///
/// # Errors
///
/// When the process is gone.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended since the folder was listed has no children left.
        let Ok(list) = fs::read_to_string(task?.path().join("children")) else { continue };
        found.extend(list.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    Ok(found)
}

/// How many files and sockets a process has open.
///
/// # Errors
///
/// When the process is gone, or is another user's.
pub fn open_files(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn own_cpu_time(pid: u32) -> io::Result<Duration> {
    let ticks = stat_ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
}

/// utime + stime. The command's name, field 2, may hold blanks and parentheses, so the fields count from its end.
fn stat_ticks(stat: &str) -> io::Result<u64> {
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace());
    let mut times = fields.into_iter().flatten().skip(11).map(str::parse::<u64>);
    match (times.next(), times.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(user + system),
        _ => Err(io::Error::new(ErrorKind::InvalidData, format!("not a /proc/PID/stat: {stat}"))),
    }
}

fn status_kib(status: &str, key: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("no {key} in /proc/PID/status")))
}

#[cfg(test)]
mod tests {
    use super::{cpu_time, resident_bytes, stat_ticks, status_kib};

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 5 6 20 0 1 0 99 1000 200";
        assert_eq!(stat_ticks(stat).unwrap(), 42);
        assert!(stat_ticks("7 (a) S 1").is_err());
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(status_kib("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:").unwrap(), 2048);
        assert!(status_kib("Name:\tx\n", "VmRSS:").is_err());
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut sum = 0_u64;
        while cpu_time(pid).unwrap() == before {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(resident_bytes(pid).unwrap() > 100_000, "{sum}");
    }
}
