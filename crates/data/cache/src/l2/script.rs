//! The Lua scripts, and the ways in which tests break them.

use super::Script;

const HEAD: &str = include_str!("head.lua");

/// One promise of the scripts, broken on purpose by a test.
#[cfg_attr(not(feature = "mutations"), allow(dead_code, reason = "only tests break the scripts"))]
#[cfg_attr(not(feature = "mutations"), allow(unreachable_pub, reason = "only tests break the scripts"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// An invalidation deletes the entry and leaves no floor.
    BareDelete,
    /// Versions are compared as Lua's numbers.
    ToNumber,
    /// All masters write the same stamp.
    NoStamp,
    /// A fill needs no lease.
    NoLease,
    /// A change without a version leaves the lease of the load under way.
    MarkKeepsLease,
    /// The answer of any master counts, of one that was replaced, too. (No script's promise, but the reader's.)
    AnyMaster,
}

impl Mutation {
    /// What stands in the script, and what the mutation makes of it.
    fn edit(self) -> (&'static str, &'static str) {
        match self {
            Self::BareDelete => ("else write(ARGV[1], new) end", "else redis.call('DEL', KEYS[1]) end"),
            Self::ToNumber => ("if new < version then", "if tonumber(new) < tonumber(version) then"),
            Self::NoStamp => (
                "string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')",
                "string.rep('0', 40)",
            ),
            Self::NoLease => ("if held ~= token then", "if false then"),
            Self::MarkKeepsLease => ("write('F', new)\n    redis.call('DEL', KEYS[2])", "write('F', new)"),
            Self::AnyMaster => ("", ""),
        }
    }
}

/// The scripts, with the hashes by which Redis knows them.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) read: Script,
    pub(crate) lease: Script,
    pub(crate) set: Script,
    pub(crate) remove: Script,
    pub(crate) release: Script,
    pub(crate) discard: Script,
    pub(crate) master: Script,
}

impl Scripts {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        let load = |name, head: &str, body: &str| {
            let mut text = format!("{head}{body}");
            if let Some((from, to)) = mutation.map(Mutation::edit) {
                text = text.replace(from, to);
            }
            Script {
                name,
                #[cfg(feature = "redis")]
                hash: redis::Script::new(&text).get_hash().to_owned(),
                text,
            }
        };
        Self {
            read: load("get", HEAD, include_str!("read.lua")),
            lease: load("lease", HEAD, include_str!("lease.lua")),
            set: load("set", HEAD, include_str!("cas.lua")),
            remove: load("remove", "", include_str!("remove.lua")),
            release: load("release", HEAD, include_str!("release.lua")),
            discard: load("discard", HEAD, include_str!("discard.lua")),
            master: load("master", HEAD, include_str!("master.lua")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mutation, Scripts};

    #[test]
    fn every_mutation_changes_the_compare_and_set() {
        let sound = Scripts::new(None).set.text;
        for mutation in [
            Mutation::BareDelete,
            Mutation::ToNumber,
            Mutation::NoStamp,
            Mutation::NoLease,
            Mutation::MarkKeepsLease,
        ] {
            assert_eq!(sound.matches(mutation.edit().0).count(), 1, "{mutation:?}");
            assert_ne!(Scripts::new(Some(mutation)).set.text, sound, "{mutation:?}");
        }
    }
}
