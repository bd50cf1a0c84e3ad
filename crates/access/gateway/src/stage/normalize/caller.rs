//! Who asks, behind how many proxies, and under which request id. What is said of this from outside counts only where the
//! peer is a trusted proxy; the upstream gets it written anew.

use std::net::{IpAddr, SocketAddr};

use aqueduct_runtime::context::Context;
use http::HeaderValue;
use http::header::{HOST, HeaderMap, HeaderName};
use http::request::Parts;

use super::authority::valid_authority;
use super::{find, once, single};
use crate::client::Client;
use crate::http2::Fields;
use crate::options::{Network, Options};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Proxies that are looked through at most. Whoever has more would be found behind the last of these.
const MOST_HOPS: usize = 32;
/// Bytes of a request id that is taken over.
const LONGEST_ID: usize = 128;

/// Where a request comes from.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The client's address; its port is 0 when a proxy told the address.
    pub(crate) client: SocketAddr,
    /// `None` when ids are switched off.
    pub(crate) request_id: Option<HeaderValue>,
    /// Who its certificate says it is.
    pub(crate) certificate: Option<HeaderValue>,
    chain: HeaderValue,
    proto: HeaderValue,
    /// What a trusted proxy says that it was asked for.
    host: Option<HeaderValue>,
}

impl Caller {
    pub(crate) fn of(head: &Parts, client: &Client, options: &Options) -> Self {
        let peer = client.address;
        let trusted = is_trusted(peer.ip(), &options.trusted_proxies);
        let mut caller = Self {
            client: peer,
            request_id: None,
            certificate: client.identity().cloned(),
            chain: client.forwarded().clone(),
            proto: client.scheme(),
            host: None,
        };
        if trusted {
            caller.believe(&head.headers, &options.trusted_proxies);
        }
        if options.request_ids {
            let told = if trusted { single(&head.headers, &REQUEST_ID) } else { None };
            let told = told.filter(|id| is_id(id.as_bytes()));
            caller.request_id = Some(told.cloned().unwrap_or_else(new_id));
        }
        caller
    }

    /// Takes over what a trusted peer says.
    fn believe(&mut self, headers: &HeaderMap, networks: &[Network]) {
        let told = headers.get_all(FORWARDED_FOR).iter().rev();
        let told = told.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        let mut hops = Vec::new();
        for hop in told.take(MOST_HOPS) {
            // What is no address was written by somebody whom nobody vouches for.
            let Some(address) = hop_address(hop) else { break };
            hops.push(address);
            if !is_trusted(address, networks) {
                break;
            }
        }
        if let Some(client) = hops.last() {
            self.client = SocketAddr::new(*client, 0);
            let mut chain: Vec<_> = hops.iter().rev().map(ToString::to_string).collect();
            chain.push(self.chain.to_str().unwrap_or_default().to_owned());
            if let Ok(chain) = HeaderValue::try_from(chain.join(", ")) {
                self.chain = chain;
            }
        }
        if let Some(proto) = single(headers, &FORWARDED_PROTO)
            && matches!(proto.as_bytes(), b"http" | b"https")
        {
            self.proto = proto.clone();
        }
        if let Some(host) = single(headers, &FORWARDED_HOST).filter(|host| valid_authority(host.as_bytes())) {
            self.host = Some(host.clone());
        }
    }

    /// Tells the upstream, in place of whatever was there. The `Host` has been checked: over HTTP/1 by the codec, of HTTP/2 by
    /// [`normalize`](super::normalize).
    pub(crate) fn write(&self, inbound: &HeaderMap, headers: &mut Fields) {
        headers.insert(FORWARDED_FOR, self.chain.clone());
        headers.insert(FORWARDED_PROTO, self.proto.clone());
        if let Some(host) = self.host.as_ref().or_else(|| find(inbound, &HOST)) {
            headers.insert(FORWARDED_HOST, host.clone());
        }
        if let Some(id) = &self.request_id {
            headers.insert(REQUEST_ID, id.clone());
        }
    }
}

fn is_trusted(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// An address, perhaps with a port, as proxies write them.
fn hop_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// Bounded, and nothing that could end a line or a field where it is shown.
fn is_id(text: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

/// 128 random bits in hexadecimal digits, from the generator of trace ids. They are unique; they are no secret.
fn new_id() -> HeaderValue {
    let id = HeaderValue::from_bytes(&Context::new_root(false).trace_id_hex());
    let mut id = id.unwrap_or(HeaderValue::from_static("0"));
    once(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const PEER: &str = "10.0.0.1";

    /// The client that is found, and the chain that goes upstream.
    fn found(peer: &str, told: &[&str]) -> (String, String) {
        let options = Options {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            ..Options::default()
        };
        let client = Client::new(SocketAddr::new(peer.parse().unwrap(), 7));
        let request = told.iter().fold(Request::get("/"), |it, value| it.header("x-forwarded-for", *value));
        let caller = Caller::of(&request.body(()).unwrap().into_parts().0, &client, &options);
        (caller.client.ip().to_string(), caller.chain.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_client_is_found_from_the_right_behind_trusted_proxies() {
        let check = |peer: &str, told: &[&str], client: &str, chain: &str| {
            assert_eq!(found(peer, told), (client.to_owned(), chain.to_owned()), "{peer} {told:?}");
        };
        check(PEER, &[], PEER, PEER);
        check(PEER, &["192.0.2.1"], "192.0.2.1", "192.0.2.1, 10.0.0.1");
        check(PEER, &["6.6.6.6, 192.0.2.1, 10.2.2.2"], "192.0.2.1", "192.0.2.1, 10.2.2.2, 10.0.0.1");
        check(PEER, &["6.6.6.6", "192.0.2.1"], "192.0.2.1", "192.0.2.1, 10.0.0.1");
        check(PEER, &["10.3.3.3,10.2.2.2"], "10.3.3.3", "10.3.3.3, 10.2.2.2, 10.0.0.1");
        check(PEER, &["192.0.2.1, junk"], PEER, PEER);
        check(PEER, &["junk, 10.2.2.2"], "10.2.2.2", "10.2.2.2, 10.0.0.1");
        check(PEER, &["192.0.2.1:4711"], "192.0.2.1", "192.0.2.1, 10.0.0.1");
        check(PEER, &["[2001:dead::1]:80"], "2001:dead::1", "2001:dead::1, 10.0.0.1");
        check(PEER, &["::ffff:192.0.2.1"], "192.0.2.1", "192.0.2.1, 10.0.0.1");
        check(PEER, &[""], PEER, PEER);
        check("2001:db8::9", &["192.0.2.1"], "192.0.2.1", "192.0.2.1, 2001:db8::9");
        check("::ffff:10.0.0.9", &["192.0.2.1"], "192.0.2.1", "192.0.2.1, 10.0.0.9");
        check("192.0.2.9", &["1.2.3.4"], "192.0.2.9", "192.0.2.9");
        let many = vec!["10.1.1.1"; 1000].join(",");
        assert_eq!(found(PEER, &[&many]).1.split(", ").count(), MOST_HOPS + 1);
    }

    #[test]
    fn ids_are_short_and_visible() {
        for (id, good) in [
            ("a-1", true),
            ("", false),
            ("a b", false),
            ("\u{e9}", false),
            ("x".repeat(128).as_str(), true),
            ("x".repeat(129).as_str(), false),
        ] {
            assert_eq!(is_id(id.as_bytes()), good, "{id}");
        }
        let (one, other) = (new_id(), new_id());
        assert!(one != other && one.len() == 32 && is_id(one.as_bytes()));
    }
}
