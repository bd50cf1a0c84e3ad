//! Certificates for tests, the files they are in, and a TLS client that trusts them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_gateway::{KeyPair, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair as Key,
    SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Signs certificates.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, Key>,
}

/// A certificate and its key, as PEM texts.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Issued {
    pub(crate) fn pair(&self) -> KeyPair {
        KeyPair {
            cert: Pem::text("cert.pem", self.cert.clone()),
            key: Pem::text("key.pem", self.key.clone()),
        }
    }

    /// Written to files that the gateway watches.
    pub(crate) fn files(&self, folder: &Path, name: &str) -> KeyPair {
        KeyPair {
            cert: file(folder.join(format!("{name}.pem")), &self.cert),
            key: file(folder.join(format!("{name}.key")), &self.key),
        }
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.cert.as_bytes()).map(Result::unwrap).collect()
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// TLS of a server that shows it, and asks for a certificate of this authority if there is one.
    pub(crate) fn server(&self, clients: Option<&Authority>, alpn: &[&str]) -> Arc<rustls::ServerConfig> {
        let builder = rustls::ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(self.chain(), self.private()).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

pub(crate) fn file(path: PathBuf, text: &str) -> Pem {
    std::fs::write(&path, text).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    Pem { name, text: text.to_owned().into(), file: Some(path) }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two have the same name, as two with the same name and other keys would be a different fault.
        let name = format!("test authority {}", COUNT.fetch_add(1, SeqCst));
        params.distinguished_name.push(DnType::CommonName, name);
        Self { issuer: CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap() }
    }

    pub(crate) fn pem(&self) -> Pem {
        Pem::text("ca.pem", self.issuer.pem())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        let key = Key::generate().unwrap();
        Issued { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A client's certificate with a URI (SPIFFE) and a DNS name.
    pub(crate) fn issue_uri(&self, uri: &str) -> Issued {
        self.issue_with(&["client.test"], |params| {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        })
    }

    /// A client's certificate that has nothing but a common name.
    pub(crate) fn issue_common_name(&self, name: &str) -> Issued {
        self.issue_with(&[], |params| params.distinguished_name.push(DnType::CommonName, name))
    }

    /// What a client needs that trusts this authority.
    pub(crate) fn client(&self, alpn: &[&str], certificate: Option<&Issued>) -> Arc<ClientConfig> {
        self.client_of(alpn, certificate, rustls::ALL_VERSIONS)
    }

    pub(crate) fn client_of(
        &self,
        alpn: &[&str],
        certificate: Option<&Issued>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(self.roots());
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(issued) => builder.with_client_auth_cert(issued.chain(), issued.private()).unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A connection with TLS.
#[derive(Debug)]
pub(crate) struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Secure {
    pub(crate) fn open(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        let tcp = TcpStream::connect(address)?;
        // Only so that a broken gateway fails the test instead of hanging it.
        tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream })
    }

    /// For other protocols than HTTP/1.1.
    pub(crate) fn into_stream(self) -> impl Read + Write {
        self.stream
    }

    pub(crate) fn alpn(&self) -> Option<&str> {
        self.stream.conn.alpn_protocol().map(|name| std::str::from_utf8(name).unwrap())
    }

    pub(crate) fn resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The server's certificate.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// The status and body of an HTTP/1.1 request; an error when there is none.
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> std::io::Result<(u16, String)> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n").as_bytes())?;
        let (mut all, mut room) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&all).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split_once("content-length: ").unwrap().1;
                let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                if body.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return Ok((status, body.to_owned()));
                }
            }
            match self.stream.read(&mut room)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => all.extend_from_slice(&room[..count]),
            }
        }
    }
}

/// The DER of a certificate's PEM.
pub(crate) fn der(issued: &Issued) -> Vec<u8> {
    issued.chain()[0].to_vec()
}

/// Verifies nothing, for tests that look at what is shown.
pub(crate) fn anything() -> Arc<dyn rustls::client::danger::ServerCertVerifier> {
    Arc::new(Anything)
}

#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
