//! The page as a whole: what a scrape shows for known figures, in both formats.

use super::{Buckets, Format, HistogramSnapshot, Registry, Total};
use std::time::Duration;

/// The lines of our own that contain `part`, in order.
fn lines(page: &str, part: &str) -> Vec<String> {
    page.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

#[test]
fn a_counter_is_total_in_both_formats() {
    let registry = Registry::new();
    registry.counters("requests", "Requests answered").with(&[]).add(3);
    let expect = "# HELP aqueduct_requests_total Requests answered\n\
                  # TYPE aqueduct_requests_total counter\n\
                  aqueduct_requests_total 3\n";
    assert_eq!(registry.encode(Format::Text), expect);
    let expect = "# HELP aqueduct_requests Requests answered\n\
                  # TYPE aqueduct_requests counter\n\
                  aqueduct_requests_total 3\n\
                  # EOF\n";
    assert_eq!(registry.encode(Format::OpenMetrics), expect);
}

#[test]
fn shares_are_summed_and_kept_after_their_end() {
    let registry = Registry::new();
    let counters = registry.counters("requests", "Requests");
    let gauges = registry.gauges("in_flight", "In flight");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (counter, gauge) = (counters.with(&[("route", "a")]), gauges.with(&[]));
            std::thread::spawn(move || {
                (0..1000).for_each(|_| counter.inc());
                gauge.add(7);
                gauge.dec();
                gauge
            })
        })
        .collect();
    let kept: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for _ in 0..2 {
        let page = registry.encode(Format::Text);
        assert_eq!(lines(&page, "requests_total{"), [r#"aqueduct_requests_total{route="a"} 4000"#]);
        assert_eq!(
            lines(&page, "in_flight "),
            [
                "# HELP aqueduct_in_flight In flight",
                "# TYPE aqueduct_in_flight gauge",
                "aqueduct_in_flight 24"
            ]
        );
    }
    // A gauge tells what is now, so a share that is gone counts no more; a counter goes on.
    drop(kept);
    registry.counters("requests", "Requests").with(&[("route", "a")]).inc();
    let page = registry.encode(Format::Text);
    assert_eq!(lines(&page, "requests_total{"), [r#"aqueduct_requests_total{route="a"} 4001"#]);
    assert_eq!(lines(&page, "in_flight 0"), ["aqueduct_in_flight 0"]);
}

#[test]
fn what_comes_and_goes_is_shown_to_its_end_and_no_longer() {
    let registry = Registry::new();
    let (counters, gauges) = (registry.counters("opened", "Opened"), registry.gauges("open", "Open"));
    let labels = [("endpoint", "a")];
    let (one, other, gauge) = (counters.passing(&labels), counters.passing(&labels), gauges.passing(&labels));
    counters.with(&[("endpoint", "kept")]).inc();
    let check = |opened: &[&str], open: &[&str]| {
        let page = registry.encode(Format::Text);
        assert_eq!(lines(&page, r#"opened_total{endpoint="a"}"#), opened);
        assert_eq!(lines(&page, "open{"), open);
        assert_eq!(lines(&page, "kept"), [r#"aqueduct_opened_total{endpoint="kept"} 1"#]);
    };
    one.add(2);
    other.inc();
    drop(one);
    check(&[r#"aqueduct_opened_total{endpoint="a"} 3"#], &[r#"aqueduct_open{endpoint="a"} 0"#]);
    other.inc();
    drop((other, gauge));
    check(&[r#"aqueduct_opened_total{endpoint="a"} 4"#], &[r#"aqueduct_open{endpoint="a"} 0"#]);
    check(&[], &[]);
    counters.passing(&labels).inc();
    check(&[r#"aqueduct_opened_total{endpoint="a"} 1"#], &[]);
}

#[test]
fn a_histogram_puts_bounds_in_the_lower_bucket() {
    static BUCKETS: Buckets = Buckets { bounds: &[1, 10, 100], per_base_unit: 10 };
    let registry = Registry::new();
    let sizes = registry.histograms("sizes", "Sizes", &BUCKETS);
    let share = sizes.with(&[]);
    for value in [0, 1, 2, 10, 11, 100, 101, 1000] {
        share.observe(value);
    }
    let page = registry.encode(Format::Text);
    let expect = [
        "# HELP aqueduct_sizes Sizes",
        "# TYPE aqueduct_sizes histogram",
        "aqueduct_sizes_sum 122.5",
        "aqueduct_sizes_count 8",
        r#"aqueduct_sizes_bucket{le="0.1"} 2"#,
        r#"aqueduct_sizes_bucket{le="1.0"} 4"#,
        r#"aqueduct_sizes_bucket{le="10.0"} 6"#,
        r#"aqueduct_sizes_bucket{le="+Inf"} 8"#,
    ];
    assert_eq!(lines(&page, "sizes"), expect);
    assert_eq!(sizes.total(), Total { count: 8, sum: Duration::from_nanos(1225) });
}

#[test]
fn durations_are_shown_in_seconds() {
    let registry = Registry::new();
    let durations = registry.histograms("wait_seconds", "Wait", &Buckets::SECONDS);
    durations.with(&[]).observe_duration(Duration::from_micros(250));
    durations.with(&[]).observe_duration(Duration::from_hours(24 * 365));
    let page = registry.encode(Format::Text);
    assert_eq!(lines(&page, r#"le="0.00025""#), [r#"aqueduct_wait_seconds_bucket{le="0.00025"} 1"#]);
    assert_eq!(lines(&page, "0.0001").len(), 1);
    assert_eq!(lines(&page, r#"le="10.0""#), [r#"aqueduct_wait_seconds_bucket{le="10.0"} 1"#]);
    assert_eq!(lines(&page, "sum"), ["aqueduct_wait_seconds_sum 31536000.00025"]);
    assert_eq!(durations.total().count, 2);
}

#[test]
fn collectors_are_read_at_each_scrape() {
    let registry = Registry::new();
    let calls = std::sync::atomic::AtomicU64::new(0);
    registry.collect(move |snapshot| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        snapshot.counter("scrapes", "Scrapes", call);
        snapshot.counter("busy_seconds", "Busy", Duration::from_millis(1500));
        snapshot.gauges("bytes", "Bytes", [([("kind", "a")], 7_u64), ([("kind", "b")], 8)]);
        let histogram = HistogramSnapshot { bounds: &[1.0, 8.0], counts: &[5, 0, 2], sum: 30.0 };
        snapshot.histogram("batch", "Batch sizes", histogram);
    });
    let _ = registry.encode(Format::Text);
    let page = registry.encode(Format::Text);
    assert_eq!(lines(&page, "scrapes_total 1"), ["aqueduct_scrapes_total 1"]);
    assert_eq!(lines(&page, "busy_seconds_total 1"), ["aqueduct_busy_seconds_total 1.5"]);
    assert_eq!(lines(&page, "bytes{"), [r#"aqueduct_bytes{kind="a"} 7"#, r#"aqueduct_bytes{kind="b"} 8"#]);
    let expect = [
        r#"aqueduct_batch_bucket{le="1.0"} 5"#,
        r#"aqueduct_batch_bucket{le="8.0"} 5"#,
        r#"aqueduct_batch_bucket{le="+Inf"} 7"#,
    ];
    assert_eq!(lines(&page, "bucket"), expect);
}

#[test]
fn label_values_cannot_break_out() {
    let registry = Registry::new();
    registry.counters("requests", "Requests").with(&[("route", "a\"} 1\n\\b")]).inc();
    let page = registry.encode(Format::Text);
    assert_eq!(lines(&page, "requests_total{"), [r#"aqueduct_requests_total{route="a\"} 1\n\\b"} 1"#]);
}

#[tokio::test]
async fn the_process_and_its_tasks_are_shown() {
    let registry = Registry::new();
    registry.collect_process();
    registry.collect_tasks();
    let runtime = tokio::runtime::Handle::current();
    registry.collect_runtimes(move || vec![aqueduct_runtime::worker::RuntimeStats::of("main", &runtime)]);
    let task = aqueduct_runtime::task::spawn("shown", std::future::pending::<()>());
    let page = registry.encode(Format::Text);
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<f64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1e5);
    assert!(value("process_open_fds ") >= 3.0);
    assert!(value("process_threads ") >= 1.0);
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    let (start, now) =
        (value("process_start_time_seconds "), aqueduct_runtime::clock::since_epoch().as_secs_f64());
    assert!(start > now - 3600.0 && start < now + 2.0, "{start} {now}");
    assert!((value("aqueduct_tasks{name=\"shown\"}") - 1.0).abs() < 0.1);
    assert!((value("aqueduct_runtime_tasks{runtime=\"main\"}") - 1.0).abs() < 0.1);
    task.abort();
}

/// What `promtool check metrics` and the text format demand of a page.
fn lint(page: &str) {
    let mut described = std::collections::BTreeMap::new();
    for line in page.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", _, help] => assert!(!help.is_empty(), "{line}"),
            ["#", "TYPE", name, kind] => {
                assert!(described.insert(name, kind).is_none(), "{name} is described twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(!name.contains("_ms") && !name.contains("milli"), "{line}: not a base unit");
            }
            _ => {
                let name = line.split(['{', ' ']).next().unwrap();
                let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
                let histogram = parts.is_some_and(|name| described.get(name) == Some(&"histogram"));
                assert!(described.contains_key(name) || histogram, "{line}: no TYPE before it");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
        }
    }
    assert!(page.ends_with('\n') && described.len() > 10, "{page}");
}

#[tokio::test]
async fn the_page_is_clean() {
    let registry = Registry::new();
    registry.collect_process();
    registry.collect_tasks();
    let runtime = tokio::runtime::Handle::current();
    registry.collect_runtimes(move || vec![aqueduct_runtime::worker::RuntimeStats::of("main", &runtime)]);
    registry.counters("requests", "Requests").with(&[("route", "a")]).inc();
    // A family nobody has a share of is not described.
    registry.counters("unused", "Unused");
    registry.gauges("in_flight", "In flight").with(&[]).inc();
    registry.histograms("request_duration_seconds", "Time to answer", &Buckets::SECONDS).with(&[]).observe(1);
    registry.histograms("request_bytes", "Bodies", &Buckets::BYTES).with(&[("route", "a")]).observe(1);
    let page = registry.encode(Format::Text);
    lint(&page);
    assert!(!page.contains("unused") && !page.contains("EOF"));
}

#[test]
fn open_metrics_is_for_those_who_ask() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert_eq!(Format::negotiate(Some(prometheus)), Format::OpenMetrics);
    assert_eq!(Format::negotiate(Some("*/*")), Format::Text);
    assert_eq!(Format::negotiate(None), Format::Text);
    assert!(Format::OpenMetrics.content_type().starts_with("application/openmetrics-text; version=1.0.0"));
    assert_eq!(Format::Text.content_type(), "text/plain; version=0.0.4; charset=utf-8");
}
