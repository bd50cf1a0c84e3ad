//! Reads what `strace -f -y -xx` wrote: calls in the order in which the tracer saw them begin and end.
//!
//! The order can be relied on where it matters. When one thread's call happens after another's has returned, because it
//! waited for it, then the tracer has seen the return first: the thread did not run on before that.

use std::collections::HashMap;

use serde_json::Value;

/// A call that a process made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// The arguments as strace shows them, without the parentheses.
    pub(super) arguments: String,
    /// What it returned; negative for an error, `None` when the process died in it.
    pub(super) returned: Option<i64>,
    /// The lines of the trace at which it began and ended.
    pub(super) began: usize,
    pub(super) ended: usize,
}

impl Call {
    /// The path of the file descriptor that is the first argument.
    pub(super) fn path(&self) -> Option<String> {
        decorated(&self.arguments)
    }

    /// The file descriptor that is the first argument.
    pub(super) fn descriptor(&self) -> Option<i64> {
        leading_number(&self.arguments)
    }

    /// The bytes of all strings among the arguments, in order: of a write, what is written.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let quoted = self.arguments.split('"').skip(1).step_by(2);
        quoted.flat_map(unhex).collect()
    }

    /// The n-th string among the arguments.
    pub(super) fn text(&self, index: usize) -> Option<String> {
        let quoted = self.arguments.split('"').skip(1).step_by(2).nth(index)?;
        String::from_utf8(unhex(quoted)).ok()
    }
}

/// An answer that told a client of an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: i64,
    pub(super) version: u64,
    /// The line of the trace at which it began to be written.
    pub(super) at: usize,
}

/// All calls, in the order in which they began.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) calls: Vec<Call>,
}

impl Trace {
    pub(super) fn parse(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        let mut unfinished: HashMap<&str, usize> = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix("<... ") {
                let Some(index) = unfinished.remove(thread) else { continue };
                let rest = rest.split_once("resumed>").map_or("", |(_, rest)| rest);
                let call = &mut calls[index];
                let (arguments, returned) = split_result(rest);
                call.arguments.push_str(arguments);
                call.returned = returned;
                call.ended = at;
            } else if let Some((name, rest)) = rest.split_once('(') {
                let (arguments, returned) = match rest.strip_suffix("<unfinished ...>") {
                    Some(arguments) => {
                        unfinished.insert(thread, calls.len());
                        (arguments.trim_end(), None)
                    }
                    None => split_result(rest),
                };
                let (name, arguments) = (name.to_owned(), arguments.to_owned());
                calls.push(Call { name, arguments, returned, began: at, ended: at });
            }
        }
        // A call that never returned has no end within the trace.
        for index in unfinished.into_values() {
            calls[index].ended = usize::MAX;
        }
        Self { calls }
    }

    /// The answers of unary calls, `HTTP/1.1 200` with an order, as they began to be written to clients.
    pub(super) fn acknowledged_orders(&self) -> Vec<Answer> {
        let writes = self.calls.iter().filter(|call| {
            matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
                && call.path().is_some_and(|path| path.starts_with("socket:"))
        });
        writes
            .filter_map(|call| {
                order_in(&call.bytes()).map(|(id, version)| Answer { id, version, at: call.began })
            })
            .collect()
    }

    /// How many syncs returned an error.
    pub(super) fn failed_syncs(&self) -> usize {
        let syncs = self.calls.iter().filter(|call| matches!(call.name.as_str(), "fsync" | "fdatasync"));
        syncs.filter(|call| call.returned.is_some_and(|returned| returned < 0)).count()
    }
}

fn order_in(bytes: &[u8]) -> Option<(i64, u64)> {
    let text = str::from_utf8(bytes).ok()?;
    let (_, body) = text.strip_prefix("HTTP/1.1 200 ")?.split_once("\r\n\r\n")?;
    let json: Value = serde_json::from_str(body).ok()?;
    Some((json["id"].as_str()?.parse().ok()?, json["version"].as_str()?.parse().ok()?))
}

/// Splits `ARGUMENTS) = RESULT`.
fn split_result(rest: &str) -> (&str, Option<i64>) {
    match rest.rsplit_once(" = ") {
        Some((arguments, result)) => {
            let arguments = arguments.trim_end();
            (arguments.strip_suffix(')').unwrap_or(arguments), leading_number(result))
        }
        None => (rest, None),
    }
}

fn leading_number(text: &str) -> Option<i64> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '-').unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// What `-y` writes behind a descriptor: `5<\x2f\x74…>`.
fn decorated(text: &str) -> Option<String> {
    let rest = text.trim_start_matches(|char: char| char.is_ascii_digit()).strip_prefix('<')?;
    let (name, _) = rest.split_once('>')?;
    String::from_utf8(unhex(name)).ok()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte =
        |digits: &str| u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("not hexadecimal: {digits}"));
    text.split("\\x").filter(|digits| !digits.is_empty()).map(byte).collect()
}

/// As strace would write a string.
#[cfg(test)]
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"))
}

#[test]
fn calls_that_overlap_are_put_together() {
    let path = hex(b"/data/0.jnl");
    let text = format!(
        "7 openat(AT_FDCWD, \"{path}\", O_WRONLY) = 5<{path}>\n\
         8 write(5<{path}>, \"{}\", 2 <unfinished ...>\n\
         7 fdatasync(5<{path}> <unfinished ...>\n\
         8 <... write resumed>)              = 2\n\
         7 <... fdatasync resumed>)          = -1 EIO (Input/output error) (INJECTED)\n\
         9 fdatasync(5<{path}> <unfinished ...>\n\
         9 +++ killed by SIGKILL +++\n",
        hex(b"ab")
    );
    let calls = Trace::parse(&text).calls;
    let spans: Vec<_> =
        calls.iter().map(|call| (call.name.as_str(), call.began, call.ended, call.returned)).collect();
    assert_eq!(
        spans,
        [
            ("openat", 0, 0, Some(5)),
            ("write", 1, 3, Some(2)),
            ("fdatasync", 2, 4, Some(-1)),
            ("fdatasync", 5, usize::MAX, None)
        ]
    );
    assert_eq!(calls[0].text(0).as_deref(), Some("/data/0.jnl"));
    assert_eq!((calls[1].path().as_deref(), calls[1].bytes()), (Some("/data/0.jnl"), b"ab".to_vec()));
    assert_eq!(Trace::parse(&text).failed_syncs(), 1);
}
