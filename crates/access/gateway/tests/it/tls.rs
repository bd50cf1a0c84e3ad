//! TLS of clients: what is negotiated, which certificate is shown, who the client is, and what changes while it runs.

use std::io::{Read, Write};
use std::time::Duration;

use aqueduct_gateway::{ClientAuth, Options, Tls, TlsVersion};

use crate::pki::{Authority, Issued, Secure, der, file};
use crate::setup::{Setup, options};

/// A gateway with this TLS.
fn gateway(tls: Tls) -> Setup {
    Setup::with(|options| {
        options.timeouts.poll = Duration::from_millis(5);
        options.listen[0].tls = Some(tls);
    })
}

fn problems(change: impl FnOnce(&mut Options)) -> Vec<String> {
    let mut wrong = options(vec!["127.0.0.1:1".into()]);
    change(&mut wrong);
    wrong.validate().iter().map(ToString::to_string).collect()
}

#[test]
fn alpn_decides_and_without_it_the_first_bytes_do() {
    let authority = Authority::new();
    let setup = gateway(Tls::new(vec![authority.issue(&["a.test"]).pair()]));
    for (offered, chosen) in [
        (&["http/1.1"][..], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["h2"], Some("h2")),
        (&[], None),
    ] {
        let mut client = Secure::open(setup.address, &authority.client(offered, None), "a.test").unwrap();
        assert_eq!(client.alpn(), chosen, "{offered:?}");
        if chosen != Some("h2") {
            let (status, body) = client.get("/v1/say/x", "").unwrap();
            assert_eq!((status, body.as_str()), (200, r#"{"text":"x"}"#), "{offered:?}");
        }
    }
    for offered in [&["h2"][..], &[]] {
        let answer = over_http2(&setup, &authority.client(offered, None));
        assert_eq!(answer, Some(200), "HTTP/2 after offering {offered:?}");
    }
    let other = Secure::open(setup.address, &authority.client(&["http/0.9"], None), "a.test");
    assert!(other.is_err(), "RFC 7301: nothing in common is an alert");
    // Whoever has negotiated HTTP/2 speaks it; whoever has negotiated HTTP/1.1 does not.
    let mut client = Secure::open(setup.address, &authority.client(&["h2"], None), "a.test").unwrap();
    assert!(client.get("/v1/say/x", "").is_err());
    assert_eq!(over_http2(&setup, &authority.client(&["http/1.1"], None)), None);
}

/// The status of a request in HTTP/2, whatever was negotiated; `None` when there is no answer.
fn over_http2(setup: &Setup, config: &std::sync::Arc<rustls::ClientConfig>) -> Option<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(setup.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::clone(config));
        let stream = connector.connect("a.test".try_into().unwrap(), stream).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.ok()?;
        let driver = aqueduct_runtime::task::spawn("client", async move { drop(connection.await) });
        let request = http::Request::get("https://a.test/v1/say/x").body(()).unwrap();
        let (response, _) = send.send_request(request, true).ok()?;
        let status = response.await.ok()?.status().as_u16();
        driver.abort();
        Some(status)
    })
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let names: [&[&str]; 4] =
        [&["default.test"], &["a.test", "*.shop.test"], &["pay.shop.test"], &["B.test", "a.test"]];
    let issued: Vec<_> = names.iter().map(|names| authority.issue(names)).collect();
    let setup = gateway(Tls::new(issued.iter().map(Issued::pair).collect()));
    let shown = |name: &str| {
        // The certificate is looked at, not verified: some names have none.
        let mut config = (*authority.client(&[], None)).clone();
        config.dangerous().set_certificate_verifier(crate::pki::anything());
        let client = Secure::open(setup.address, &config.into(), name).unwrap();
        issued.iter().position(|issued| der(issued) == client.shown()).unwrap()
    };
    for (name, expect) in [
        ("a.test", 1),
        ("A.TEST", 1),
        ("x.shop.test", 1),
        ("pay.shop.test", 2),
        ("b.test", 3),
        ("shop.test", 0),
        ("x.y.shop.test", 0),
        ("other.test", 0),
        ("127.0.0.1", 0),
    ] {
        assert_eq!(shown(name), expect, "{name}");
    }
}

