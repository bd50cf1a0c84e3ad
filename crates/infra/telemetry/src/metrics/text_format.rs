//! The older Prometheus text format, made from `OpenMetrics`. They differ, for what we write, in one thing: a counter's
//! `HELP` and `TYPE` carry `_total` as its sample does.

/// Rewrites a page that `prometheus-client` wrote. Its `HELP` line always stands directly before its `TYPE`.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 16);
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let counter = match line.strip_prefix("# HELP ") {
            Some(_) => lines.peek().is_some_and(|next| next.ends_with(" counter")),
            None => line.starts_with("# TYPE ") && line.ends_with(" counter"),
        };
        if counter {
            push_total(&mut out, line);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// `# TYPE name rest` becomes `# TYPE name_total rest`.
fn push_total(out: &mut String, line: &str) {
    for (index, word) in line.splitn(4, ' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(word);
        if index == 2 {
            out.push_str("_total");
        }
    }
}
