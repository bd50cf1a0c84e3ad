//! The rows of one event: keys and versions are read, all else is stepped over.

use super::Fact;
use super::table::{Column, Layout, TableMap};
use crate::bytes::{Bytes, Malformed, bit};
use crate::change::{Change, Key, KeyPart, Version};

/// What matters of one image of a row.
struct Image {
    key: Key,
    version: Version,
}

/// Appends the changes of an event of version 1: 23 writes, 24 updates, 25 deletes.
pub(super) fn parse(
    kind: u8,
    body: &[u8],
    table: &TableMap,
    layout: &Layout,
    facts: &mut Vec<Fact>,
) -> Result<(), Malformed> {
    let mut body = Bytes(body);
    body.take(8)?;
    let count = body.len()?;
    if count != table.columns.len() {
        return Err(Malformed);
    }
    let first = body.take(count.div_ceil(8))?;
    let second = if kind == 24 { body.take(count.div_ceil(8))? } else { first };
    let mut push = |image: Image, tombstone| {
        let Image { key, version } = image;
        facts.push(Fact::Row(Change { table: table.name(), key, version, tombstone }));
    };
    while !body.is_empty() {
        let row = image(&mut body, first, table, layout)?;
        match kind {
            23 => push(row, false),
            25 => push(row, true),
            _ => {
                let after = image(&mut body, second, table, layout)?;
                if after.key != row.key {
                    push(row, true);
                }
                push(after, false);
            }
        }
    }
    Ok(())
}

fn image(
    body: &mut Bytes<'_>,
    present: &[u8],
    table: &TableMap,
    layout: &Layout,
) -> Result<Image, Malformed> {
    let count = (0..table.columns.len()).filter(|at| bit(present, *at)).count();
    let nulls = body.take(count.div_ceil(8))?;
    let mut key: Vec<Option<KeyPart>> = vec![None; layout.key.len()];
    let mut version = None;
    let mut nth = 0;
    for (at, column) in table.columns.iter().enumerate() {
        if !bit(present, at) {
            continue;
        }
        let null = bit(nulls, nth);
        nth += 1;
        if null {
            continue;
        }
        let raw = raw(body, *column)?;
        if layout.version == Some(at) {
            version = Some(raw);
        }
        for (part, _) in key.iter_mut().zip(&layout.key).filter(|(_, place)| **place == at) {
            *part = Some(key_part(raw, *column)?);
        }
    }
    let key = key.into_iter().collect::<Option<_>>().ok_or(Malformed)?;
    let version = match layout.version {
        None => Version::Bounded,
        Some(at) => {
            let column = *table.columns.get(at).ok_or(Malformed)?;
            match key_part(version.ok_or(Malformed)?, column)? {
                KeyPart::Uint(version) => Version::Exact(version),
                KeyPart::Int(version) => Version::Exact(u64::try_from(version).map_err(|_| Malformed)?),
                KeyPart::Bytes(_) => return Err(Malformed),
            }
        }
    };
    Ok(Image { key, version })
}

/// The bytes of a value, without the length before it.
fn raw<'a>(body: &mut Bytes<'a>, column: Column) -> Result<&'a [u8], Malformed> {
    let meta = usize::from(column.meta);
    let (low, high) = (meta & 0xff, meta >> 8);
    let len = match column.kind {
        6 => 0,
        0 | 1 | 13 => 1,
        2 => 2,
        9 | 10 | 14 => 3,
        3 | 4 => 4,
        5 | 8 => 8,
        15 | 253 | 141 => prefixed(body, meta)?,
        16 => high + usize::from(low > 0),
        17 => 4 + low.div_ceil(2),
        18 => 5 + low.div_ceil(2),
        19 => 3 + low.div_ceil(2),
        246 => decimal(low, high)?,
        247 | 248 => high,
        140 | 245 | 249..=252 | 255 if (1..=4).contains(&low) => {
            usize::try_from(body.uint(low)?).map_err(|_| Malformed)?
        }
        // Above 255 the length has two bits in the byte of the type (MySQL bug 37426).
        254 if low & 0x30 != 0x30 => prefixed(body, high | ((low & 0x30) ^ 0x30) << 4)?,
        254 if matches!(low, 247 | 248) => high,
        254 => prefixed(body, high)?,
        // Among others the old temporal types, whose fraction of a second has a length that the event does not tell.
        _ => return Err(Malformed),
    };
    body.take(len)
}

/// A length that takes one byte if the column's longest value fits it.
fn prefixed(body: &mut Bytes<'_>, longest: usize) -> Result<usize, Malformed> {
    usize::try_from(body.uint(if longest < 256 { 1 } else { 2 })?).map_err(|_| Malformed)
}

/// Nine digits take four bytes, what is left over fewer.
fn decimal(precision: usize, scale: usize) -> Result<usize, Malformed> {
    let bytes = |digits: usize| digits / 9 * 4 + (digits % 9).div_ceil(2);
    Ok(bytes(precision.checked_sub(scale).ok_or(Malformed)?) + bytes(scale))
}

/// Integers, VARCHAR and VARBINARY: the types whose equal keys have equal bytes.
fn key_part(raw: &[u8], column: Column) -> Result<KeyPart, Malformed> {
    match column.kind {
        1 | 2 | 3 | 8 | 9 if column.unsigned => Ok(KeyPart::Uint(Bytes(raw).uint(raw.len())?)),
        1 | 2 | 3 | 8 | 9 => {
            let unused = 64 - 8 * u32::try_from(raw.len()).map_err(|_| Malformed)?;
            let number = Bytes(raw).uint(raw.len())?;
            Ok(KeyPart::Int((number << unused).cast_signed() >> unused))
        }
        15 => Ok(KeyPart::Bytes(raw.to_vec())),
        _ => Err(Malformed),
    }
}
