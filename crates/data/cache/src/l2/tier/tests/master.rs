//! A back end in memory that does what the scripts say, in Rust. That the scripts do so too is for the tests with a real Redis to show,
//! and for the simulation, which runs their text.

use crate::Stamp;
use crate::l2::{Backend, Call, Error, Script, State, Stored, Value, decode};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

const STAMP: &str = "0123456789abcdef0123456789abcdef01234567";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Health {
    #[default]
    Well,
    /// It fails at once.
    Down,
    /// It never answers.
    Hangs,
}

#[derive(Clone)]
pub(super) struct Master {
    born: Instant,
    state: Arc<Mutex<Keys>>,
}

#[derive(Default)]
struct Keys {
    entries: HashMap<String, (Vec<u8>, Instant)>,
    leases: HashMap<String, (Vec<u8>, Instant)>,
    health: Health,
    commands: usize,
}

impl Master {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), state: Arc::default() }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.state.lock().expect("not poisoned")
    }

    pub(super) fn is(&self, health: Health) {
        self.keys().health = health;
    }

    pub(super) fn commands(&self) -> usize {
        self.keys().commands
    }

    /// Its replication id.
    pub(super) fn stamp() -> Stamp {
        Stamp::from_hex(STAMP.as_bytes()).expect("hex digits")
    }

    fn now(&self) -> u64 {
        1_000_000 + u64::try_from(self.born.elapsed().as_millis()).expect("small")
    }
}

impl Backend for Master {
    async fn run(&self, script: &Script, calls: &[Call]) -> Result<Vec<Value>, Error> {
        let health = {
            let mut keys = self.keys();
            keys.commands += 1;
            keys.health
        };
        match health {
            Health::Well => {}
            Health::Down => return Err(Error::Redis { command: script.name(), source: "it is down".into() }),
            Health::Hangs => std::future::pending().await,
        }
        Ok(calls.iter().map(|call| self.keys().run(script.name(), call, self.now())).collect())
    }
}

fn text(value: &str) -> Value {
    Value::Bytes(value.as_bytes().to_vec())
}

fn number(arg: &[u8]) -> u64 {
    std::str::from_utf8(arg).expect("digits").parse().expect("a number")
}

impl Keys {
    fn run(&mut self, name: &str, call: &Call, now: u64) -> Value {
        let alive = |held: &mut (Vec<u8>, Instant)| Instant::now() < held.1;
        self.entries.retain(|_, entry| alive(entry));
        self.leases.retain(|_, lease| alive(lease));
        let raw = self.entries.get(&call.keys[0]).map(|(raw, _)| raw.clone());
        let known = raw.as_deref().map(|raw| decode(raw, usize::MAX).expect("its own"));
        match name {
            "get" => match (&raw, known) {
                (None, _) | (_, None) => Value::Array(vec![text("M"), Value::Int(now.cast_signed())]),
                (Some(_), Some(known))
                    if known.state != State::Floor && known.epoch < number(&call.args[0]) =>
                {
                    Value::Array(vec![text("S"), Value::Int(now.cast_signed())])
                }
                (Some(raw), _) => {
                    Value::Array(vec![text("H"), Value::Int(now.cast_signed()), Value::Bytes(raw.clone())])
                }
            },
            "lease" => self.lease(call, now, known),
            "set" => self.set(call, now, known),
            "release" => {
                let ours = self.leases.get(&call.keys[1]).is_some_and(|(token, _)| *token == call.args[0]);
                if ours {
                    self.leases.remove(&call.keys[1]);
                }
                Value::Int(i64::from(ours))
            }
            "discard" => {
                let floor = known
                    .filter(|known| known.state == State::Live)
                    .map(|known| Stored { state: State::Floor, data: b"", ..known }.encode());
                if let Some(floor) = floor {
                    self.put(call, floor, &call.args[1]);
                }
                Value::Int(1)
            }
            _ => unreachable!("{name} is not asked"),
        }
    }

    fn put(&mut self, call: &Call, raw: Vec<u8>, ttl: &[u8]) {
        let until = Instant::now() + Duration::from_millis(number(ttl));
        self.entries.insert(call.keys[0].clone(), (raw, until));
    }

    fn lease(&mut self, call: &Call, now: u64, known: Option<Stored<'_>>) -> Value {
        let int = Value::Int(now.cast_signed());
        let usable =
            known.filter(|known| known.state != State::Floor && known.epoch >= number(&call.args[0]));
        let raw = Value::Bytes(usable.map(|usable| usable.encode()).unwrap_or_default());
        if usable.is_some_and(|usable| usable.soft > now) {
            return Value::Array(vec![text("H"), int, raw]);
        }
        let lease = &call.keys[1];
        if let Some((held, until)) = self.leases.get(lease)
            && *held != call.args[2]
        {
            let left = i64::try_from((*until - Instant::now()).as_millis()).expect("small");
            return Value::Array(vec![text("W"), int, raw, Value::Int(left)]);
        }
        let until = Instant::now() + Duration::from_millis(number(&call.args[3]));
        self.leases.insert(lease.clone(), (call.args[2].clone(), until));
        let version = known.map_or(0, |known| known.version);
        Value::Array(vec![text("T"), int, raw, text(&format!("{version:020}"))])
    }

    fn set(&mut self, call: &Call, now: u64, known: Option<Stored<'_>>) -> Value {
        let [state, version, epoch, ttl, token, soft, age, data] = &*call.args else {
            unreachable!("8 arguments")
        };
        let old = known.map_or(0, |known| known.version);
        let bounded = version.is_empty();
        let new = if bounded { old.max(now) } else { number(version) };
        let since = known.map_or(0, |known| known.epoch);
        let mut stored = Stored {
            state: if state == b"L" { State::Live } else { State::Negative },
            version: new,
            soft: now + number(soft),
            loaded: now - number(age),
            epoch: number(epoch).max(since),
            stamp: STAMP,
            data,
        };
        let answer = |tag, version: u64| Value::Array(vec![text(tag), text(&format!("{version:020}"))]);
        if !token.is_empty() {
            if self.leases.get(&call.keys[1]).is_none_or(|(held, _)| held != token) {
                return answer("lease", old);
            }
            if new < old {
                return answer("behind", old);
            }
            if number(epoch) < since {
                return answer("epoch", old);
            }
            self.leases.remove(&call.keys[1]);
        } else if bounded || new > old || new == old && known.is_none_or(|known| known.state != State::Live) {
            if bounded {
                self.leases.remove(&call.keys[1]);
            }
            if state == b"F" {
                stored.state = State::Floor;
            }
        } else {
            return answer("ok", old);
        }
        self.put(call, stored.encode(), ttl);
        answer("ok", new)
    }
}
