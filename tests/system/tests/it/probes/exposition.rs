//! Reads the Prometheus text format 0.0.4 as strictly as `promtool check metrics` does: what a scraper would drop or
//! misread is an error here.

use std::collections::{BTreeMap, BTreeSet};

/// A page that keeps the rules.
#[derive(Debug, Default)]
pub(super) struct Page {
    kinds: BTreeMap<String, String>,
    helped: BTreeSet<String>,
    samples: BTreeMap<(String, String), f64>,
    /// The family that is being read, and those that are over.
    family: String,
    over: BTreeSet<String>,
}

impl Page {
    /// The type of a family.
    pub(super) fn kind(&self, family: &str) -> Option<&str> {
        self.kinds.get(family).map(String::as_str)
    }

    /// The value of one series; `labels` as they are written, without braces.
    pub(super) fn value(&self, name: &str, labels: &str) -> Option<f64> {
        self.samples.get(&(name.to_owned(), labels.to_owned())).copied()
    }

    fn enter(&mut self, family: &str) -> Result<(), String> {
        if self.family != family {
            let left = std::mem::replace(&mut self.family, family.to_owned());
            self.over.insert(left);
        }
        if self.over.contains(family) { Err(format!("{family} is in two places")) } else { Ok(()) }
    }

    fn comment(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.splitn(4, ' ');
        let (Some("#"), Some(what), Some(family)) = (words.next(), words.next(), words.next()) else {
            return Err("neither HELP nor TYPE".into());
        };
        self.enter(family)?;
        let text = words.next().unwrap_or_default();
        match what {
            "HELP" if text.is_empty() => Err("HELP without a text".into()),
            "HELP" if self.helped.insert(family.to_owned()) => Ok(()),
            "TYPE" if !matches!(text, "counter" | "gauge" | "histogram") => Err("an unknown type".into()),
            "TYPE" if text == "counter" && !family.ends_with("_total") => {
                Err("a counter without _total".into())
            }
            "TYPE" if self.kinds.insert(family.to_owned(), text.to_owned()).is_none() => Ok(()),
            _ => Err(format!("a second {what}")),
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let value: f64 = value.parse().map_err(|_| "the value is no number")?;
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').ok_or("no closing brace")?),
            None => (series, ""),
        };
        if !is_name(name) {
            return Err("not a metric's name".into());
        }
        check_labels(labels)?;
        let family = self.family_of(name).ok_or("a sample without TYPE before it")?;
        self.enter(&family)?;
        if self.kind(&family) == Some("counter") && value < 0.0 {
            return Err("a negative counter".into());
        }
        let twice = self.samples.insert((name.to_owned(), labels.to_owned()), value).is_some();
        if twice { Err("the same series twice".into()) } else { Ok(()) }
    }

    fn family_of(&self, name: &str) -> Option<String> {
        if self.kinds.get(name).is_some_and(|kind| kind != "histogram") {
            return Some(name.to_owned());
        }
        let bases = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        bases.filter(|base| self.kind(base) == Some("histogram")).map(str::to_owned).next()
    }

    /// Buckets grow, end with `+Inf`, and that is the count.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let Some(base) = name.strip_suffix("_bucket") else { continue };
            let (bound, others): (Vec<_>, Vec<_>) =
                split_labels(labels).into_iter().partition(|label| label.starts_with("le="));
            let [bound] = bound[..] else { return Err(format!("{name}{{{labels}}} has no bound")) };
            let bound = bound.trim_start_matches("le=").trim_matches('"');
            let bound: f64 = bound.parse().map_err(|_| format!("{name}: le={bound}"))?;
            buckets.entry((base.to_owned(), others.join(","))).or_default().push((bound, *value));
        }
        for ((base, labels), mut found) in buckets {
            let wrong = |what: &str| Err(format!("{base}{{{labels}}}: {what}"));
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            if found.windows(2).any(|pair| pair[0].1 > pair[1].1) {
                return wrong("a bucket is smaller than the one before");
            }
            if found.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
                return wrong("no bucket +Inf");
            }
            if self.value(&format!("{base}_count"), &labels) != found.last().map(|(_, count)| *count) {
                return wrong("the count is not that of +Inf");
            }
            if self.value(&format!("{base}_sum"), &labels).is_none() {
                return wrong("no sum");
            }
        }
        Ok(())
    }
}

/// Reads a whole page; an error names the line.
pub(super) fn parse(text: &str) -> Result<Page, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    let mut page = Page::default();
    for line in text.lines() {
        let read = if line.starts_with('#') { page.comment(line) } else { page.sample(line) };
        read.map_err(|fault| format!("{fault}: {line}"))?;
    }
    let without_help = page.kinds.keys().find(|family| !page.helped.contains(*family));
    match without_help {
        Some(family) => Err(format!("{family} has no HELP")),
        None => page.check_histograms().map(|()| page),
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

fn check_labels(labels: &str) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for label in split_labels(labels) {
        let (name, value) = label.split_once('=').ok_or("a label without value")?;
        let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
        if !is_name(name) || !quoted || !names.insert(name) {
            return Err(format!("a bad label {label}"));
        }
    }
    Ok(())
}

/// Splits at the commas outside of quotes.
fn split_labels(labels: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let outside = |char: char| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = quoted && char == '\\';
        quoted ^= char == '"';
        char == ',' && !quoted
    };
    labels.split(outside).filter(|label| !label.is_empty()).collect()
}

#[test]
fn what_a_scraper_would_misread_is_an_error() {
    let check = |text: &str, expect: &str| {
        let fault = parse(text).map(drop).unwrap_err();
        assert!(fault.contains(expect), "{fault}");
    };
    let head = "# HELP a_total A.\n# TYPE a_total counter\n";
    assert!(parse(&format!("{head}a_total{{x=\"1,}}\",y=\"\"}} 2\n")).is_ok());
    check(&format!("{head}a_total 2"), "no end");
    check(&format!("{head}a_total two\n"), "no number");
    check(&format!("{head}a_total 1\na_total 1\n"), "twice");
    check(&format!("{head}a_total{{x=1}} 1\n"), "bad label");
    check(&format!("{head}b_total 1\n"), "without TYPE");
    check("# TYPE a_total counter\na_total 1\n", "no HELP");
    check("# HELP a A.\n# TYPE a counter\na 1\n", "_total");
    let gauge = "# HELP g G.\n# TYPE g gauge\ng 1\n";
    check(&format!("{head}a_total{{x=\"1\"}} 1\n{gauge}a_total 1\n"), "two places");
    let histogram =
        |rest: &str| format!("# HELP h H.\n# TYPE h histogram\nh_bucket{{le=\"1\"}} 2\n{rest}h_sum 1\n");
    assert!(parse(&histogram("h_bucket{le=\"+Inf\"} 3\nh_count 3\n")).is_ok());
    check(&histogram("h_bucket{le=\"+Inf\"} 1\nh_count 1\n"), "smaller");
    check(&histogram("h_bucket{le=\"+Inf\"} 3\nh_count 2\n"), "not that of +Inf");
    check(&histogram("h_count 2\n"), "no bucket +Inf");
}
