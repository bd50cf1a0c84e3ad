//! `Prefer: wait=N`: how long a client would wait for the end of what it asked for (RFC 7240, section 4.3).

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    seconds: u32,
}

impl Wait {
    /// The first that can be understood. What cannot is ignored, as the specification says.
    pub(crate) fn of(metadata: &MetadataMap) -> Option<Self> {
        let values = metadata.get_all("prefer");
        let mut all = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        all.find_map(wait)
    }

    pub(crate) fn time(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// The value of `Preference-Applied`.
    pub(crate) fn applied(self) -> String {
        format!("wait={}", self.seconds)
    }
}

/// One preference: its name, `=` and a value that may be quoted, then parameters that mean nothing here.
fn wait(preference: &str) -> Option<Wait> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // More than can be counted is for ever.
    digits.then(|| Wait { seconds: value.parse().unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_as_clients_write_them() {
        let check = |values: &[&'static str], expect: Option<u32>| {
            let mut metadata = MetadataMap::new();
            for value in values {
                metadata.append("prefer", value.parse().unwrap());
            }
            assert_eq!(Wait::of(&metadata).map(|wait| wait.seconds), expect, "{values:?}");
        };
        check(&[], None);
        check(&["wait=10"], Some(10));
        check(&["respond-async, wait=10"], Some(10));
        check(&["respond-async", "Wait = \"7\"; foo=bar"], Some(7));
        check(&["wait=0"], Some(0));
        check(&["wait=1, wait=2"], Some(1));
        check(&["wait=99999999999"], Some(u32::MAX));
        for ignored in ["wait", "wait=", "wait=-1", "wait=+1", "wait=1.5", "wait=x", "waiting=3", "x=wait=3"]
        {
            check(&[ignored], None);
        }
        assert_eq!(Wait { seconds: 7 }.applied(), "wait=7");
    }
}
