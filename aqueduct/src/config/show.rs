//! A configuration as the admin server shows it: what the file says, as JSON, without its secrets.

use serde_json::{Map, Value};

use super::report::Problems;
use super::tree::{self, Data, Node};

/// What stands for a secret.
pub(super) const REDACTED: &str = "(redacted)";
/// A key that has one of these in its name holds a secret, whatever its value is.
const SECRET: [&str; 7] = ["secret", "password", "token", "credential", "private", "api_key", "hmac"];

/// The same of the parameters of a URL, as a whole.
const QUERY: [&str; 4] = ["key", "apikey", "sig", "signature"];

/// What the text says, as JSON. A text that is no configuration is `null`.
pub(crate) fn show(text: &str) -> Value {
    tree::parse(text, &Problems::default()).map_or(Value::Null, |root| value(&root))
}

fn value(node: &Node) -> Value {
    match &node.data {
        Data::Null => Value::Null,
        Data::Scalar { text, plain } => scalar_value(text, *plain),
        Data::Sequence(items) => items.iter().map(value).collect(),
        Data::Mapping(entries) => {
            let shown = |entry: &tree::Entry| {
                let secret = is_secret(&entry.key) && !matches!(entry.value.data, Data::Null);
                let value = if secret { Value::from(REDACTED) } else { value(&entry.value) };
                (entry.key.clone(), value)
            };
            Value::Object(entries.iter().map(shown).collect::<Map<_, _>>())
        }
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|word| key.contains(word)) && !key.ends_with("_file")
}

/// Whether a secret lies at `path`, such as `auth.admin.api_keys[0]`.
pub(super) fn is_secret_path(path: &str) -> bool {
    path.split('.').any(is_secret)
}

/// Numbers and switches as such; durations and sizes as they are written.
fn scalar_value(text: &str, plain: bool) -> Value {
    match (plain, text) {
        (true, "true") => true.into(),
        (true, "false") => false.into(),
        (true, _) => match text.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => without_secrets(text).into(),
        },
        (false, _) => without_secrets(text).into(),
    }
}

/// The text, but for the password of `scheme://user:password@host`, and what a URL's query has under a secret's name.
pub(super) fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = match rest.split_once('@') {
        Some((user, host)) if !user.contains('/') => format!("{REDACTED}@{host}"),
        _ => rest.to_owned(),
    };
    let Some((url, query)) = rest.split_once('?') else { return format!("{scheme}://{rest}") };
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) || QUERY.contains(&name) => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    format!("{scheme}://{url}?{}", shown.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn everything_is_shown_but_secrets() {
        let text = "\
a: 5
b: [x, 'true', true, 10s, ~]
auth: { api_keys: [one, two], jwks: 'https://user:pw@host/keys?v=1&access_token=x&key=y', client_secret_file: keys/a }
signing: { hmac: { value: abc }, token: }
";
        let expect = serde_json::json!({
            "a": 5,
            "b": ["x", "true", true, "10s", null],
            "auth": {
                "api_keys": "(redacted)",
                "jwks": "https://(redacted)@host/keys?v=1&access_token=(redacted)&key=(redacted)",
                "client_secret_file": "keys/a",
            },
            "signing": { "hmac": "(redacted)", "token": null },
        });
        assert_eq!(show(text), expect);
        assert_eq!(show("a: [").to_string(), "null");
    }
}
