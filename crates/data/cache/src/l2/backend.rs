//! What runs the scripts: a Redis Cluster, or whatever else can run the same Lua.

use super::Error;

/// A script: the text is what has to be run, whoever runs it.
#[derive(Debug)]
pub struct Script {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    #[cfg(feature = "redis")]
    pub(crate) hash: String,
}

impl Script {
    /// What it does, in a word: `lease`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The Lua text. It uses `redis.call` and `redis.pcall` of `GET`, `SET … PX`, `DEL`, `PTTL`, `TIME` and `INFO replication`, and
    /// `redis.sha1hex`.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What one run of a script is given. All keys are in one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `KEYS`.
    pub keys: Vec<String>,
    /// `ARGV`.
    pub args: Vec<Vec<u8>>,
}

/// What a script answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A nil, which Lua's `false` becomes.
    Nil,
    /// An integer.
    Int(i64),
    /// A string, or a status.
    Bytes(Vec<u8>),
    /// A table.
    Array(Vec<Value>),
}

/// Runs scripts. Clones share what is behind them.
///
/// The store bounds the time: a future that is dropped has failed, whether or not the script ran.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Runs a script once for each call, in their order. The calls are of one slot and answered by one master; there is at least one.
    fn run(&self, script: &Script, calls: &[Call]) -> impl Future<Output = Result<Vec<Value>, Error>> + Send;
}
