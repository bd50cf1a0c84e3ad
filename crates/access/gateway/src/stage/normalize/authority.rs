//! Whose name a request is for: `Host`, or `:authority` in HTTP/2.

use http::header::HOST;
use http::request::Parts;

pub(crate) use crate::http1::is_authority as valid_authority;

/// RFC 9113 section 8.3.1: `:authority` and `Host`, where both are there, say the same.
pub(crate) fn agrees(head: &Parts) -> bool {
    let authority = head.uri.authority().map(|it| it.as_str().as_bytes());
    let mut hosts = head.headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes);
    let host = hosts.next();
    let same = |host: &[u8]| authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host));
    hosts.next().is_none() && host.is_none_or(same) && authority.or(host).is_none_or(valid_authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn authorities_are_a_host_and_perhaps_a_port() {
        for good in ["a", "shop.example", "a:80", "192.0.2.1:8080", "[::1]", "[2001:db8::1]:443", "a_b", "a:"]
        {
            assert!(valid_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a,b", "u@a", "a/b", "a b", "a:b", "a:80:80", "[::1", "[x]", "[::1]x", "a:123456",
            "a?b", "a#",
        ] {
            assert!(!valid_authority(bad.as_bytes()), "{bad}");
        }
        assert!(!valid_authority(b"a\xff"));
    }

    #[test]
    fn host_says_the_same_as_the_authority() {
        let check = |uri: &str, hosts: &[&str], expect| {
            let request = hosts.iter().fold(Request::get(uri), |request, host| request.header("host", *host));
            assert_eq!(agrees(&request.body(()).unwrap().into_parts().0), expect, "{uri} {hosts:?}");
        };
        check("http://a/x", &[], true);
        check("http://a/x", &["A"], true);
        check("http://a/x", &["b"], false);
        check("http://a:80/x", &["a"], false);
        check("http://a/x", &["a", "a"], false);
        check("/x", &["a"], true);
        check("/x", &["a,b"], false);
        check("/x", &[], true);
        check("http://u@a/x", &[], false);
    }
}