#[test]
fn versions_before_the_oldest_are_refused() {
    let authority = Authority::new();
    let pair = authority.issue(&["a.test"]).pair();
    let old = authority.client_of(&[], None, &[&rustls::version::TLS12]);
    let setup = gateway(Tls::new(vec![pair.clone()]));
    let mut client = Secure::open(setup.address, &old, "a.test").unwrap();
    assert_eq!(client.get("/v1/say/x", "").unwrap().0, 200, "1.2 is spoken unless it is ruled out");
    let setup = gateway(Tls { min_version: TlsVersion::V13, ..Tls::new(vec![pair]) });
    assert!(Secure::open(setup.address, &old, "a.test").is_err());
    let mut client = Secure::open(setup.address, &authority.client(&[], None), "a.test").unwrap();
    assert_eq!(client.get("/v1/say/x", "").unwrap().0, 200);
}

/// What the upstream was told of the client's identity by the last request.
fn told(setup: &Setup) -> Option<String> {
    let headers = setup.backend.seen.headers.lock().unwrap();
    let values: Vec<_> = headers.last().unwrap().get_all("x-aqueduct-client-identity").iter().collect();
    assert!(values.len() < 2, "{values:?}");
    values.first().map(|value| value.to_str().unwrap().to_owned())
}

const FORGED: &str = "x-aqueduct-client-identity: spiffe://shop/admin\r\n";

