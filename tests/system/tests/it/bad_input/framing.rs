//! Requests that are too long, too slow, or no HTTP.

use std::time::Duration;

use aqueduct_kit::procfs::resident_bytes;

use super::wire::{Outcome, Wire};
use crate::shop::{Shop, good};
use crate::site::{Site, no_panic};

#[test]
fn bodies_and_heads_without_end_are_cut() {
    let site = Site::with_config("endless", "gateway: { timeouts: { head: 300ms, body: 300ms } }");
    let mut process = site.up();
    let mut shop = site.shop();
    shop.create(1);
    let before = resident_bytes(process.pid()).unwrap();

    let mut announced = Wire::connect(site.edge());
    announced.send(b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1073741824\r\n\r\n");
    assert_eq!(announced.outcome(), Outcome::Status(413));
    // Without an announcement the bytes have to come before they are too many.
    for piece in [vec![b' '; 64 << 10], Shop::basket(1).to_string().repeat(500).into_bytes()] {
        let mut chunked = Wire::connect(site.edge());
        chunked.send(b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let sent = chunked.flood(&piece, 1 << 30);
        assert!(sent < 64 << 20, "{sent} bytes were taken");
        chunked.assert_refused(&[413]);
    }
    let many = "x-many: 1\r\n".repeat(10_000);
    let mut headers = Wire::connect(site.edge());
    headers.send(format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes());
    headers.assert_refused(&[400, 431]);
    let mut long = Wire::connect(site.edge());
    long.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n");
    let sent = long.flood_raw(format!("x-long: {}", "x".repeat(60_000)).as_bytes(), 1 << 30);
    assert!(sent < 64 << 20, "{sent} bytes of a head were taken");
    long.assert_refused(&[400, 431]);

    // A byte now and then: the time for a head is for all of it.
    let mut loris: Vec<Wire> = (0..50).map(|_| Wire::connect(site.edge())).collect();
    for slow in &mut loris {
        slow.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ");
    }
    while loris.iter_mut().any(|slow| slow.drip(Duration::from_millis(1))) {}
    for slow in &mut loris {
        slow.assert_refused(&[408]);
    }
    let mut slow_body = Wire::connect(site.edge());
    slow_body.send(b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{");
    assert_eq!(slow_body.outcome(), Outcome::Status(408));

    let after = resident_bytes(process.pid()).unwrap();
    assert!(after < before + (64 << 20), "from {before} to {after} bytes");
    assert!(process.exited().is_none());
    good(&shop.try_create(1).unwrap());
    no_panic(&process);
}

#[test]
fn what_is_not_http_is_refused() {
    let site = Site::new("not-http");
    let process = site.up();
    for bytes in [
        b"GET /healthz HTTP/1.1\r\n\r\n".as_slice(),
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nhost: a\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        b"CONNECT example.com:80 HTTP/1.1\r\nhost: example.com:80\r\n\r\n",
        b"GET /v1/orders/\xff HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut wire = Wire::connect(site.edge());
        wire.send(bytes);
        wire.assert_refused(&[400, 411, 417, 501, 505]);
    }
    // HTTP/2 with prior knowledge, and then nonsense.
    let mut wire = Wire::connect(site.edge());
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame at all, whatever one takes it for");
    wire.assert_closed();
    no_panic(&process);
}
