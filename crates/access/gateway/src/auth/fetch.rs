//! Key sets from a URL: fetched in the background by one worker. What was fetched last stays while the URL is in trouble.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::task::{self, Owned};
use bytes::Bytes;
use http::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::auth::{Authenticator, KeySet, Trouble};
use crate::options::{Jwks, JwksUrl};
use crate::tls;

/// A whole fetch, from the name's resolution to the last byte.
const LONGEST_FETCH: Duration = Duration::from_secs(10);
/// Between two fetches that tokens with unknown keys ask for: anybody can send such tokens.
const BETWEEN_ASKED: Duration = Duration::from_secs(30);
/// Doublings of the pause after failures.
const DOUBLINGS: u32 = 6;

/// Where the keys are, and how they are reached.
#[derive(Debug)]
pub(crate) struct Source {
    url: Uri,
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Source {
    /// The source, or the key that is wrong and why.
    pub(crate) fn new(options: &JwksUrl) -> Result<Self, (&'static str, String)> {
        let wrong = |why: &str| Err(("url", why.to_owned()));
        let url = options.url.clone();
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return wrong("a whole URL is wanted here, such as https://login.example/keys.json");
        };
        if authority.as_str().contains('@') {
            return wrong("credentials in a URL are not sent; leave them out");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default);
        let tls = if *scheme == Scheme::HTTPS {
            let Ok(name) = ServerName::try_from(host.clone()) else {
                return wrong("its host is not a DNS name or an IP address");
            };
            Some((tls::http1_client(options.ca.as_ref()).map_err(|why| ("ca", why))?, name))
        } else if *scheme == Scheme::HTTP && host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) {
            if options.ca.is_some() {
                return Err(("ca", "plain http has no certificates to verify; leave it out".into()));
            }
            None
        } else {
            return wrong(
                "whoever is on the way could put in keys of their own: https:// is wanted here, or http:// to a \
                 loopback address such as 127.0.0.1",
            );
        };
        Ok(Self { url, host, port, tls })
    }

    async fn keys(&self) -> Result<KeySet, String> {
        let fetched = timeout(LONGEST_FETCH, self.fetch()).await;
        let late = |_| format!("no whole answer within {} s", LONGEST_FETCH.as_secs());
        KeySet::read(&fetched.map_err(late)??)
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        let shown = |error: std::io::Error| format!("cannot connect to {}:{}: {error}", self.host, self.port);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(shown)?;
        match &self.tls {
            None => self.get(stream).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                self.get(connector.connect(name.clone(), stream).await.map_err(shown)?).await
            }
        }
    }

    async fn get(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Result<Bytes, String> {
        let broken = |error: hyper::Error| format!("{} does not answer: {error}", self.host);
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let _driver = Owned::from(task::spawn_local("key-set-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the key set's connection ended");
            }
        }));
        let response = send.send_request(self.request()?).await.map_err(broken)?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("{} redirects ({status}), which is not followed", self.host));
        }
        if status != StatusCode::OK {
            return Err(format!("{} answers {status}", self.host));
        }
        let body = Limited::new(response.into_body(), Jwks::MAX_BYTES).collect().await;
        Ok(body.map_err(|error| format!("the answer of {} breaks off: {error}", self.host))?.to_bytes())
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, HeaderValue::from_static("aqueduct"))
            .header(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"))
            .body(Empty::new())
            .map_err(|error| error.to_string())
    }
}

/// Fetches at once, then `every` so often and when unknown keys ask for it; after a failure sooner, first after `retry`.
pub(super) async fn follow(auth: &Authenticator, options: &JwksUrl, retry: Duration) {
    let (every, options) = (options.every, options.clone());
    // Reading the system's authorities takes a while. An error: the runtime ends; the options have been checked.
    let source = tokio::task::spawn_blocking(move || Source::new(&options)).await;
    let Ok(Ok(source)) = source else { return };
    let (mut trouble, mut failures, mut asked) = (Trouble::default(), 0, None);
    loop {
        let pause = match source.keys().await {
            Ok(keys) => {
                auth.replace(keys);
                trouble = Trouble::default();
                failures = 0;
                every
            }
            Err(error) => {
                trouble.tell(error);
                failures += 1;
                backoff(retry, every, failures)
            }
        };
        due(&auth.wanted, pause, &mut asked).await;
    }
}

