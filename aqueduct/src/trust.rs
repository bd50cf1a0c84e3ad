//! TLS towards the servers below, as each of their clients wants it: one word in the configuration, four libraries.

use std::sync::Arc;

use aqueduct_bus::jetstream;
use aqueduct_cache::l2;
use aqueduct_gateway::UpstreamTls;
use mysql_async::{ClientIdentity, SslOpts};

/// How a server is verified, and what it is shown. Its certificate is for the name or address by which it is configured.
#[derive(Clone)]
pub(crate) struct Trust {
    options: Arc<UpstreamTls>,
    config: Arc<jetstream::ClientConfig>,
}

impl Trust {
    /// What the texts hold, or all that is wrong with them: the field, and why.
    pub(crate) fn new(options: UpstreamTls) -> Result<Self, Vec<(String, String)>> {
        let config = Arc::new(options.client()?);
        Ok(Self { options: Arc::new(options), config })
    }

    pub(crate) fn mysql(&self) -> SslOpts {
        let UpstreamTls { ca, client, .. } = &*self.options;
        // Its client would trust a list of its own otherwise, instead of the system's.
        let roots = if let Some(ca) = ca {
            vec![ca.text.to_vec().into()]
        } else {
            let system = rustls_native_certs::load_native_certs().certs;
            system.into_iter().map(|root| root.to_vec().into()).collect()
        };
        let identity = client
            .as_ref()
            .map(|pair| ClientIdentity::new(pair.cert.text.to_vec().into(), pair.key.text.to_vec().into()));
        SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(roots)
            .with_client_identity(identity)
    }

    pub(crate) fn redis(&self) -> l2::Tls {
        let UpstreamTls { ca, client, .. } = &*self.options;
        let client = client.as_ref().map(|pair| (pair.cert.text.to_vec(), pair.key.text.to_vec()));
        l2::Tls { ca: ca.as_ref().map(|ca| ca.text.to_vec()), client }
    }

    pub(crate) fn nats(&self) -> jetstream::ClientConfig {
        jetstream::ClientConfig::clone(&self.config)
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for Trust {}

/// Names of files only.
impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(f)
    }
}
