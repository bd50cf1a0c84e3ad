//! The server side of TLS for one listening socket: one configuration for all workers, so that a session that began on
//! one is resumed on another, replaced as a whole when its files change.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use aqueduct_runtime::clock;
use http::HeaderValue;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::certificates::Certificates;
use crate::tls::options::{ClientAuth, Tls, TlsVersion};
use crate::tls::pem::{self, Wrong};
use crate::tls::x509::Reading;

/// Sessions that are kept for clients of TLS 1.2 without tickets. The others carry their session themselves.
const SESSIONS: usize = 4096;

/// What a client has negotiated.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TlsStream<TcpStream>,
    /// HTTP/2 by ALPN; without ALPN it is not known yet.
    pub(crate) http2: Option<bool>,
    pub(crate) resumed: bool,
    /// Who the client is, if it has shown a certificate.
    pub(crate) identity: Option<HeaderValue>,
}

/// TLS for the clients of one address.
#[derive(Debug)]
pub(crate) struct Acceptor {
    active: RwLock<Active>,
}

#[derive(Debug)]
struct Active {
    options: Tls,
    config: Arc<ServerConfig>,
    sessions: Sessions,
}

/// What makes clients of before come back faster.
#[derive(Debug, Clone)]
struct Sessions {
    ticketer: Arc<dyn ProducesTickets>,
    store: Arc<dyn StoresServerSessions>,
}

impl Sessions {
    fn new() -> Result<Self, Vec<Wrong>> {
        // Its keys change every 6 hours by themselves.
        let ticketer = rustls::crypto::ring::Ticketer::new();
        let ticketer = ticketer.map_err(|error| vec![Wrong::new("certificates", error.to_string())])?;
        Ok(Self { ticketer, store: ServerSessionMemoryCache::new(SESSIONS) })
    }
}

impl Active {
    fn new(options: &Tls, before: Option<&Self>) -> Result<Self, Vec<Wrong>> {
        // A session holds the certificate of its client, which is not verified again when it is resumed. So sessions
        // end with the rules they began under; other certificates of our own change nothing for them.
        let rules =
            |tls: &Tls| (tls.client_ca.as_ref().map(|ca| ca.text.clone()), tls.client_auth, tls.min_version);
        let kept = before.filter(|before| rules(&before.options) == rules(options));
        let sessions = kept.map_or_else(Sessions::new, |before| Ok(before.sessions.clone()))?;
        let config = Arc::new(server_config(options, sessions.clone())?);
        Ok(Self { options: options.clone(), config, sessions })
    }
}

impl Acceptor {
    /// An acceptor, or all that is wrong with the options.
    pub(crate) fn new(options: &Tls) -> Result<Self, Vec<Wrong>> {
        Ok(Self { active: RwLock::new(Active::new(options, None)?) })
    }

    /// One with other options for the clients that this one has known: their sessions go on, where the rules for clients are
    /// the same. This one stays as it is.
    pub(crate) fn successor(self: &Arc<Self>, options: &Tls) -> Result<Arc<Self>, Vec<Wrong>> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        if active.options == *options {
            return Ok(Arc::clone(self));
        }
        Ok(Arc::new(Self { active: RwLock::new(Active::new(options, Some(&active))?) }))
    }

    /// Uses other options for the connections that begin from now on, or keeps those of before when something is wrong.
    pub(crate) fn replace(&self, options: &Tls) -> Result<(), Vec<Wrong>> {
        let next = Active::new(options, Some(&*self.active.read().unwrap_or_else(PoisonError::into_inner)))?;
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Shakes hands. Whoever waits for it sets the time.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Arrival> {
        let config = Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner).config);
        let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await?;
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol().map(|protocol| protocol == b"h2");
        let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let identity = certificate.map(|certificate| identify(certificate)).transpose()?;
        Ok(Arrival { stream, http2, resumed, identity })
    }
}

/// Who a verified certificate is for. That of a resumed session may have expired since.
fn identify(certificate: &[u8]) -> io::Result<HeaderValue> {
    let reading = Reading::of(certificate);
    let reading = reading.filter(|reading| reading.validity().1 > clock::since_epoch());
    let identity = reading.and_then(|reading| reading.identity());
    identity.ok_or_else(|| io::Error::other("the client's certificate has expired or names nobody"))
}

fn server_config(options: &Tls, sessions: Sessions) -> Result<ServerConfig, Vec<Wrong>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = Certificates::new(&options.certificates, &provider);
    let verifier = client_verifier(options, &provider);
    let (certificates, verifier) = match (certificates, verifier) {
        (Ok(certificates), Ok(verifier)) => (certificates, verifier),
        (certificates, verifier) => {
            let mut wrong = certificates.err().unwrap_or_default();
            wrong.extend(verifier.err());
            return Err(wrong);
        }
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(options.min_version))
        .map_err(|error| vec![Wrong::new("min_version", error.to_string())])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = sessions.ticketer;
    config.session_storage = sessions.store;
    // A request in early data can be replayed by whoever sees it.
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_verifier(
    options: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Wrong> {
    let Some(ca) = &options.client_ca else { return Ok(None) };
    let wrong = |message| Wrong::new("client_ca", message);
    let roots = Arc::new(pem::authorities(ca).map_err(wrong)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = match options.client_auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map(Some).map_err(|error| wrong(format!("{}: {error}", ca.name)))
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match oldest {
        TlsVersion::V12 => rustls::ALL_VERSIONS,
        TlsVersion::V13 => &NEWEST,
    }
}
