//! The fields of a head that is made here. A list: of a dozen fields one is found sooner by looking at each than by hashing its name,
//! and nothing is looked up in a head that only has to be written.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Fields in the order in which they are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    pub(crate) fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// Puts a field behind the others, whatever there is of its name.
    pub(crate) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Puts a field in the place of all of its name.
    pub(crate) fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let Some(first) = self.0.iter().position(|(there, _)| *there == name) else {
            return self.0.push((name, value));
        };
        let mut place = 0;
        self.0.retain(|(there, _)| {
            place += 1;
            place <= first + 1 || *there != name
        });
        if let Some((_, there)) = self.0.get_mut(first) {
            *there = value;
        }
    }

    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(there, _)| there != name);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        Self(map.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, TE};

    use super::*;

    fn check(change: impl FnOnce(&mut Fields), expect: &[(HeaderName, &str)]) {
        let mut fields = Fields::default();
        for (name, value) in [(TE, "a"), (HOST, "b"), (TE, "c"), (HOST, "d")] {
            fields.append(name, HeaderValue::from_static(value));
        }
        change(&mut fields);
        let got: Vec<_> =
            fields.iter().map(|(name, value)| (name.clone(), value.to_str().unwrap())).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn a_field_takes_the_place_of_all_of_its_name() {
        let value = HeaderValue::from_static("x");
        check(|fields| fields.insert(HOST, value.clone()), &[(TE, "a"), (HOST, "x"), (TE, "c")]);
        let all = [(TE, "a"), (HOST, "b"), (TE, "c"), (HOST, "d"), (ACCEPT, "x")];
        check(|fields| fields.insert(ACCEPT, value.clone()), &all);
        check(|fields| fields.remove(&TE), &[(HOST, "b"), (HOST, "d")]);
    }
}
