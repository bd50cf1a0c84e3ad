//! Connections to participants: TCP, and TLS where the url says so.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use aqueduct_runtime::task;
use http::Uri;
use hyper::rt::{Executor, ReadBufCursor};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;

/// Runs the connections of a client as tracked tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spawn;

impl<F> Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        task::spawn("saga-participant", future);
    }
}

/// Opens connections that speak one protocol.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    /// Its name in TLS.
    protocol: &'static [u8],
    /// Made for the first connection that needs it: reading the system's authorities takes a while.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Connect {
    pub(crate) fn http1() -> Self {
        Self { protocol: b"http/1.1", config: Arc::default() }
    }

    pub(crate) fn http2() -> Self {
        Self { protocol: b"h2", config: Arc::default() }
    }

    /// The same, and it trusts these authorities and not the system's.
    #[cfg(test)]
    pub(super) fn trusting(self, roots: RootCertStore) -> Self {
        let config = client_config(roots, self.protocol.to_vec()).unwrap();
        Self { config: Arc::new(OnceLock::from(config)), ..self }
    }

    async fn open(self, uri: Uri) -> io::Result<Stream> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        let host = uri.host().ok_or_else(|| wrong("the url has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await?;
        // Calls are small, and each waits for its answer.
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(Stream::Plain(TokioIo::new(tcp)));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong("its host is no name"))?;
        let tls = TlsConnector::from(self.config().await?).connect(name, tcp).await?;
        Ok(Stream::Tls(Box::new(TokioIo::new(tls))))
    }

    async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let protocol = self.protocol.to_vec();
        let made = tokio::task::spawn_blocking(move || client_config(authorities()?, protocol)).await;
        let made = made.map_err(io::Error::other)??;
        Ok(Arc::clone(self.config.get_or_init(|| made)))
    }
}

/// Whom the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
fn authorities() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(io::Error::other(
            "this system trusts nobody: SSL_CERT_FILE names a file with authorities",
        ));
    }
    Ok(roots)
}

fn client_config(roots: RootCertStore, protocol: Vec<u8>) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol];
    Ok(Arc::new(config))
}

impl Service<Uri> for Connect {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let alpn = match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.inner().get_ref().1.alpn_protocol(),
        };
        let connected = Connected::new();
        if alpn == Some(b"h2") { connected.negotiated_h2() } else { connected }
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, into),
        }
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, from),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, from),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
