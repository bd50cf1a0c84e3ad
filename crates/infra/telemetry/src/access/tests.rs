//! Lines as they are written, sampling, and what happens when the writer cannot follow.

use super::{AccessLog, AccessOptions, AccessStats, Entry, Format, Reject, Target, Template};
use aqueduct_runtime::context::Context;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps what is written. With a gate, each write waits for one word from it; `Err` fails it.
struct Sink {
    written: Arc<Mutex<Vec<u8>>>,
    gate: Option<(Sender<()>, Receiver<io::Result<()>>)>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((entered, gate)) = &self.gate {
            entered.send(()).map_err(io::Error::other)?;
            gate.recv().map_err(io::Error::other)??;
        }
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn context() -> Context {
    Context::parse_traceparent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap()
}

fn entry(path: &str) -> Entry<'_> {
    Entry::new("GET", path, 200, context())
}

/// Options under which the writer only writes when it is told to.
fn patient() -> AccessOptions {
    AccessOptions { linger: Duration::from_hours(1), ..AccessOptions::default() }
}

fn lines(written: &Mutex<Vec<u8>>) -> Vec<Value> {
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_has_what_is_known() {
    let mut out = Vec::new();
    super::line::render(&mut out, &entry("/"), 1_740_817_800_125);
    let expect = r#"{"time":"2025-03-01T08:30:00.125Z","method":"GET","path":"/","status":200,"duration_us":0,"request_bytes":0,"response_bytes":0,"trace_id":"0af7651916cd43dd8448eb211c80319c"}"#;
    assert_eq!(str::from_utf8(&out).unwrap().trim_end(), expect);
}

#[test]
fn every_member_is_there_and_escaped() {
    let all = Entry {
        route: Some("/v1/orders/{id}"),
        grpc_status: Some(14),
        duration: Duration::from_micros(1234),
        request_bytes: 5,
        response_bytes: u64::MAX,
        client: Some("192.0.2.255:65535".parse().unwrap()),
        request_id: Some("r\"1"),
        upstream: Some("or\"ders"),
        reject: Some(Reject { stage: "deadline", reason: "line\nbreak" }),
        ..Entry::new("GET", "/v1/\u{1}\\\u{7f}é", 503, context())
    };
    let render = |entry: &Entry<'_>| {
        let mut out = Vec::new();
        super::line::render(&mut out, entry, 0);
        assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1));
        serde_json::from_slice::<Value>(&out).unwrap()
    };
    let mut expect = json!({
        "time": "1970-01-01T00:00:00.000Z", "method": "GET", "path": "/v1/\u{1}\\\u{7f}é", "status": 503,
        "grpc_status": 14, "duration_us": 1234, "request_bytes": 5, "response_bytes": u64::MAX,
        "trace_id": "0af7651916cd43dd8448eb211c80319c", "route": "/v1/orders/{id}",
        "client": "192.0.2.255:65535", "request_id": "r\"1", "upstream": "or\"ders",
        "reject": { "stage": "deadline", "reason": "line\nbreak" },
    });
    assert_eq!(render(&all), expect);
    expect["client"] = json!("[2001:db8::1]:80");
    assert_eq!(render(&Entry { client: Some("[2001:db8::1]:80".parse().unwrap()), ..all }), expect);
}

#[test]
fn a_template_is_filled_in() {
    let known = Entry {
        route: Some("s.v1.S/Get"),
        grpc_status: Some(14),
        duration: Duration::from_micros(61_001_234),
        request_bytes: 5,
        response_bytes: 7,
        client: Some("192.0.2.1:80".parse().unwrap()),
        request_id: Some("r\"1"),
        upstream: Some("10.0.0.1:50051"),
        reject: Some(Reject { stage: "admit", reason: "queue_full" }),
        ..Entry::new("GET", "/v1/\n\"\\\u{7f}é", 503, context())
    };
    let check = |template: &str, entry: &Entry<'_>, expect: &str| {
        let format = Format::Template(Template::parse(template).unwrap());
        let mut out = Vec::new();
        format.render(&mut out, entry, 1_740_817_800_125);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expect}\n"), "{template}");
    };
    check("{client} \"{method} {path}\" {status}", &known, r#"192.0.2.1:80 "GET /v1/\x0A\x22\x5C\x7Fé" 503"#);
    let rest = "{time}|{route}|{grpc_status}|{duration}|{request_bytes}|{response_bytes}|{upstream}|{reject}|{request_id}|{trace_id}";
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let filled =
        "2025-03-01T08:30:00.125Z|s.v1.S/Get|14|61.001234|5|7|10.0.0.1:50051|admit/queue_full|r\\x221";
    check(rest, &known, &format!("{filled}|{trace}"));
    let unknown = "2025-03-01T08:30:00.125Z|-|-|0.000000|0|0|-|-|-";
    check(rest, &entry("/"), &format!("{unknown}|{trace}"));
    check("{client}{{x}}", &entry("/"), "-{x}");
    check("", &entry("/"), "");
    for (template, expect) in [
        (
            "{verb}",
            "there is no `{verb}`; known: time, client, method, path, route, status, grpc_status, duration, \
                    request_bytes, response_bytes, upstream, reject, request_id, trace_id",
        ),
        ("a {path", "a brace without its other at `{path`; a brace itself is written twice"),
        ("a } b", "a brace without its other at `} b`; a brace itself is written twice"),
        ("a\nb", "one request is one line: the template has a line end"),
    ] {
        assert_eq!(Template::parse(template).unwrap_err(), expect);
    }
}

