//! The JSON line of one entry, written by hand: the member names are known and most values are numbers.

use super::Entry;
use crate::json;
use aqueduct_runtime::clock;
use std::io::Write as _;
use std::net::SocketAddr;

/// Appends the line and its end.
pub(super) fn render(out: &mut Vec<u8>, entry: &Entry<'_>, now_unix_ms: u64) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&clock::rfc3339(now_unix_ms));
    out.extend_from_slice(b"\",\"method\":");
    json::string(out, entry.method);
    out.extend_from_slice(b",\"path\":");
    json::string(out, entry.path);
    out.extend_from_slice(b",\"status\":");
    json::integer(out, entry.status);
    if let Some(grpc_status) = entry.grpc_status {
        out.extend_from_slice(b",\"grpc_status\":");
        json::integer(out, grpc_status);
    }
    out.extend_from_slice(b",\"duration_us\":");
    json::integer(out, u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX));
    out.extend_from_slice(b",\"request_bytes\":");
    json::integer(out, entry.request_bytes);
    out.extend_from_slice(b",\"response_bytes\":");
    json::integer(out, entry.response_bytes);
    out.extend_from_slice(b",\"trace_id\":\"");
    out.extend_from_slice(&entry.context.trace_id_hex());
    out.push(b'"');
    optional(out, b",\"route\":", entry.route);
    if let Some(client) = entry.client {
        out.extend_from_slice(b",\"client\":\"");
        address(out, client);
        out.push(b'"');
    }
    optional(out, b",\"request_id\":", entry.request_id);
    optional(out, b",\"upstream\":", entry.upstream);
    if let Some(reject) = entry.reject {
        out.extend_from_slice(b",\"reject\":{\"stage\":");
        json::string(out, reject.stage);
        out.extend_from_slice(b",\"reason\":");
        json::string(out, reject.reason);
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
}

fn optional(out: &mut Vec<u8>, name: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        json::string(out, value);
    }
}

/// `Display` by way of `fmt` costs as much as the rest of the line; IPv4, the usual case, is short by hand.
pub(super) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            for (index, octet) in v4.ip().octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                json::integer(out, octet);
            }
            out.push(b':');
            json::integer(out, v4.port());
        }
        // Writing to a Vec cannot fail.
        SocketAddr::V6(_) => drop(write!(out, "{address}")),
    }
}
