//! The event that describes a table before its rows.

use std::sync::Arc;

use crate::bytes::{Bytes, Malformed};
use crate::change::TableName;
use crate::options::Watched;

/// A column's type, the bytes that refine it, and whether it is an unsigned number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) kind: u8,
    pub(super) meta: u16,
    pub(super) unsigned: bool,
}

/// Which columns matter, by their place.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) key: Vec<usize>,
    /// `None` for a table without one, whose versions are bounded.
    pub(super) version: Option<usize>,
}

/// A watched table, as it was when the rows were written.
#[derive(Debug)]
pub(super) struct TableMap {
    name: Arc<TableName>,
    pub(super) columns: Vec<Column>,
    layout: Option<Layout>,
}

/// The table's id, with which every event of rows begins as well.
pub(super) fn id(body: &[u8]) -> Result<u64, Malformed> {
    Bytes(body).uint(6)
}

impl TableMap {
    /// `None` if the table is not watched.
    pub(super) fn parse(body: &[u8], watched: &[Watched]) -> Result<Option<Self>, Malformed> {
        let mut body = Bytes(body);
        body.take(8)?;
        let mut name = || {
            let len = body.u8()?;
            let name = body.take(len.into())?;
            body.take(1)?;
            Ok(name)
        };
        let (database, table) = (name()?, name()?);
        let is = |watched: &&Watched| {
            watched.name.database.as_bytes() == database && watched.name.table.as_bytes() == table
        };
        let Some(watched) = watched.iter().find(is) else { return Ok(None) };
        let count = body.len()?;
        let kinds = body.take(count)?;
        let len = body.len()?;
        let mut metas = Bytes(body.take(len)?);
        let mut columns = Vec::with_capacity(count);
        for kind in kinds {
            columns.push(Column { kind: *kind, meta: meta(*kind, &mut metas)?, unsigned: false });
        }
        body.take(count.div_ceil(8))?;
        let layout = optional(body, &mut columns, watched.version.as_deref())?;
        Ok(Some(Self { name: Arc::clone(&watched.name), columns, layout }))
    }

    pub(super) fn name(&self) -> Arc<TableName> {
        Arc::clone(&self.name)
    }

    /// `None` if it has no primary key, or not the version column.
    pub(super) fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }
}

/// The bytes that refine a type: the first the lower.
fn meta(kind: u8, metas: &mut Bytes<'_>) -> Result<u16, Malformed> {
    let width = match kind {
        15 | 16 | 141 | 246..=248 | 253 | 254 => 2,
        4 | 5 | 17..=19 | 140 | 245 | 249..=252 | 255 => 1,
        _ => 0,
    };
    u16::try_from(metas.uint(width)?).map_err(|_| Malformed)
}

/// Types whose sign is in the metadata.
fn numeric(kind: u8) -> bool {
    matches!(kind, 0..=5 | 8 | 9 | 13 | 246)
}

/// What `binlog_row_metadata=FULL` adds: signs, names, the primary key.
fn optional(
    mut body: Bytes<'_>,
    columns: &mut [Column],
    wanted: Option<&str>,
) -> Result<Option<Layout>, Malformed> {
    let (mut key, mut version, mut signs) = (Vec::new(), None, false);
    while !body.is_empty() {
        let kind = body.u8()?;
        let len = body.len()?;
        let mut field = Bytes(body.take(len)?);
        match kind {
            1 => {
                signs = true;
                for (at, column) in columns.iter_mut().filter(|column| numeric(column.kind)).enumerate() {
                    let byte = field.0.get(at / 8).ok_or(Malformed)?;
                    column.unsigned = byte >> (7 - at % 8) & 1 == 1;
                }
            }
            4 => version = place(field, wanted)?,
            // A plain key, and one with lengths of prefixes, which are of no interest: the row has the whole value.
            8 | 9 => {
                while !field.is_empty() {
                    key.push(field.len()?);
                    if kind == 9 {
                        field.lenenc()?;
                    }
                }
            }
            _ => {}
        }
    }
    let sane = key.iter().all(|at| *at < columns.len()) && version.is_none_or(|at| at < columns.len());
    let known = signs || !columns.iter().any(|column| numeric(column.kind));
    let complete = !key.is_empty() && version.is_some() == wanted.is_some();
    Ok((sane && known && complete).then_some(Layout { key, version }))
}

fn place(mut names: Bytes<'_>, wanted: Option<&str>) -> Result<Option<usize>, Malformed> {
    let mut at = 0;
    while !names.is_empty() {
        let len = names.len()?;
        let name = names.take(len)?;
        if wanted.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)) {
            return Ok(Some(at));
        }
        at += 1;
    }
    Ok(None)
}
