//! What Redis gives to a script: `redis.call` of the few commands that the scripts use, and its rules of what becomes what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_cache::l2::{Call, Value};
use mlua::{Function, Lua, MultiValue, Result, Table, Value as LuaValue};

use super::Node;

/// A Lua state with the scripts that it compiled.
pub(crate) struct Interpreter {
    lua: Lua,
    scripts: Mutex<HashMap<String, Function>>,
}

impl Interpreter {
    /// Scripts see this node.
    pub(crate) fn new(node: Arc<Mutex<Node>>) -> Self {
        let lua = Lua::new();
        install(&lua, node).expect("a table of functions can be made");
        Self { lua, scripts: Mutex::default() }
    }

    /// Runs a script.
    ///
    /// # Panics
    ///
    /// When it fails: the scripts have no way to.
    pub(crate) fn run(&self, text: &str, call: &Call) -> Value {
        self.evaluate(text, call).unwrap_or_else(|error| unreachable!("a script failed: {error}"))
    }

    fn evaluate(&self, text: &str, call: &Call) -> Result<Value> {
        let script = {
            let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(script) = scripts.get(text) {
                script.clone()
            } else {
                let script = self.lua.load(text).into_function()?;
                scripts.insert(text.to_owned(), script.clone());
                script
            }
        };
        let strings = |all: Vec<&[u8]>| -> Result<Table> {
            let all: Vec<_> =
                all.into_iter().map(|bytes| self.lua.create_string(bytes)).collect::<Result<_>>()?;
            self.lua.create_sequence_from(all)
        };
        let globals = self.lua.globals();
        globals.set("KEYS", strings(call.keys.iter().map(String::as_bytes).collect())?)?;
        globals.set("ARGV", strings(call.args.iter().map(Vec::as_slice).collect())?)?;
        Ok(answer(&script.call::<LuaValue>(())?))
    }
}

fn install(lua: &Lua, node: Arc<Mutex<Node>>) -> Result<()> {
    let redis = lua.create_table()?;
    let call = lua.create_function(move |lua, args: MultiValue| {
        let mut node = node.lock().unwrap_or_else(PoisonError::into_inner);
        command(lua, &mut node, &words(&args))
    })?;
    redis.set("call", &call)?;
    redis.set("pcall", &call)?;
    let sha1 =
        |_: &Lua, text: mlua::LuaString| Ok(sha1_smol::Sha1::from(text.as_bytes()).digest().to_string());
    redis.set("sha1hex", lua.create_function(sha1)?)?;
    lua.globals().set("redis", redis)
}

/// The arguments, as Redis turns them into strings: numbers as `%.17g`.
fn words(args: &MultiValue) -> Vec<Vec<u8>> {
    let word = |arg: &LuaValue| match arg {
        LuaValue::String(text) => text.as_bytes().to_vec(),
        LuaValue::Integer(number) => number.to_string().into_bytes(),
        LuaValue::Number(number) => number.to_string().into_bytes(),
        _ => Vec::new(),
    };
    args.iter().map(word).collect()
}

fn command(lua: &Lua, node: &mut Node, words: &[Vec<u8>]) -> Result<LuaValue> {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|text| text.parse::<u64>().ok());
    Ok(match words.as_slice() {
        [b"GET", key] => match node.get(key) {
            Some(bytes) => LuaValue::String(lua.create_string(bytes)?),
            None => LuaValue::Boolean(false),
        },
        [b"SET", key, bytes] => {
            node.set(key, bytes.to_vec(), None);
            status(lua)?
        }
        [b"SET", key, bytes, b"PX", ttl] => match number(ttl) {
            Some(ttl) if ttl > 0 => {
                node.set(key, bytes.to_vec(), Some(ttl));
                status(lua)?
            }
            _ => return Err(mlua::Error::runtime("ERR value is not an integer or out of range")),
        },
        [b"DEL", keys @ ..] => {
            let gone = keys.iter().filter(|key| node.delete(key)).count();
            LuaValue::Number(f64::from(u32::try_from(gone).unwrap_or(0)))
        }
        #[expect(clippy::cast_precision_loss, reason = "as Redis does it")]
        [b"PTTL", key] => LuaValue::Number(node.ttl(key) as f64),
        [b"TIME"] => {
            let clock = node.clock();
            let parts = [(clock / 1000).to_string(), (clock % 1000 * 1000).to_string()];
            LuaValue::Table(lua.create_sequence_from(parts)?)
        }
        [b"INFO", b"replication"] => {
            let info = format!(
                "# Replication\r\nrole:master\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\n",
                node.replid,
                "0".repeat(40)
            );
            LuaValue::String(lua.create_string(info)?)
        }
        _ => {
            return Err(mlua::Error::runtime(format!(
                "a command that the simulation does not have: {words:?}"
            )));
        }
    })
}

fn status(lua: &Lua) -> Result<LuaValue> {
    let table = lua.create_table()?;
    table.set("ok", "OK")?;
    Ok(LuaValue::Table(table))
}

/// What Redis makes of what a script returns.
fn answer(value: &LuaValue) -> Value {
    match value {
        LuaValue::Boolean(true) => Value::Int(1),
        LuaValue::Integer(number) => Value::Int(*number),
        #[expect(clippy::cast_possible_truncation, reason = "as Redis does it")]
        LuaValue::Number(number) => Value::Int(*number as i64),
        LuaValue::String(text) => Value::Bytes(text.as_bytes().to_vec()),
        LuaValue::Table(table) => {
            if let Ok(status) = table.get::<mlua::LuaString>("ok") {
                return Value::Bytes(status.as_bytes().to_vec());
            }
            // Up to the first nil.
            Value::Array(table.sequence_values().map_while(Result::ok).map(|value| answer(&value)).collect())
        }
        _ => Value::Nil,
    }
}
