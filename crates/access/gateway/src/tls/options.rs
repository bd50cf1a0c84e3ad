//! What TLS can be told, as plain values: PEM texts and the files they are from.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

/// TLS of a listening socket. HTTP/2 and HTTP/1.1 are offered by ALPN; early data (0-RTT) is never accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The first is shown to whoever asks for no name or for one that no certificate has; the others are chosen by the
    /// DNS names they are for, wildcards included.
    pub certificates: Vec<KeyPair>,
    /// Who may vouch for clients. Without it clients are not asked for a certificate.
    pub client_ca: Option<Pem>,
    /// Whether a client must have a certificate, where it is asked for one.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl Tls {
    /// TLS with these certificates and the defaults: 1.2 or newer, no client certificates.
    pub fn new(certificates: Vec<KeyPair>) -> Self {
        Self {
            certificates,
            client_ca: None,
            client_auth: ClientAuth::default(),
            min_version: TlsVersion::default(),
        }
    }

    /// All that is read from files.
    pub(crate) fn pems_mut(&mut self) -> impl Iterator<Item = &mut Pem> {
        self.certificates.iter_mut().flat_map(KeyPair::pems_mut).chain(&mut self.client_ca)
    }
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Without a good one there is no connection.
    #[default]
    Required,
    /// A client may have none; a bad one is refused all the same.
    Optional,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with AEAD ciphers and forward secrecy only.
    #[default]
    V12,
    /// RFC 8446.
    V13,
}

/// TLS to an upstream, whose certificate is always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may vouch for the servers; `None`: whom the system trusts.
    pub ca: Option<Pem>,
    /// The name that their certificates must have; `None`: the host of the endpoint.
    pub server_name: Option<String>,
    /// What is shown to servers that ask for a certificate.
    pub client: Option<KeyPair>,
}

impl UpstreamTls {
    /// All that is read from files.
    pub(crate) fn pems_mut(&mut self) -> impl Iterator<Item = &mut Pem> {
        self.client.iter_mut().flat_map(KeyPair::pems_mut).chain(&mut self.ca)
    }
}

/// A certificate with its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate, then those that vouch for it, up to but without the root.
    pub cert: Pem,
    /// PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: Pem,
}

impl KeyPair {
    fn pems_mut(&mut self) -> [&mut Pem; 2] {
        [&mut self.cert, &mut self.key]
    }
}

/// A PEM text. It may be a secret, so that only its name is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Where it is from, for messages.
    pub name: String,
    /// The text, at most [`Pem::MAX_BYTES`] when it is read again.
    pub text: Bytes,
    /// The file it is from. When there is one, it is read again whenever it changes.
    pub file: Option<PathBuf>,
}

impl Pem {
    /// Bytes of one file. The bundle of all public authorities is a quarter of it.
    pub const MAX_BYTES: usize = 1 << 20;

    /// A text that does not change.
    pub fn text(name: impl Into<String>, text: impl Into<Bytes>) -> Self {
        Self { name: name.into(), text: text.into(), file: None }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("name", &self.name).field("file", &self.file).finish_non_exhaustive()
    }
}
