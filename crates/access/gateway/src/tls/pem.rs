//! PEM texts as rustls takes them. A message names the file and what it should hold.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::tls::options::{KeyPair, Pem};

/// What is wrong, and with which field of the options: `cert`, `key`, `ca` …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same one level further out.
    pub(crate) fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), message: self.message }
    }
}

/// The certificates of a text, of which there must be one.
pub(crate) fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.text).collect();
    let found = read.map_err(|error| format!("{} is not PEM: {error}", pem.name))?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate (-----BEGIN CERTIFICATE-----)", pem.name));
    }
    Ok(found)
}

/// Those who may vouch for others.
pub(crate) fn authorities(pem: &Pem) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{} holds no certificate of an authority: {error}", pem.name))?;
    }
    Ok(roots)
}

/// A certificate that fits its key. The parser's own words are left out where they might repeat parts of a key.
pub(crate) fn key_pair(pair: &KeyPair, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Wrong> {
    let chain = certificates(&pair.cert).map_err(|message| Wrong::new("cert", message))?;
    let name = &pair.key.name;
    let key = PrivateKeyDer::from_pem_slice(&pair.key.text).map_err(|_| {
        let encrypted = contains(&pair.key.text, b"ENCRYPTED");
        let hint = if encrypted { "it is encrypted" } else { "such as -----BEGIN PRIVATE KEY-----" };
        Wrong::new("key", format!("{name} holds no private key: {hint}"))
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        Wrong::new(
            "key",
            format!("{name} holds a key of a kind that is not supported; take ECDSA, RSA or Ed25519"),
        )
    })?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Wrong::new("key", format!("the key {name} does not belong to the certificate {}", pair.cert.name))
        }
        error => {
            Wrong::new("cert", format!("{} holds a certificate that cannot be read: {error}", pair.cert.name))
        }
    })?;
    Ok(Arc::new(certified))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
