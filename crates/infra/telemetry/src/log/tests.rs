//! Records as they are written, and the environment.

use super::{LogError, LogFormat, LogOptions, subscriber};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `events` write under `options`.
fn written(options: &LogOptions, events: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = subscriber(options, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, events);
    String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
}

fn options(format: LogFormat, filter: &str, colour: bool) -> LogOptions {
    LogOptions { format, filter: filter.to_owned(), colour }
}

#[test]
fn json_is_one_object_a_line() {
    let text = written(&options(LogFormat::Json, "info", true), || {
        tracing::warn!(check = "store", "a \"quoted\"\nmessage");
    });
    assert_eq!(text.lines().count(), 1);
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["level"], "WARN");
    assert_eq!(record["message"], "a \"quoted\"\nmessage");
    assert_eq!(record["check"], "store");
    assert!(record["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn people_get_text_and_colour_only_if_wanted() {
    let event = || tracing::info!(port = 8080, "listening");
    let plain = written(&options(LogFormat::Human, "info", false), event);
    assert!(plain.contains("listening port=8080") && !plain.contains('\u{1b}'), "{plain}");
    assert!(written(&options(LogFormat::Human, "info", true), event).contains('\u{1b}'));
}

#[test]
fn the_filter_goes_by_level_and_target() {
    let text = written(&options(LogFormat::Human, "warn,loud=debug", false), || {
        tracing::info!("one");
        tracing::warn!("two");
        tracing::debug!(target: "loud", "three");
        tracing::trace!(target: "loud", "four");
    });
    let heard = ["one", "two", "three", "four"].map(|word| text.contains(word));
    assert_eq!(heard, [false, true, true, false]);
}

#[test]
fn a_bad_filter_is_shown() {
    let Err(error) = subscriber(&options(LogFormat::Human, "aqueduct=lots", false), io::sink) else {
        panic!("accepted");
    };
    assert!(error.to_string().contains("aqueduct=lots"), "{error}");
}

fn from(variables: &[(&str, &str)], terminal: bool) -> Result<LogOptions, LogError> {
    let get =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    LogOptions::from_variables(get, terminal)
}

#[test]
fn the_environment_decides() {
    let human = |filter, colour| Ok(options(LogFormat::Human, filter, colour));
    assert_eq!(from(&[], true), human("info", true));
    assert_eq!(from(&[], false), human("info", false));
    assert_eq!(from(&[("NO_COLOR", "1")], true), human("info", false));
    assert_eq!(from(&[("NO_COLOR", "")], true), human("info", true));
    assert_eq!(from(&[("TERM", "dumb")], true), human("info", false));
    assert_eq!(from(&[("RUST_LOG", "debug")], false), human("debug", false));
    assert_eq!(from(&[("RUST_LOG", "debug"), ("AQUEDUCT_LOG", "warn")], false), human("warn", false));
    let format = |format| from(&[("AQUEDUCT_LOG_FORMAT", format)], false);
    assert_eq!(format("json"), Ok(options(LogFormat::Json, "info", false)));
    assert_eq!(format("xml"), Err(LogError::Format("xml".to_owned())));
}
