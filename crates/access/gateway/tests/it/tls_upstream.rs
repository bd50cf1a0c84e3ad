//! TLS to upstreams: whose certificate is verified, and what is told when it is not good.

use std::time::Duration;

use aqueduct_gateway::UpstreamTls;

use crate::backend::Backend;
use crate::pki::{Authority, file};
use crate::setup::Setup;

/// A gateway before this backend, with this TLS.
fn gateway(backend: &Backend, tls: UpstreamTls) -> Setup {
    let address = backend.address.to_string();
    Setup::with(|options| {
        options.timeouts.poll = Duration::from_millis(5);
        let upstream = options.upstreams.get_mut("echo").unwrap();
        upstream.endpoints = vec![address];
        upstream.tls = Some(tls);
    })
}

/// The status of a call, and what `/healthz` tells of the upstream.
fn ask(setup: &Setup) -> u16 {
    setup.connect().get("/v1/say/x", "").status
}

#[test]
fn a_verified_upstream_is_called_by_https() {
    let authority = Authority::new();
    let server = authority.issue(&["orders.test", "127.0.0.1"]).server(None, &["h2"]);
    let backend = Backend::start_tls(server);
    for server_name in [None, Some("orders.test".to_owned())] {
        let setup = gateway(&backend, UpstreamTls { ca: Some(authority.pem()), server_name, client: None });
        assert_eq!(ask(&setup), 200);
    }
    assert_eq!(*backend.seen.schemes.lock().unwrap(), ["https", "https"]);
}

#[test]
fn an_upstream_that_is_not_who_it_should_be_gets_nothing() {
    let authority = Authority::new();
    let issued = authority.issue(&["orders.test"]);
    let named = |name: &str| Some(name.to_owned());
    let trusted = UpstreamTls { ca: Some(authority.pem()), server_name: named("orders.test"), client: None };
    for (why, server, tls, expect) in [
        (
            "another authority",
            issued.server(None, &["h2"]),
            UpstreamTls { ca: Some(Authority::new().pem()), ..trusted.clone() },
            "TLS with orders.test: invalid peer certificate: UnknownIssuer",
        ),
        (
            "another name",
            issued.server(None, &["h2"]),
            UpstreamTls { server_name: named("pay.test"), ..trusted.clone() },
            "TLS with pay.test: invalid peer certificate: certificate not valid for name \"pay.test\"",
        ),
        (
            "no name, so the address",
            issued.server(None, &["h2"]),
            UpstreamTls { server_name: None, ..trusted.clone() },
            "TLS with 127.0.0.1: invalid peer certificate: certificate not valid for name \"127.0.0.1\"",
        ),
        (
            "no HTTP/2",
            issued.server(None, &[]),
            trusted.clone(),
            "TLS with orders.test: the server does not offer HTTP/2 by ALPN",
        ),
    ] {
        let backend = Backend::start_tls(server);
        let setup = gateway(&backend, tls.clone());
        assert_eq!(ask(&setup), 503, "{why}");
        assert!(backend.seen.headers.lock().unwrap().is_empty(), "{why}");
        let told = unhealthy(&backend, tls);
        assert!(told.contains(&expect.replace('"', "\\\"")), "{why}: {told}");
    }
    let plain = Backend::start();
    assert_eq!(ask(&gateway(&plain, trusted)), 503, "an upstream without TLS");
}

/// What the health page tells of the upstream.
fn unhealthy(backend: &Backend, tls: UpstreamTls) -> String {
    let setup = gateway(backend, tls.clone());
    let mut changed = crate::setup::options(vec![backend.address.to_string()]);
    let upstream = changed.upstreams.get_mut("echo").unwrap();
    (upstream.tls, upstream.health) = (Some(tls), true);
    setup.gateway.as_ref().unwrap().reload(changed).unwrap();
    loop {
        let (_, body) = setup.healthz();
        if body.contains("cannot connect") {
            return body;
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_gateway_shows_its_own_certificate_and_takes_up_another_authority() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start_tls(authority.issue(&["127.0.0.1"]).server(Some(&clients), &["h2"]));
    let client = Some(clients.issue(&["gateway.test"]).pair());
    let ca = file(folder.path().join("ca.pem"), std::str::from_utf8(&Authority::new().pem().text).unwrap());
    let setup = gateway(&backend, UpstreamTls { ca: Some(ca), server_name: None, client });
    assert_eq!(ask(&setup), 503, "of another authority");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem().text).unwrap();
    while setup.metric(r#"aqueduct_gateway_tls_reloads_total{result="swapped"}"#) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&setup), 200);

    let without = UpstreamTls { ca: Some(authority.pem()), server_name: None, client: None };
    assert_eq!(ask(&gateway(&backend, without)), 503, "the server wants a certificate");
}

#[test]
fn what_is_wrong_is_told_by_key() {
    let mut options = crate::setup::options(vec!["127.0.0.1:1".into()]);
    let authority = Authority::new();
    let mut client = authority.issue(&["a.test"]).pair();
    client.key = authority.issue(&["a.test"]).pair().key;
    options.upstreams.get_mut("echo").unwrap().tls = Some(UpstreamTls {
        ca: Some(aqueduct_gateway::Pem::text("roots.pem", "")),
        server_name: Some("not a name".into()),
        client: Some(client),
    });
    let told: Vec<_> = options.validate().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "upstreams.echo.tls.server_name: `not a name` is not a DNS name or an IP address",
            "upstreams.echo.tls.ca: roots.pem holds no certificate (-----BEGIN CERTIFICATE-----)",
            "upstreams.echo.tls.client_key: the key key.pem does not belong to the certificate cert.pem",
        ]
    );
}
