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

    /// Who shows it: the first URI it is for, as it is, else the first DNS name, else the subject's common name,
    /// percent-encoded where need be. What is no URI, since it has other bytes than URIs may have, is nobody. Names without a scheme must not look as if they had one: whoever may sign
    /// for a common name need not be trusted to sign for a URI.
    pub(crate) fn identity(&self) -> Option<HeaderValue> {
        let uri = self.names.iter().find_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        });
        let named =
            || self.dns_names().next().or_else(|| self.common_name()).filter(|name| !name.contains("://"));
        let name = match uri {
            Some(uri) => uri.bytes().all(|byte| byte.is_ascii_graphic()).then(|| uri.to_owned())?,
            None => encoded(named()?),
        };
        HeaderValue::from_str(&name).ok().filter(|name| !name.is_empty())
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

/// Everything but visible ASCII and inner blanks as `%XX`, and `%` itself, so that no two names look alike.
fn encoded(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let inner = at > 0 && at + 1 < name.len();
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(char::from(byte)),
            b' ' if inner => out.push(' '),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Reading;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    /// Who shows a certificate with these alternative names and this common name.
    #[track_caller]
    fn check(names: Vec<SanType>, common_name: &str, expect: Option<&str>) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let identity = Reading::of(certificate.der()).unwrap().identity();
        assert_eq!(identity.as_ref().map(|name| name.to_str().unwrap()), expect);
    }

    #[test]
    fn no_two_clients_have_one_identity() {
        let text = |text: &str| Ia5String::try_from(text).unwrap();
        let uri = |uri: &str| vec![SanType::URI(text(uri))];
        let dns = |name: &str| vec![SanType::DnsName(text(name))];
        check(vec![], "K\u{e4}the K", Some("K%C3%A4the K"));
        check(vec![], "K%C3%A4the K", Some("K%25C3%25A4the K"));
        check(vec![], "a ", Some("a%20"));
        check(vec![], "a%20", Some("a%2520"));
        check(dns("a%20.test"), "b", Some("a%2520.test"));
        check(uri("spiffe://shop/a%20b"), "b", Some("spiffe://shop/a%20b"));
        for nobody in ["spiffe://shop/a b", "spiffe://shop/\u{1}", ""] {
            check(uri(nobody), "b", None);
        }
        check(vec![], "spiffe://shop/a", None);
        check(vec![], "", None);
    }
}
