//! The answers to probes, rendered from what the checks last said.

use super::{CheckState, Health, Status};
use crate::json;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The HTTP status.
    pub status: u16,
    /// JSON, to be sent as `application/json` with `cache-control: no-store`.
    pub body: Bytes,
}

impl Health {
    /// `/healthz`: `{"status":"ok","checks":{"store":{"ok":true,"since_ms":812,"age_ms":3}}}`, 200 when ready and 503
    /// otherwise. `since_ms` tells how long the check has been so, `age_ms` how long ago its owner last reported, and
    /// `detail` what there is to say; `lag_ms` how far behind a dependency is that can be.
    pub fn healthz(&self) -> Probe {
        self.checks(true)
    }

    /// The same without `detail`, which names addresses and files: for those outside.
    pub fn healthz_outside(&self) -> Probe {
        self.checks(false)
    }

    fn checks(&self, details: bool) -> Probe {
        let state = self.shared.lock();
        let (status, now) = (state.status(), Instant::now());
        let mut body = Vec::with_capacity(64 + 96 * state.checks.len());
        body.push(b'{');
        put_status(&mut body, status);
        json::name(&mut body, "checks");
        body.push(b'{');
        for check in &state.checks {
            if body.last() != Some(&b'{') {
                body.push(b',');
            }
            json::string(&mut body, &check.name);
            body.push(b':');
            check.render(&mut body, now, details);
        }
        body.extend_from_slice(b"}}");
        Probe { status: ready_code(status.is_ready()), body: body.into() }
    }

    /// `/livez`: 200 as long as the process can answer at all. Restarting it would not repair a dependency, so no
    /// check counts.
    pub fn livez(&self) -> Probe {
        Self::short(200, self.status())
    }

    /// `/readyz`: 200 when new requests should come here, otherwise 503.
    pub fn readyz(&self) -> Probe {
        let status = self.status();
        Self::short(ready_code(status.is_ready()), status)
    }

    /// `/startupz`: 503 until the process has joined once, then 200 for good.
    pub fn startupz(&self) -> Probe {
        let (joined, status) = {
            let state = self.shared.lock();
            (state.joined, state.status())
        };
        Self::short(ready_code(joined), status)
    }

    /// `{"status":"ok"}`.
    fn short(code: u16, status: Status) -> Probe {
        let mut body = Vec::with_capacity(24);
        body.push(b'{');
        put_status(&mut body, status);
        body.push(b'}');
        Probe { status: code, body: body.into() }
    }
}

impl CheckState {
    fn render(&self, out: &mut Vec<u8>, now: Instant, details: bool) {
        out.extend_from_slice(if self.ok { b"{\"ok\":true" } else { b"{\"ok\":false" });
        if details && !self.detail.is_empty() {
            json::name(out, "detail");
            json::string(out, &self.detail);
        }
        if let Some(lag) = self.lag {
            json::name(out, "lag_ms");
            json::integer(out, millis(lag));
        }
        json::name(out, "since_ms");
        json::integer(out, millis(now - self.since));
        json::name(out, "age_ms");
        json::integer(out, millis(now - self.reported));
        out.push(b'}');
    }
}

fn ready_code(ready: bool) -> u16 {
    if ready { 200 } else { 503 }
}

fn put_status(out: &mut Vec<u8>, status: Status) {
    json::name(out, "status");
    json::string(out, status.as_str());
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