#[test]
fn a_file_gets_every_line_of_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    std::fs::write(&file, "{\"kept\":true}\n").unwrap();
    let options = AccessOptions { target: Target::File(file.clone()), ..AccessOptions::default() };
    let (log, writer) = AccessLog::open(&options).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let log = log.per_worker();
            scope.spawn(move || (0..500).for_each(|n| log.record(&entry(&format!("/{worker}/{n}")))));
        }
    });
    let stats = log.stats();
    writer.close();
    let written = lines(&Mutex::new(std::fs::read(file).unwrap()));
    assert_eq!(written[0], json!({ "kept": true }));
    for worker in 0..4 {
        let own =
            written.iter().filter_map(|line| line["path"].as_str()?.strip_prefix(&format!("/{worker}/")));
        let expect: Vec<_> = (0..500).map(|n| n.to_string()).collect();
        assert_eq!(own.collect::<Vec<_>>(), expect);
    }
    assert_eq!(stats, AccessStats { recorded: 2000, dropped: 0, failed: 0 });
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let target = Target::File("/nowhere/access.log".into());
    let error = AccessLog::open(&AccessOptions { target, ..AccessOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("/nowhere/access.log"), "{error}");
}

#[test]
fn a_flush_covers_what_was_recorded_before() {
    let written = Arc::default();
    let sink = Sink { written: Arc::clone(&written), gate: None };
    let (log, writer) = AccessLog::start(&patient(), Box::new(sink)).unwrap();
    for round in 1..=200 {
        log.record(&entry("/"));
        writer.flush();
        assert_eq!(lines(&written).len(), round);
    }
    log.record(&entry("/last"));
    writer.close();
    assert_eq!(lines(&written)[200]["path"], "/last");
}

#[test]
fn a_stuck_writer_costs_lines_not_time() {
    let (written, (entered_tx, entered), (gate, gate_rx)) = (Arc::default(), channel(), channel());
    let sink = Sink { written: Arc::clone(&written), gate: Some((entered_tx, gate_rx)) };
    let options = AccessOptions { buffer: 1000, linger: Duration::ZERO, ..AccessOptions::default() };
    let (log, writer) = AccessLog::start(&options, Box::new(sink)).unwrap();
    log.record(&entry("/first"));
    entered.recv().unwrap();
    // The writer hangs in its write. The buffer takes what fits and counts the rest; nothing here waits.
    (0..100).for_each(|_| log.record(&entry("/later")));
    let AccessStats { recorded, dropped, failed } = log.stats();
    assert!(recorded > 1 && dropped > 0, "{recorded} {dropped}");
    assert_eq!((recorded + dropped, failed), (101, 0));
    gate.send(Ok(())).unwrap();
    gate.send(Ok(())).unwrap();
    writer.close();
    assert_eq!(lines(&written).len() as u64, recorded);
}

#[test]
fn a_failed_write_is_counted_and_the_next_one_tried() {
    let (written, (entered_tx, _entered), (gate, gate_rx)) = (Arc::default(), channel(), channel());
    let sink = Sink { written: Arc::clone(&written), gate: Some((entered_tx, gate_rx)) };
    let (log, writer) = AccessLog::start(&patient(), Box::new(sink)).unwrap();
    gate.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    log.record(&entry("/lost"));
    log.record(&entry("/lost"));
    writer.flush();
    assert_eq!(log.stats().failed, 2);
    gate.send(Ok(())).unwrap();
    log.record(&entry("/written"));
    writer.close();
    assert_eq!(lines(&written).iter().map(|line| line["path"].clone()).collect::<Vec<_>>(), ["/written"]);
}

#[test]
fn a_half_full_buffer_is_written_before_its_time() {
    let (written, (entered_tx, entered), (gate, gate_rx)) = (Arc::default(), channel(), channel());
    let sink = Sink { written, gate: Some((entered_tx, gate_rx)) };
    let options = AccessOptions { buffer: 2000, ..patient() };
    let (log, writer) = AccessLog::start(&options, Box::new(sink)).unwrap();
    (0..8).for_each(|_| log.record(&entry("/")));
    // Nobody flushed, and the hour is not over.
    entered.recv().unwrap();
    gate.send(Ok(())).unwrap();
    drop(gate);
    writer.close();
}

#[test]
fn the_rate_decides_by_trace() {
    let wanted = |sample: f64| {
        let options = AccessOptions { sample, ..patient() };
        let (log, writer) = AccessLog::start(&options, Box::new(io::sink())).unwrap();
        let wanted = (0..20_000).filter(|_| log.wants(&Context::new_root(false))).count();
        let repeatable = (0..100).map(|_| log.wants(&context())).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(repeatable.len(), 1);
        writer.close();
        wanted
    };
    assert_eq!(wanted(1.0), 20_000);
    assert_eq!(wanted(0.0), 0);
    // Ten standard deviations around 5000.
    assert!((4400..5600).contains(&wanted(0.25)));
}
