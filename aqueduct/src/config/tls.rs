//! The keys of TLS, of listening sockets and of upstreams. Files are read here, so that one that cannot be read is told
//! where it is named; what they hold is the gateway's to judge.

use std::path::Path;

use aqueduct_gateway::{ClientAuth, KeyPair, Pem, Tls, TlsVersion, UpstreamTls};

use super::edge::beside;
use super::read_at_most;
use super::value::{Fields, Value};
use crate::trust::Trust;

/// `tls` of an address: `off`, or its certificates.
pub(super) fn listen(value: &Value<'_>, base: &Path) -> Option<Tls> {
    if value.is_off() {
        return None;
    }
    let mut fields = value.fields("{ certificates: [{ cert: shop.pem, key: shop.key }] }")?;
    let mut tls = Tls::new(Vec::new());
    if let Some(certificates) = fields.require("certificates") {
        let items = certificates.items("[{ cert: shop.pem, key: shop.key }]");
        tls.certificates = items.iter().map(|item| certificate(item, base)).collect();
    }
    tls.client_ca = fields.get("client_ca").map(|value| pem(&value, base));
    let words = [("required", ClientAuth::Required), ("optional", ClientAuth::Optional)];
    if let Some(value) = fields.get("client_auth") {
        tls.client_auth = value.one_of(&words).unwrap_or_default();
        if tls.client_ca.is_none() {
            value.problem("name those who may vouch for clients with `client_ca`");
        }
    }
    fields.set("min_version", &mut tls.min_version, |value| {
        value.one_of(&[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)])
    });
    fields.finish();
    Some(tls)
}

/// One that is incomplete keeps its place: the ones behind it keep their numbers.
fn certificate(item: &Value<'_>, base: &Path) -> KeyPair {
    let mut pair = KeyPair { cert: nothing(), key: nothing() };
    if let Some(mut fields) = item.fields("{ cert: shop.pem, key: shop.key }") {
        pair = key_pair(&mut fields, ["cert", "key"], base);
        fields.finish();
    }
    pair
}

fn key_pair(fields: &mut Fields<'_>, [cert, key]: [&'static str; 2], base: &Path) -> KeyPair {
    let mut read = |name| fields.require(name).map_or_else(nothing, |value| pem(&value, base));
    KeyPair { cert: read(cert), key: read(key) }
}

/// `tls` of an upstream: `off`, or how it is verified.
pub(super) fn upstream(value: &Value<'_>, base: &Path) -> Option<UpstreamTls> {
    if value.is_off() {
        return None;
    }
    let mut fields = value.fields("{ ca: internal.pem }")?;
    let mut tls =
        UpstreamTls { ca: fields.get("ca").map(|value| pem(&value, base)), ..UpstreamTls::default() };
    fields.set("server_name", &mut tls.server_name, |value| value.text().map(|name| Some(name.to_owned())));
    client(&mut fields, &mut tls, base);
    fields.finish();
    Some(tls)
}

/// `tls` of servers of the system: `off`, or how they are verified. `tls: {}` is by whom the system trusts.
pub(super) fn servers(value: &Value<'_>, base: &Path) -> Option<Trust> {
    if value.is_off() {
        return None;
    }
    let mut fields = value.fields("{ ca: internal.pem }")?;
    let mut options =
        UpstreamTls { ca: fields.get("ca").map(|value| pem(&value, base)), ..UpstreamTls::default() };
    client(&mut fields, &mut options, base);
    fields.finish();
    let trust = Trust::new(options);
    let told = |wrong: Vec<(String, String)>| wrong.into_iter().for_each(|(at, why)| value.later(&at, why));
    trust.map_err(told).ok()
}

fn client(fields: &mut Fields<'_>, tls: &mut UpstreamTls, base: &Path) {
    let names = ["client_cert", "client_key"];
    if fields.has_any(&names) {
        tls.client = Some(key_pair(fields, names, base));
    } else {
        // Known all the same.
        for name in names {
            fields.get(name);
        }
    }
}

/// What stands for a file that is not there, which has been told.
fn nothing() -> Pem {
    Pem::text("", "")
}

/// A file of certificates or a key.
pub(super) fn pem(value: &Value<'_>, base: &Path) -> Pem {
    let Some(name) = value.text() else { return nothing() };
    let path = beside(base, name);
    match read_at_most(&path, Pem::MAX_BYTES as u64) {
        Ok(Some(text)) => {
            // What came out of a pipe does not come again.
            let file = path.is_file().then_some(path);
            return Pem { name: name.to_owned(), text: text.into(), file };
        }
        Ok(None) => value.problem(format!("`{name}` is larger than {} MiB", Pem::MAX_BYTES >> 20)),
        Err(error) => value.problem(format!("cannot read `{name}`: {error}")),
    }
    nothing()
}
