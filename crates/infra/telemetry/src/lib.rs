//! What can be seen from outside: metrics, health, the access log and the diagnostic log.
//!
//! The request path only adds to memory that its own worker writes; everything that formats, reads `/proc` or does I/O
//! runs at the scrape, in a background task, or on the access log's thread.
//!
//! ```
//! use aqueduct_runtime::context::Context;
//! use aqueduct_telemetry::access::{AccessLog, AccessOptions, Entry, Target};
//! use aqueduct_telemetry::health::{Health, OnFailure, Status};
//! use aqueduct_telemetry::metrics::{Buckets, Format, Registry};
//! use std::time::Duration;
//!
//! // Metrics: a family by name, a handle a worker and label set.
//! let registry = Registry::new();
//! registry.collect_process();
//! let durations = registry.histograms("request_duration_seconds", "Time to answer", &Buckets::SECONDS);
//! let order_get = durations.with(&[("route", "/v1/orders/{id}")]);
//! order_get.observe_duration(Duration::from_micros(180));
//! let page = registry.encode(Format::negotiate(None));
//! assert!(page.contains(r#"aqueduct_request_duration_seconds_count{route="/v1/orders/{id}"} 1"#));
//!
//! // Health: every check must pass once; later a tolerable one may fail.
//! let health = Health::new();
//! let store = health.check("store", OnFailure::Unavailable);
//! let bus = health.check("bus", OnFailure::Degraded);
//! health.set_started();
//! assert_eq!(health.readyz().status, 503);
//! store.ok("");
//! bus.ok("");
//! bus.failed("reconnecting");
//! assert_eq!((health.status(), health.healthz().status), (Status::Degraded, 200));
//!
//! // The access log: one JSON line a request, written by a thread of its own.
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("access.log");
//! let options = AccessOptions { target: Target::File(file.clone()), ..AccessOptions::default() };
//! let (log, writer) = AccessLog::open(&options)?;
//! log.record(&Entry::new("GET", "/v1/orders/7", 200, Context::new_root(false)));
//! writer.close();
//! assert!(std::fs::read_to_string(file)?.contains(r#""path":"/v1/orders/7","status":200"#));
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod access;
pub mod health;
mod json;
pub mod log;
pub mod metrics;
