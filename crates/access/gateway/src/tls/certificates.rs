//! Which certificate a client is shown: by the name it asks for (SNI, RFC 6066).

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::options::KeyPair;
use crate::tls::pem::{self, Wrong};
use crate::tls::x509::Reading;

/// The certificates of a listening socket by the names they are for.
#[derive(Debug)]
pub(crate) struct Certificates {
    default: Arc<CertifiedKey>,
    /// By whole names, and by what follows the `*` of wildcards: `.shop.example`.
    by_name: HashMap<Box<str>, Arc<CertifiedKey>, RandomState>,
}

impl Certificates {
    /// All that is wrong with them, or the table.
    pub(crate) fn new(pairs: &[KeyPair], provider: &CryptoProvider) -> Result<Self, Vec<Wrong>> {
        let (mut wrong, mut default) = (Vec::new(), None);
        let mut by_name: HashMap<Box<str>, Arc<CertifiedKey>, RandomState> = HashMap::default();
        for (index, pair) in pairs.iter().enumerate() {
            match pem::key_pair(pair, provider) {
                Ok(key) => {
                    let reading = key.cert.first().and_then(|first| Reading::of(first));
                    for name in reading.iter().flat_map(Reading::dns_names) {
                        // Of two certificates for one name the first is shown, as it is where nothing fits.
                        let name = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
                        by_name.entry(name.into()).or_insert_with(|| Arc::clone(&key));
                    }
                    default.get_or_insert(key);
                }
                Err(why) => wrong.push(why.within(&format!("certificates[{index}]"))),
            }
        }
        match default {
            Some(default) if wrong.is_empty() => Ok(Self { default, by_name }),
            None if wrong.is_empty() => {
                Err(vec![Wrong::new("certificates", "name at least one { cert: file.pem, key: file.pem }")])
            }
            _ => Err(wrong),
        }
    }

    /// A whole name goes before a wildcard, which stands for one label only (RFC 6125).
    fn choose(&self, name: &str) -> &Arc<CertifiedKey> {
        let exact = || self.by_name.get(name);
        let wildcard = || self.by_name.get(name.get(name.find('.')?..)?);
        exact().or_else(wildcard).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives names in lower case and without a last dot.
        Some(Arc::clone(hello.server_name().map_or(&self.default, |name| self.choose(name))))
    }
}