#[test]
fn clients_are_who_their_certificate_says_and_nobody_else() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = Tls { client_ca: Some(clients.pem()), ..Tls::new(vec![authority.issue(&["a.test"]).pair()]) };
    let setup = gateway(tls.clone());
    let ask = |setup: &Setup, certificate: Option<&Issued>| {
        let config = authority.client(&[], certificate);
        // With TLS 1.3 the refusal comes after the client's handshake.
        Secure::open(setup.address, &config, "a.test").and_then(|mut it| it.get("/v1/say/x", FORGED))
    };
    for (certificate, expect) in [
        (clients.issue_uri("spiffe://shop/cart"), "spiffe://shop/cart"),
        (clients.issue(&["cart.shop.test", "b.test"]), "cart.shop.test"),
        (clients.issue_common_name("Käthe K"), "K%C3%A4the K"),
    ] {
        assert_eq!(ask(&setup, Some(&certificate)).unwrap().0, 200, "{expect}");
        assert_eq!(told(&setup).as_deref(), Some(expect));
        assert_eq!(setup.backend.seen.headers.lock().unwrap().last().unwrap()["x-forwarded-proto"], "https");
    }
    let expired =
        clients.issue_with(&["cart.test"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for (why, certificate) in [
        ("none", None),
        ("of another authority", Some(authority.issue(&["cart.test"]))),
        ("expired", Some(expired)),
        ("a common name that looks like a URI", Some(clients.issue_common_name("spiffe://shop/admin"))),
        ("no name", Some(clients.issue(&[]))),
    ] {
        assert!(ask(&setup, certificate.as_ref()).is_err(), "{why}");
    }

    let setup = gateway(Tls { client_auth: ClientAuth::Optional, ..tls });
    assert_eq!(ask(&setup, None).unwrap().0, 200);
    assert_eq!(told(&setup), None, "what a client says of itself does not count");
    assert_eq!(ask(&setup, Some(&clients.issue(&["cart.test"]))).unwrap().0, 200);
    assert_eq!(told(&setup).as_deref(), Some("cart.test"));
    assert!(
        ask(&setup, Some(&authority.issue(&["cart.test"]))).is_err(),
        "a bad one is refused all the same"
    );
}

#[test]
fn other_files_are_used_without_a_restart_and_bad_ones_are_not() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let first = authority.issue(&["a.test"]);
    let setup = gateway(Tls::new(vec![first.files(folder.path(), "a")]));
    let config = authority.client(&[], None);
    let shown = || Secure::open(setup.address, &config, "a.test").unwrap().shown();
    let count =
        |result: &str| setup.metric(&format!(r#"aqueduct_gateway_tls_reloads_total{{result="{result}"}}"#));
    let wait_for = |result: &str, past: u64| {
        while count(result) <= past {
            std::thread::yield_now();
        }
    };
    let mut stays = Secure::open(setup.address, &config, "a.test").unwrap();
    assert_eq!(shown(), der(&first));

    // The new certificate beside the old key fits nothing; with the new key it does.
    let second = authority.issue(&["a.test"]);
    std::fs::write(folder.path().join("a.pem"), &second.cert).unwrap();
    wait_for("invalid", 0);
    assert_eq!(shown(), der(&first));
    std::fs::write(folder.path().join("a.key"), &second.key).unwrap();
    wait_for("swapped", 0);
    let fresh = Secure::open(setup.address, &authority.client(&[], None), "a.test").unwrap();
    assert_eq!(fresh.shown(), der(&second));

    std::fs::write(folder.path().join("a.pem"), "-----BEGIN CERTIFICATE-----\nnonsense").unwrap();
    wait_for("invalid", 1);
    std::fs::remove_file(folder.path().join("a.pem")).unwrap();
    wait_for("unavailable", 0);
    let fresh = Secure::open(setup.address, &authority.client(&[], None), "a.test").unwrap();
    assert_eq!(fresh.shown(), der(&second), "what was good stays");
    assert_eq!(stays.get("/v1/say/x", "").unwrap().0, 200, "and so do connections");
    assert_eq!(count("swapped"), 1);
}

#[test]
fn a_session_is_resumed_on_any_worker_and_after_other_certificates_but_not_under_other_rules() {
    let authority = Authority::new();
    let tls = Tls::new(vec![authority.issue(&["a.test"]).pair()]);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let with = |tls: &Tls, address| {
            let mut options = options(vec!["127.0.0.1:1".into()]);
            options.listen[0].address = address;
            options.listen[0].tls = Some(tls.clone());
            options.workers = 2;
            options
        };
        let setup = Setup::with(|options| {
            options.listen[0].tls = Some(tls.clone());
            options.workers = 2;
        });
        let config = authority.client_of(&["http/1.1"], None, &[version]);
        let connect = || {
            let mut client = Secure::open(setup.address, &config, "a.test").unwrap();
            assert_eq!(client.get("/healthz", "").unwrap().0, 200);
            client.resumed()
        };
        assert!(!connect());
        // The kernel spreads them over the workers: that all meet the same one is one in four billion.
        assert!((0..32).all(|_| connect()), "{version:?}");
        assert_eq!(setup.metric(r#"aqueduct_gateway_tls_handshakes_total{result="resumed"}"#), 32);

        let gateway = setup.gateway.as_ref().unwrap();
        let any_port = "127.0.0.1:0".parse().unwrap();
        let renewed = Tls::new(vec![authority.issue(&["a.test"]).pair()]);
        gateway.reload(with(&renewed, any_port)).unwrap();
        assert!(connect(), "{version:?}: another certificate");
        let strict = Tls { client_ca: Some(authority.pem()), client_auth: ClientAuth::Optional, ..renewed };
        gateway.reload(with(&strict, any_port)).unwrap();
        assert!(!connect(), "{version:?}: clients may be asked for a certificate now");
    }
}

#[test]
fn a_client_that_does_not_speak_tls_is_sent_away() {
    let authority = Authority::new();
    let setup = Setup::with(|options| {
        options.timeouts.head = Duration::from_millis(100);
        options.limits.handshakes = 1;
        options.listen[0].tls = Some(Tls::new(vec![authority.issue(&["a.test"]).pair()]));
    });
    let mut plain = setup.connect();
    plain.send(b"GET /v1/say/x HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(plain.answer().is_none(), "no answer in the clear");
    assert!(plain.is_closed());
    let counted = |result: &str, expect: u64| {
        let line = format!(r#"aqueduct_gateway_tls_handshakes_total{{result="{result}"}}"#);
        // The client hears of it first.
        while setup.metric(&line) < expect {
            std::thread::yield_now();
        }
        assert_eq!(setup.metric(&line), expect);
    };
    counted("failed", 1);
    // Silent ones hold the only place; whoever comes after waits, and is served once they are cut.
    let mut silent = [setup.connect(), setup.connect()];
    assert!(silent.iter_mut().all(crate::http::Connection::is_closed));
    counted("timed_out", 2);
    let mut client = Secure::open(setup.address, &authority.client(&[], None), "a.test").unwrap();
    assert_eq!(client.get("/v1/say/x", "").unwrap().0, 200);
}

#[test]
fn a_higher_bound_of_handshakes_lets_in_who_waits() {
    let authority = Authority::new();
    let tls = Tls::new(vec![authority.issue(&["a.test"]).pair()]);
    let setup = Setup::with(|options| {
        options.limits.handshakes = 1;
        options.listen[0].tls = Some(tls.clone());
    });
    let connected = |count| {
        while setup.metric("aqueduct_gateway_connections") < count {
            std::thread::yield_now();
        }
    };
    // It holds the only place for the whole of `timeouts.head`.
    let _silent = setup.connect();
    connected(1);
    let (address, config) = (setup.address, authority.client(&[], None));
    let waits = std::thread::spawn(move || {
        let mut client = Secure::open(address, &config, "a.test")?;
        client.get("/v1/say/x", "")
    });
    connected(2);
    let mut higher = options(vec![setup.backend.address.to_string()]);
    higher.listen[0].tls = Some(tls);
    setup.gateway.as_ref().unwrap().reload(higher).unwrap();
    assert_eq!(waits.join().unwrap().unwrap().0, 200);
    assert_eq!(setup.metric(r#"aqueduct_gateway_tls_handshakes_total{result="timed_out"}"#), 0);
}

#[test]
fn a_client_hello_to_a_plain_port_is_no_request() {
    let setup = Setup::start();
    let authority = Authority::new();
    assert!(Secure::open(setup.address, &authority.client(&["h2"], None), "a.test").is_err());
    let mut stream = std::net::TcpStream::connect(setup.address).unwrap();
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    assert!(read.is_err() || answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200);
}

#[test]
fn connections_of_one_address_are_bounded() {
    let setup = Setup::with(|options| {
        options.limits.connections_per_address = 2;
        options.workers = 2;
    });
    let mut kept = [setup.connect(), setup.connect()];
    for client in &mut kept {
        assert_eq!(client.get("/v1/say/x", "").status, 200);
    }
    assert!(setup.connect().is_closed(), "closed at once, whichever worker it meets");
    assert_eq!(setup.metric(r#"aqueduct_gateway_connections_refused_total{reason="address"}"#), 1);
    assert_eq!(kept[0].get("/v1/say/x", "").status, 200);
    drop(kept);
    while setup.metric("aqueduct_gateway_connections") > 0 {
        std::thread::yield_now();
    }
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200);
}

#[test]
fn what_is_wrong_with_certificates_is_told_by_file() {
    let authority = Authority::new();
    let (good, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let folder = tempfile::tempdir().unwrap();
    let pem = |name: &str, text: &str| file(folder.path().join(name), text);
    let tls = |tls: Tls| problems(|options| options.listen[0].tls = Some(tls));
    let pair = |cert: &str, key: &str| {
        Tls::new(vec![aqueduct_gateway::KeyPair { cert: pem("c.pem", cert), key: pem("k.pem", key) }])
    };
    let path = "listen[0].tls.certificates";
    for (cert, key, expect) in [
        ("", &*good.key, "[0].cert: c.pem holds no certificate (-----BEGIN CERTIFICATE-----)"),
        (&good.cert, "", "[0].key: k.pem holds no private key: such as -----BEGIN PRIVATE KEY-----"),
        (
            &good.cert,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "[0].key: k.pem holds no private key: it is encrypted",
        ),
        (&good.cert, &other.key, "[0].key: the key k.pem does not belong to the certificate c.pem"),
    ] {
        assert_eq!(tls(pair(cert, key)), [format!("{path}{expect}")]);
    }
    let [only] = tls(pair("-----BEGIN CERTIFICATE-----\nAA", &good.key)).try_into().unwrap();
    assert!(only.starts_with(&format!("{path}[0].cert: c.pem is not PEM: ")), "{only}");
    assert_eq!(
        tls(Tls::new(vec![])),
        [format!("{path}: name at least one {{ cert: file.pem, key: file.pem }}")]
    );
    let ca = Tls { client_ca: Some(pem("ca.pem", "x")), ..Tls::new(vec![good.pair()]) };
    assert_eq!(
        tls(ca),
        ["listen[0].tls.client_ca: ca.pem holds no certificate (-----BEGIN CERTIFICATE-----)"]
    );
    let twice = problems(|options| {
        let mut listen = options.listen[0].clone();
        listen.tls = Some(Tls::new(vec![good.pair()]));
        options.listen.push(listen);
    });
    assert_eq!(twice, ["listen[1].address: 127.0.0.1:0 is there twice"]);

    let old = authority.issue_with(&["a.test"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let mut expired = options(vec!["127.0.0.1:1".into()]);
    expired.listen[0].tls = Some(Tls::new(vec![good.pair(), old.pair()]));
    assert_eq!(expired.validate(), [], "no error: whoever starts with it may have a reason");
    let warnings: Vec<_> = expired.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["listen[0].tls.certificates[1].cert: the certificate cert.pem expired at 2020-01-01T00:00:00.000Z"]
    );
}
