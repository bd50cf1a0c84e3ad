//! The report of `bench netstack`: a table for each size and number of connections, and where io_uring is worth it.

use super::counters::{Count, Snapshot};
use super::{Args, Figures, IN_FLIGHT, SHARE, Stack};
use crate::median::{extremes, median};
use crate::table::Table;

/// From this part less CPU, a stack is worth having.
const WORTH: f64 = 0.10;

/// Markdown, which also reads well on a terminal.
pub(super) fn write(args: &Args, facts: &[String], all: &[Figures]) -> String {
    let mut parts = vec!["# What it costs to carry a message: our loop, epoll, io_uring".to_owned()];
    let command = format!("Command: `cargo xtask bench netstack -- {}`", options(args));
    parts.push(list(facts.iter().cloned().chain([command])));
    parts.push(how(args));
    for &size in &args.sizes {
        for &connections in &args.connections {
            let group: Vec<_> = all
                .iter()
                .filter(|figures| figures.size == size as usize && figures.connections == connections)
                .collect();
            parts.push(format!("## {size} bytes, {connections} connections"));
            parts.push(table(&group).to_string());
            parts.push(list(verdicts(&group)));
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}

fn options(args: &Args) -> String {
    let join = |items: Vec<String>| items.join(",");
    format!(
        "--messages {} --rounds {} --stacks {} --sizes {} --connections {}",
        args.messages,
        args.rounds,
        join(args.stacks.iter().map(|stack| stack.name().to_owned()).collect()),
        join(args.sizes.iter().map(ToString::to_string).collect()),
        join(args.connections.iter().map(ToString::to_string).collect()),
    )
}

fn how(args: &Args) -> String {
    format!(
        "A server that echoes messages with a length in front, one thread on the last core; the client, our own on epoll, on the \
         others. {IN_FLIGHT} messages are in flight; the connections take turns. {} messages a load (of more than 10,000 bytes a \
         fiftieth), {} rounds in which the stacks take turns, after one to warm up: the medians, and the range. CPU is the time of the \
         server's thread (schedstat) and of the kernel's io_uring threads. Calls are system calls a message; reads and writes of \
         io_uring are completions, its calls are io_uring_enter alone. Copied are the bytes a message that the server itself copied \
         from one buffer to another; the kernel copies them in and out besides. The delay is from the client's clock before it sends \
         to the handler's when the message is complete, at one rate for all: {:.0} % of our loop's peak, evenly spaced.",
        args.messages,
        args.rounds,
        SHARE * 100.0
    )
}

fn table(group: &[&Figures]) -> Table {
    let rate = group.first().map_or(f64::NAN, |figures| figures.rate);
    let delay = format!("delay p50 µs at {rate:.0}/s");
    let mut table = Table::new([
        "stack",
        "CPU µs/msg",
        "range",
        "peak msg/s",
        "calls",
        "reads",
        "writes",
        "copied",
        &delay,
        "p99 µs",
    ]);
    for figures in group {
        let each = |what: Count| median(figures.counted.iter().map(|counted| part(counted, what)));
        let calls = match figures.stack {
            Stack::Ours | Stack::Epoll => each(Count::Waits) + each(Count::Reads) + each(Count::Writes),
            Stack::Uring | Stack::UringZc => each(Count::Waits),
        };
        let (low, high) = extremes(figures.cpu_us.iter().copied());
        let delay = |part: f64| median(figures.paced.iter().map(|paced| paced.delay(part)));
        table.row([
            figures.stack.name().to_owned(),
            format!("{:.2}", cpu(figures)),
            format!("{low:.2} to {high:.2}"),
            format!("{:.0}", median(figures.peak.iter().copied())),
            format!("{calls:.3}"),
            format!("{:.2}", each(Count::Reads)),
            format!("{:.2}", each(Count::Writes)),
            format!("{:.0}", each(Count::Copied)),
            format!("{:.0}", delay(0.5)),
            format!("{:.0}", delay(0.99)),
        ]);
    }
    table
}

fn cpu(figures: &Figures) -> f64 {
    median(figures.cpu_us.iter().copied())
}

fn part(counted: &Snapshot, what: Count) -> f64 {
    counted.of(what) as f64 / counted.of(Count::Messages) as f64
}

fn verdicts(group: &[&Figures]) -> Vec<String> {
    let Some(ours) = group.iter().find(|figures| figures.stack == Stack::Ours) else { return Vec::new() };
    let others = group.iter().filter(|figures| figures.stack != Stack::Ours);
    let mut lines: Vec<String> =
        others.map(|figures| verdict(figures.stack.name(), cpu(figures) / cpu(ours))).collect();
    for figures in group.iter().filter(|figures| figures.stack == Stack::UringZc) {
        let total = |what: Count| figures.counted.iter().map(|counted| counted.of(what)).sum::<u64>();
        let (all, copied) = (total(Count::ZeroCopies), total(Count::ZeroCopiesCopied));
        lines.push(format!(
            "of {all} sends without a copy the kernel says that it copied {copied} all the same"
        ));
    }
    lines
}

fn verdict(name: &str, part: f64) -> String {
    let less = 1.0 - part;
    let word = if less > WORTH { "wins by more than 10 %" } else { "does not win by more than 10 %" };
    format!("CPU of {name} / ours = {part:.3}: {word}")
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_tenth_is_not_more_than_a_tenth() {
        assert!(verdict("uring", 0.89).ends_with("0.890: wins by more than 10 %"));
        assert!(verdict("uring", 0.91).ends_with("does not win by more than 10 %"));
    }
}
