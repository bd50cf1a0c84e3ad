//! Key sets that are fetched from a server, which counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aqueduct_gateway::{Auth, Jwks, JwksUrl, Pem};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::auth::{Issuer, bearer, claims, jwt, refused, with};
use crate::pki::Authority;
use crate::setup::Setup;

const HOUR: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(1);

/// Answers every request with the same bytes, until they are others.
struct KeyServer {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// The answer, and how many connections there were.
    now: Mutex<(String, usize)>,
    another: Condvar,
}

impl KeyServer {
    fn start(answer: String, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { now: Mutex::new((answer, 0)), another: Condvar::new() });
        let shared = Arc::clone(&state);
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let answer = {
                    let mut now = shared.now.lock().unwrap();
                    now.1 += 1;
                    shared.another.notify_all();
                    now.0.clone()
                };
                match &tls {
                    None => serve(stream, &answer),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        serve(StreamOwned::new(connection, stream), &answer);
                    }
                }
            }
        });
        Self { address, state }
    }

    fn fetches(&self) -> usize {
        self.state.now.lock().unwrap().1
    }

    /// Answers with this from now on.
    fn set(&self, answer: String) {
        self.state.now.lock().unwrap().0 = answer;
    }

    /// Waits until an answer of now has been judged: fetches follow one another, so when the second begins.
    fn judged(&self) {
        let now = self.state.now.lock().unwrap();
        let wanted = now.1 + 2;
        drop(self.state.another.wait_while(now, |now| now.1 < wanted).unwrap());
    }

    fn gateway(&self, scheme: &str, (every, ca): (Duration, Option<Pem>)) -> Setup {
        let url = format!("{scheme}://{}/keys.json?of=shop", self.address).parse().unwrap();
        let mut jwt = jwt(&Issuer::new());
        jwt.jwks = Jwks::Url(JwksUrl { url, every, ca });
        with(Auth { jwt: Some(jwt), ..Auth::default() }, |options| options.timeouts.poll = SOON)
    }
}

/// One request; an empty answer closes the connection. Whoever is gone is of no interest.
fn serve(mut stream: impl Read + Write, answer: &str) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&piece[..read]),
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("get /keys.json?of=shop http/1.1\r\n") && head.contains("\r\nhost: 127.0.0.1:"));
    let _gone = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The issuer's keys, with another name for the one that signs, and a token that names it.
fn renamed(issuer: &Issuer, name: &str) -> (String, String) {
    let keys = issuer.jwks().replace(r#""kid":"d""#, &format!(r#""kid":"{name}""#));
    let token = issuer.token(&json!({ "alg": "EdDSA", "kid": name }), &claims(&json!({})));
    (answer("200 OK", &keys), bearer(&token))
}

#[test]
fn keys_are_fetched_and_an_unknown_key_has_them_fetched_again() {
    let (old, new) = (renamed(&Issuer::new(), "old"), renamed(&Issuer::new(), "new"));
    let server = KeyServer::start(old.0, None);
    let setup = server.gateway("http", (HOUR, None));
    let mut client = setup.connect();
    // Each request is an event; the test's time limit ends a gateway that never has the keys.
    while client.get("/v1/say/hi", &old.1).status != 200 {
        assert!(refused(&setup, "unknown_key") > 0);
    }
    assert_eq!(server.fetches(), 1);
    server.set(new.0);
    assert_eq!(client.get("/v1/say/hi", &new.1).status, 401, "the request does not wait");
    while client.get("/v1/say/hi", &new.1).status != 200 {}
    assert_eq!(client.get("/v1/say/hi", &old.1).status, 401);
    assert_eq!(server.fetches(), 2);
}

#[test]
fn what_is_no_good_answer_changes_nothing() {
    let (good, bad) = (renamed(&Issuer::new(), "good"), renamed(&Issuer::new(), "bad"));
    let server = KeyServer::start(String::new(), None);
    let setup = server.gateway("http", (SOON, None));
    let mut client = setup.connect();
    server.judged();
    assert_eq!(client.get("/v1/say/hi", &good.1).status, 401, "there are no keys yet");
    server.set(good.0);
    server.judged();
    let keys = bad.0.split_once("\r\n\r\n").unwrap().1;
    let large = format!("{keys}{}", " ".repeat(Jwks::MAX_BYTES));
    let redirect = format!("302 Found\r\nlocation: http://{}/keys.json?of=shop", server.address);
    for trouble in [
        String::new(),
        answer("500 Internal Server Error", keys),
        answer("203 Non-Authoritative Information", keys),
        answer(&redirect, keys),
        answer("200 OK", "{\"keys\":[]}"),
        answer("200 OK", &large),
        answer("200 OK", keys).trim_end_matches('}').to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let shown = trouble.get(..40.min(trouble.len())).unwrap().to_owned();
        server.set(trouble);
        server.judged();
        assert_eq!(client.get("/v1/say/hi", &good.1).status, 200, "{shown}");
        assert_eq!(client.get("/v1/say/hi", &bad.1).status, 401, "{shown}");
    }
    server.set(bad.0);
    server.judged();
    assert_eq!(client.get("/v1/say/hi", &good.1).status, 401, "fetched again without being asked");
    assert_eq!(client.get("/v1/say/hi", &bad.1).status, 200);
}

#[test]
fn the_key_servers_certificate_is_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (keys, token) = renamed(&Issuer::new(), "k");
    let server =
        KeyServer::start(keys, Some(authority.issue(&["127.0.0.1"]).server(None, &["h2", "http/1.1"])));
    for (ca, status) in [(authority.pem(), 200), (other.pem(), 401)] {
        let setup = server.gateway("https", (SOON, Some(ca)));
        server.judged();
        assert_eq!(setup.connect().get("/v1/say/hi", &token).status, status);
    }
}
