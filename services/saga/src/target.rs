//! Where a step is sent: what its url says, and what is wrong with one that says nothing.

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

/// The service that is called when a gRPC url names none.
const SERVICE: &str = "/aqueduct.saga.v1.Participant";

/// Where a step is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// HTTP/1.1: the operation's name is appended to the path.
    Http(Uri),
    /// gRPC: scheme and authority, and the service's path.
    Grpc(Uri, String),
}

impl Target {
    /// What `url` says, or what should be written instead.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        const WANTED: &str = "http://, https://, grpc:// or grpcs:// and a host are wanted here, \
                              such as http://127.0.0.1:9000/debit";
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL: {WANTED}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("{url:?} is no whole URL: {WANTED}"));
        };
        if authority.as_str().contains('@') {
            return Err("credentials in a URL are not sent; leave them out".to_owned());
        }
        if authority.host().is_empty() {
            return Err(format!("{url:?} names no host: {WANTED}"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(format!("{url:?} has a query or a fragment; the operation is appended to the path"));
        }
        let grpc = match scheme {
            "http" | "https" => return Ok(Self::Http(uri)),
            "grpc" => Scheme::HTTP,
            "grpcs" => Scheme::HTTPS,
            _ => return Err(format!("{url:?} has a scheme that cannot be called: {WANTED}")),
        };
        if authority.port_u16().is_none() {
            return Err(format!("{url:?} has no port, such as grpc://127.0.0.1:50051"));
        }
        let service = match uri.path().trim_end_matches('/') {
            "" => SERVICE,
            path if path.bytes().filter(|byte| *byte == b'/').count() == 1 => path,
            _ => {
                return Err(format!(
                    "{url:?}: behind the port is one service's name, such as shop.v1.Accounts"
                ));
            }
        };
        let origin = Uri::builder().scheme(grpc).authority(authority.clone()).path_and_query("/").build();
        let origin = origin.map_err(|error| format!("{url:?}: {error}"))?;
        Ok(Self::Grpc(origin, service.to_owned()))
    }
}

/// The url of an operation: `{url}/execute`.
pub(crate) fn operation(url: &Uri, op: &str) -> Result<Uri, http::Error> {
    let path = format!("{}/{op}", url.path().strip_suffix('/').unwrap_or(url.path()));
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path)?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::{Target, operation};

    #[test]
    fn operations_are_appended_to_the_path() {
        let check = |url: &str, expect: &str| {
            let Ok(Target::Http(uri)) = Target::parse(url) else { panic!("{url}") };
            assert_eq!(operation(&uri, "execute").unwrap().to_string(), expect);
        };
        check("http://127.0.0.1:9000", "http://127.0.0.1:9000/execute");
        check("http://127.0.0.1:9000/", "http://127.0.0.1:9000/execute");
        check("https://bank.example/v1/a%20b", "https://bank.example/v1/a%20b/execute");
        check("http://[::1]:80/x/", "http://[::1]:80/x/execute");
    }

    #[test]
    fn services_are_named_by_the_path() {
        let check = |url: &str, origin: &str, service: &str| {
            let Ok(Target::Grpc(uri, path)) = Target::parse(url) else { panic!("{url}") };
            assert_eq!((uri.to_string().as_str(), path.as_str()), (origin, service));
        };
        check("grpc://bank:1", "http://bank:1/", "/aqueduct.saga.v1.Participant");
        check("grpc://bank:1/", "http://bank:1/", "/aqueduct.saga.v1.Participant");
        check("grpcs://[::1]:443/shop.v1.Accounts", "https://[::1]:443/", "/shop.v1.Accounts");
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_advice() {
        let check = |url: &str, expect: &str| {
            let why = Target::parse(url).unwrap_err();
            assert!(why.contains(expect), "{url}: {why}");
        };
        check("", "is no URL");
        check("not a url", "is no URL");
        check("/debit", "no whole URL");
        check("127.0.0.1:9000", "no whole URL");
        check("ftp://bank/x", "http://, https://, grpc:// or grpcs://");
        check("http://user:secret@bank/x", "leave them out");
        check("http://bank/x?y=1", "query");
        check("http://bank/x#y", "fragment");
        check("grpc://bank", "no port");
        check("grpc://bank:1/a/b", "one service's name");
    }
}
