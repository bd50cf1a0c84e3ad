//! Certificates for servers that speak TLS and for their clients, in files of a scratch folder.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};

use crate::scratch::Scratch;

/// Who vouches for certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
}

/// A certificate, its key, and who vouches for it: three files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The authority's own certificate.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, whose files are in `scratch` under its name.
    ///
    /// # Panics
    ///
    /// When a file cannot be written.
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {name}"));
        let key = KeyPair::generate().expect("make a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("sign an authority");
        let authority = Self { issuer, folder: scratch.path().to_owned(), name: name.to_owned() };
        fs::write(authority.ca(), authority.issuer.pem()).expect("write an authority's certificate");
        authority
    }

    /// The file with its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join(format!("{}.ca.pem", self.name))
    }

    /// A certificate for these names and addresses, in files under `name`.
    ///
    /// # Panics
    ///
    /// When a file cannot be written, or a name is none.
    pub fn issue(&self, name: &str, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names for a certificate");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("make a key");
        let cert = params.signed_by(&key, &self.issuer).expect("sign a certificate").pem();
        let path = |kind: &str| self.folder.join(format!("{}.{name}.{kind}", self.name));
        let issued = Certificate { ca: self.ca(), cert: path("pem"), key: path("key") };
        fs::write(&issued.cert, cert).expect("write a certificate");
        fs::write(&issued.key, key.serialize_pem()).expect("write a key");
        issued
    }
}

impl Certificate {
    /// The three paths as texts: authority, certificate, key.
    pub fn paths(&self) -> [String; 3] {
        [&self.ca, &self.cert, &self.key].map(|path| path.display().to_string())
    }
}
