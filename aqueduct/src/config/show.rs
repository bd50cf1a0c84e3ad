//! A configuration as the admin server shows it: what the file says, as JSON, without its secrets.

use serde_json::{Map, Value};

use super::report::Problems;
use super::tree::{self, Data, Node};

/// What stands for a secret.
const REDACTED: &str = "(redacted)";
/// A key that has one of these in its name holds a secret, whatever its value is.
const SECRET: [&str; 7] = ["secret", "password", "token", "credential", "private", "api_key", "hmac"];

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

/// Numbers and switches as such; durations and sizes as they are written.
fn scalar_value(text: &str, plain: bool) -> Value {
    match (plain, text) {
        (true, "true") => true.into(),
        (true, "false") => false.into(),
        (true, _) => match text.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => without_password(text).into(),
        },
        (false, _) => without_password(text).into(),
    }
}

/// The text, but for the password of `scheme://user:password@host`.
fn without_password(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?)));
    match parts {
        Some((scheme, (user, host))) if !user.contains('/') => format!("{scheme}://{REDACTED}@{host}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::show;

    #[test]
    fn everything_is_shown_but_secrets() {
        let text = "\
a: 5
b: [x, 'true', true, 10s, ~]
auth: { api_keys: [one, two], jwks: 'https://user:pw@host/keys', client_secret_file: keys/a }
signing: { hmac: { value: abc }, token: }
";
        let expect = serde_json::json!({
            "a": 5,
            "b": ["x", "true", true, "10s", null],
            "auth": {
                "api_keys": "(redacted)",
                "jwks": "https://(redacted)@host/keys",
                "client_secret_file": "keys/a",
            },
            "signing": { "hmac": "(redacted)", "token": null },
        });
        assert_eq!(show(text), expect);
        assert_eq!(show("a: [").to_string(), "null");
    }
}
