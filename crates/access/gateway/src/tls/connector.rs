//! The client side of TLS: connections to the endpoints of one upstream, whose certificates are verified.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::options::{Pem, UpstreamTls};
use crate::tls::pem::{self, Wrong};

/// TLS for the connections to one upstream, the same for all workers.
#[derive(Debug)]
pub(crate) struct Connector {
    active: RwLock<Active>,
}

#[derive(Debug, Clone)]
struct Active {
    config: Arc<ClientConfig>,
    /// The name that certificates must have, unless it is that of the endpoint.
    name: Option<ServerName<'static>>,
}

impl Connector {
    /// A connector, or all that is wrong with the options.
    pub(crate) fn new(options: &UpstreamTls) -> Result<Self, Vec<Wrong>> {
        Ok(Self { active: RwLock::new(Active::new(options)?) })
    }

    /// Uses other options for the connections that begin from now on, or keeps those of before when something is wrong.
    pub(crate) fn replace(&self, options: &UpstreamTls) -> Result<(), Vec<Wrong>> {
        let next = Active::new(options)?;
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Shakes hands with the endpoint at `address` (`host:port`), which must speak HTTP/2.
    pub(crate) async fn connect(&self, stream: TcpStream, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let Active { config, name } = self.active.read().unwrap_or_else(PoisonError::into_inner).clone();
        let name = match name {
            Some(name) => name,
            None => host(address)?,
        };
        let shown = name.to_str().into_owned();
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream =
            stream.map_err(|error| io::Error::new(error.kind(), format!("TLS with {shown}: {error}")))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err(io::Error::other(format!("TLS with {shown}: the server does not offer HTTP/2 by ALPN"))),
        }
    }
}

/// The host of `host:port`, as a name that certificates have.
fn host(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}

impl Active {
    fn new(options: &UpstreamTls) -> Result<Self, Vec<Wrong>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut wrong = Vec::new();
        let name = options.server_name.as_ref().and_then(|name| {
            let read = ServerName::try_from(name.clone());
            read.map_err(|_| {
                let message = format!("`{name}` is not a DNS name or an IP address");
                wrong.push(Wrong::new("server_name", message));
            })
            .ok()
        });
        let roots = roots(options.ca.as_ref()).map_err(|why| wrong.push(why));
        let shown = options.client.as_ref().map(|pair| pem::key_pair(pair, &provider)).transpose();
        let shown = shown.map_err(|Wrong { field, message }| {
            wrong.push(Wrong::new(format!("client_{field}"), message));
        });
        let (Ok(roots), Ok(shown), true) = (roots, shown, wrong.is_empty()) else { return Err(wrong) };
        let config = client_config(roots, shown, provider)
            .map_err(|error| vec![Wrong::new("ca", error.to_string())])?;
        Ok(Self { config: Arc::new(config), name })
    }
}

impl UpstreamTls {
    /// TLS for connections that do not carry HTTP, to databases and the like, whose name is that of the server. Otherwise all that is
    /// wrong: the field, and why.
    ///
    /// # Errors
    /// A text that is not PEM, or a key that does not belong to its certificate.
    pub fn client(&self) -> Result<ClientConfig, Vec<(String, String)>> {
        let active = Active::new(self);
        let active = active.map_err(|all| all.into_iter().map(|Wrong { field, message }| (field, message)));
        let mut config = ClientConfig::clone(&active.map_err(Iterator::collect::<Vec<_>>)?.config);
        config.alpn_protocols.clear();
        Ok(config)
    }
}

/// TLS for single requests by HTTP/1.1, to a server for which `ca` vouches or, without it, somebody whom the system trusts.
pub(crate) fn http1_client(ca: Option<&Pem>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = roots(ca).map_err(|wrong| wrong.message)?;
    let mut config = client_config(roots, None, provider).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(ca: Option<&Pem>) -> Result<RootCertStore, Wrong> {
    if let Some(ca) = ca {
        return pem::authorities(ca).map_err(|message| Wrong::new("ca", message));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message =
            "this system has no list of trusted authorities (ca-certificates); name a file with `ca`";
        return Err(Wrong::new("ca", message));
    }
    Ok(roots)
}

fn client_config(
    roots: RootCertStore,
    shown: Option<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.enable_early_data = false;
    Ok(config)
}