/// The pause after so many failures in a row.
fn backoff(retry: Duration, every: Duration, failures: u32) -> Duration {
    retry.saturating_mul(1 << failures.saturating_sub(1).min(DOUBLINGS)).min(every.max(retry))
}

/// Resolves after the pause, or when a fetch is wanted sooner and the last one that was, at `asked`, is long enough ago.
async fn due(wanted: &Notify, pause: Duration, asked: &mut Option<Instant>) {
    let before = *asked;
    let sooner = async {
        wanted.notified().await;
        if let Some(before) = before {
            sleep_until(before + BETWEEN_ASKED).await;
        }
    };
    tokio::select! {
        () = sleep(pause) => {}
        () = sooner => *asked = Some(Instant::now()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Auth, Jwt};

    #[test]
    fn the_pause_doubles_up_to_a_bound() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let pauses = [1, 2, 3, 7, 8, u32::MAX].map(|failures| backoff(second, hour, failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 64, 64, 64]);
        assert_eq!(backoff(second, 3 * second, 5), 3 * second, "never longer than without a failure");
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_keys_ask_at_most_every_30_seconds() {
        let (wanted, hour, start) = (Notify::new(), Duration::from_hours(1), Instant::now());
        let mut asked = None;
        // When asked, and the second of the fetch: the first at once, the others 30 s after one another.
        for expect in [0, 30, 60] {
            wanted.notify_one();
            wanted.notify_one();
            due(&wanted, hour, &mut asked).await;
            assert_eq!(start.elapsed().as_secs(), expect);
        }
        due(&wanted, hour, &mut asked).await;
        assert_eq!(start.elapsed().as_secs(), 60 + 3600, "nobody has asked");
    }

    /// Somebody to whom the system connects, and who answers nothing.
    fn silent() -> (std::net::TcpListener, JwksUrl) {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", silent.local_addr().unwrap()).parse().unwrap();
        (silent, JwksUrl { url, every: Duration::from_mins(5), ca: None })
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_does_not_end_is_given_up() {
        let (_silent, options) = silent();
        let (source, begin) = (Source::new(&options).unwrap(), Instant::now());
        let keys = tokio::task::LocalSet::new().run_until(Box::pin(source.keys())).await;
        assert_eq!(keys.err().as_deref(), Some("no whole answer within 10 s"));
        assert_eq!(begin.elapsed(), LONGEST_FETCH);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_in_trouble_is_asked_ever_more_seldom() {
        let (silent, options) = silent();
        let auth = Authenticator::new(&auth(options.clone(), "one"), None);
        let followed = timeout(Duration::from_secs(200), follow(&auth, &options, Duration::from_secs(1)));
        assert!(tokio::task::LocalSet::new().run_until(Box::pin(followed)).await.is_err());
        silent.set_nonblocking(true).unwrap();
        let asked = std::iter::from_fn(|| silent.accept().ok()).count();
        // After 0, 11, 23, 37, 55, 81, 123 and 197 s: ten for an answer, and then the pause.
        assert_eq!(asked, 8);
    }

    fn auth(url: JwksUrl, audience: &str) -> Auth {
        Auth {
            jwt: Some(Jwt {
                issuer: "i".into(),
                audiences: vec![audience.into()],
                jwks: Jwks::Url(url),
                algorithms: vec!["EdDSA".into()],
                clock_skew: Duration::ZERO,
            }),
            ..Auth::default()
        }
    }

    #[test]
    fn other_options_begin_with_the_keys_that_were_fetched() {
        let key =
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let options = |url: &'static str, audience: &str| {
            auth(JwksUrl { url: Uri::from_static(url), every: Duration::from_mins(5), ca: None }, audience)
        };
        let before = Authenticator::new(&options("https://a.example/", "one"), None);
        assert_eq!(before.keys.borrow().len(), 0);
        before.replace(KeySet::read(key.as_bytes()).unwrap());
        let after = Authenticator::new(&options("https://a.example/", "two"), Some(&before));
        assert_eq!(after.keys.borrow().len(), 1);
        // Tokens that were verified for the former audience are not known by these keys.
        assert!(!Arc::ptr_eq(&before.keys.borrow(), &after.keys.borrow()));
        let other = Authenticator::new(&options("https://b.example/", "one"), Some(&before));
        assert_eq!(other.keys.borrow().len(), 0, "keys of another issuer");
    }
}
