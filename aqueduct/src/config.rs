//! Configuration files: YAML with positions, read to the end whatever is wrong, and turned into the plain options of
//! the crates. `docs/gateway.md` documents every key; a test holds it to that.

mod auth;
mod data;
mod edge;
mod gateway;
mod ids;
mod limit;
mod nearest;
mod outside;
mod report;
mod route;
mod saga;
mod scalar;
mod show;
mod system;
mod tls;
mod tree;
mod value;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

pub(crate) use data::{DataFile, MysqlFile, RedisFile, Server, ShardFile, SourceFile};
pub(crate) use edge::{AccessLogFile, address_text, host_and_port};
pub(crate) use gateway::GatewayFile;
pub(crate) use ids::{IdsFile, LeaseFile};
pub(crate) use report::{Rejected, Wrong};
pub(crate) use saga::{SagaFile, SagaMysql};
pub(crate) use scalar::duration;
pub(crate) use show::show;
pub(crate) use system::SystemFile;

use report::{Problem, Problems};
use tree::Span;
use value::{Fields, Value};

/// The largest file that is read.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// A configuration of either kind.
#[derive(Debug)]
pub(crate) enum Config {
    /// For `aqueduct gateway`: any gRPC services.
    Gateway(Box<GatewayFile>),
    /// For `aqueduct up`: the whole system.
    System(Box<SystemFile>),
}

/// Reads a file of either kind; its keys tell which.
pub(crate) fn read(path: &Path) -> Result<Config, Rejected> {
    read_with(path, |_, fields, source| {
        Some(if is_system(&fields) {
            let file = system::read(fields, source);
            add_late(source, "", &file.overlaps());
            Config::System(Box::new(file))
        } else {
            let file = gateway::read(fields, source);
            add_late(source, "", &file.overlaps());
            Config::Gateway(Box::new(file))
        })
    })
}

/// Reads a gateway's file from its bytes, as `flags` change it. `late` is what was found wrong with it when it was tried.
pub(crate) fn gateway_from(
    path: &Path,
    bytes: Vec<u8>,
    late: &[aqueduct_gateway::Problem],
    flags: impl FnOnce(&mut GatewayFile),
) -> Result<GatewayFile, Rejected> {
    interpret_bytes(path, bytes, |root, fields, source| {
        if is_system(&fields) {
            root.problem("this file is for the whole system: `aqueduct up --config` reads it");
            return None;
        }
        let mut file = gateway::read(fields, source);
        flags(&mut file);
        add_late(source, "", &file.overlaps());
        add_late(source, "", late);
        Some(file)
    })
}

/// Reads the whole system's file from its bytes, likewise.
pub(crate) fn system_from(
    path: &Path,
    bytes: Vec<u8>,
    late: &[aqueduct_gateway::Problem],
    flags: impl FnOnce(&mut SystemFile),
) -> Result<SystemFile, Rejected> {
    interpret_bytes(path, bytes, |root, fields, source| {
        if fields.has_any(&gateway::TELLING) && !is_system(&fields) {
            root.problem("this file is for a gateway alone: `aqueduct gateway --config` reads it");
            return None;
        }
        let mut file = system::read(fields, source);
        flags(&mut file);
        add_late(source, "", &file.overlaps());
        add_late(source, "gateway.", late);
        Some(file)
    })
}

fn add_late(source: Source<'_>, section: &str, late: &[aqueduct_gateway::Problem]) {
    for problem in late {
        source.problems.add_later(format!("{section}{}", problem.path), problem.message.clone());
    }
}

/// `admin` is in both kinds.
fn is_system(fields: &Fields<'_>) -> bool {
    fields.has_any(&system::SECTIONS) && !fields.has_any(&gateway::TELLING)
}

/// What belongs to a file besides its keys.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    /// Relative paths in the file are relative to its folder.
    base: &'a Path,
    problems: &'a Problems,
}

fn read_with<T>(
    path: &Path,
    interpret: impl FnOnce(&Value<'_>, Fields<'_>, Source<'_>) -> Option<T>,
) -> Result<T, Rejected> {
    interpret_bytes(path, bytes(path)?, interpret)
}

fn interpret_bytes<T>(
    path: &Path,
    bytes: Vec<u8>,
    interpret: impl FnOnce(&Value<'_>, Fields<'_>, Source<'_>) -> Option<T>,
) -> Result<T, Rejected> {
    let problems = Problems::default();
    let text = text(bytes, &problems);
    let root = problems.is_empty().then(|| tree::parse(&text, &problems)).flatten();
    let source = Source { base: path.parent().unwrap_or(Path::new("")), problems: &problems };
    let config = root.and_then(|root| {
        let root = Value::root(&root, &problems);
        let fields = root.fields(r#"listen: [{ address: "127.0.0.1:8080" }]"#)?;
        interpret(&root, fields, source)
    });
    let problems = problems.into_sorted();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Rejected::Wrong(Wrong { file: path.display().to_string(), text, problems })),
    }
}

/// What the file holds.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Rejected> {
    let refuse = |why: &dyn Display| Rejected::Unreadable(format!("cannot read {}: {why}", path.display()));
    let bytes = read_at_most(path, MAX_BYTES).map_err(|error| refuse(&error))?;
    bytes.ok_or_else(|| refuse(&format!("it is larger than {} KiB", MAX_BYTES >> 10)))
}

/// The file's text, up to where it is none.
fn text(bytes: Vec<u8>, problems: &Problems) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let text = String::from_utf8_lossy(valid).into_owned();
        let line = text.lines().count().max(1) + usize::from(text.ends_with('\n'));
        let column = text.chars().rev().take_while(|char| *char != '\n').count() + 1;
        problems.add(Problem::at(Span { line, column, width: 1 }, "not UTF-8 from here on"));
        text
    })
}

/// The file's bytes; `None` when there are more than `limit`.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    // Not by the size that the system tells: it is 0 for pipes and in /proc.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

#[cfg(test)]
mod tests;
