//! What certificates say: the names they are for, until when they are good, and who a client is.

use std::time::Duration;

use http::HeaderValue;
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate that was read.
#[derive(Debug)]
pub(crate) struct Reading {
    certificate: Certificate,
    names: Vec<GeneralName>,
}

impl Reading {
    /// `None` when it is no X.509 certificate.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let names = certificate.tbs_certificate.get::<SubjectAltName>().ok()?;
        Some(Self { names: names.map(|(_, names)| names.0).unwrap_or_default(), certificate })
    }

    /// The DNS names it is for, as they are written.
    pub(crate) fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// From when to when it is good, since 1970.
    pub(crate) fn validity(&self) -> (Duration, Duration) {
        let validity = &self.certificate.tbs_certificate.validity;
        (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration())
    }

    /// Who shows it: the first URI it is for, else the first DNS name, else the subject's common name. Bytes that may not
    /// stand in a header are percent-encoded. Names without a scheme must not look as if they had one: whoever may sign
    /// for a common name need not be trusted to sign for a URI.
    pub(crate) fn identity(&self) -> Option<HeaderValue> {
        let uri = self.names.iter().find_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        });
        let named =
            || self.dns_names().next().or_else(|| self.common_name()).filter(|name| !name.contains("://"));
        let name = uri.or_else(named).filter(|name| !name.is_empty())?;
        HeaderValue::from_str(&encoded(name)).ok()
    }

    fn common_name(&self) -> Option<&str> {
        const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
        let mut parts = self.certificate.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
        let value = &parts.find(|part| part.oid == COMMON_NAME)?.value;
        match value.tag() {
            Tag::Utf8String => Utf8StringRef::try_from(value).ok().map(|text| text.as_str()),
            Tag::PrintableString => PrintableStringRef::try_from(value).ok().map(|text| text.as_str()),
            Tag::Ia5String => Ia5StringRef::try_from(value).ok().map(|text| text.as_str()),
            Tag::TeletexString => TeletexStringRef::try_from(value).ok().map(|text| text.as_str()),
            _ => None,
        }
    }
}

/// Everything but visible ASCII and inner blanks as `%XX`.
fn encoded(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let inner = at > 0 && at + 1 < name.len();
        match byte {
            b'!'..=b'~' => out.push(char::from(byte)),
            b' ' if inner => out.push(' '),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}
