//! Transactions as records: as many messages in one as fit, in order.

use std::fmt::Write as _;
use std::mem;

use aqueduct_bus::{DedupId, Draft};

use super::bus::Item;
use super::message::{self, Message};
use super::{FeedOptions, Stats};
use crate::change::{Change, EpochBump, Key, KeyPart, TableName, Version};

/// A record, and what is to be done when the bus has it.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(crate) id: DedupId,
    pub(crate) draft: Draft,
    /// For the second level.
    pub(crate) changes: Vec<Change>,
    /// The instances of the beats in it.
    pub(crate) beats: Vec<u64>,
    /// The number of the last transaction that is whole with it.
    pub(crate) settles: u64,
}

/// A primary key as text: its columns in the key's order, with commas between them. Bytes other than printable ASCII, and
/// `,` and `%`, become `%2C`. It is the primary key in the names of the second level.
pub fn key_text(key: &Key) -> String {
    let mut text = String::new();
    for (at, part) in key.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let written = match part {
            KeyPart::Int(value) => write!(text, "{value}"),
            KeyPart::Uint(value) => write!(text, "{value}"),
            KeyPart::Bytes(bytes) => bytes.iter().try_for_each(|byte| match byte {
                b',' | b'%' => write!(text, "%{byte:02X}"),
                b' '..=b'~' => write!(text, "{}", char::from(*byte)),
                _ => write!(text, "%{byte:02X}"),
            }),
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    text
}

/// Puts items into records; `epochs` are those of their bumps, in order.
pub(crate) fn pack(
    items: &[Item],
    mut epochs: impl Iterator<Item = u64>,
    options: &FeedOptions,
    counted: &mut Stats,
) -> Vec<Packed> {
    let mut packer =
        Packer { options, done: Vec::new(), open: Packed::default(), payload: Vec::new(), messages: 0 };
    for item in items {
        let mut index = 0;
        let gtid = || item.gtid.map_or_else(|| "none".to_owned(), |gtid| gtid.to_string());
        for bump in &item.bumps {
            let epoch = epochs.next().unwrap_or_default();
            packer.add(&Message::Bump { bump: bump.clone(), epoch }, || format!("{}/{index}", gtid()), &[]);
            index += 1;
        }
        for change in &item.changes {
            let id = || format!("{}/{index}", gtid());
            if options.heartbeat.as_ref() == Some(&*change.table) {
                if let Some((instance, beat)) = beat(change) {
                    counted.beats += 1;
                    packer.open.beats.push(instance);
                    packer.add(&Message::Beat { instance, beat }, id, &[]);
                }
            } else {
                counted.changes += 1;
                let name = record_key(&change.table, &change.key);
                packer.open.changes.push(change.clone());
                packer.add(&Message::Change(change.clone()), id, name.as_bytes());
            }
            index += 1;
        }
        packer.open.settles = item.number;
        if packer.messages == 0
            && let Some(last) = packer.done.last_mut()
        {
            last.settles = item.number;
        }
    }
    packer.finish()
}

/// `database.table:key`.
fn record_key(table: &TableName, key: &Key) -> String {
    format!("{table}:{}", key_text(key))
}

fn beat(change: &Change) -> Option<(u64, u64)> {
    let instance = match change.key.as_slice() {
        [KeyPart::Uint(instance)] => *instance,
        [KeyPart::Int(instance)] => u64::try_from(*instance).ok()?,
        _ => return None,
    };
    match change.version {
        Version::Exact(beat) if !change.tombstone => Some((instance, beat)),
        _ => None,
    }
}

struct Packer<'a> {
    options: &'a FeedOptions,
    done: Vec<Packed>,
    open: Packed,
    payload: Vec<u8>,
    messages: usize,
}

impl Packer<'_> {
    fn add(&mut self, message: &Message, id: impl Fn() -> String, key: &[u8]) {
        if self.messages == 0 {
            self.payload = message::start();
            let text = String::from_utf8_lossy(key);
            self.open.id = DedupId::new(if key.is_empty() { id() } else { format!("{}/{text}", id()) });
            self.open.draft = Draft::new(self.options.topic.clone(), key.to_vec(), Vec::new());
        } else {
            // The key of a record is that of all its messages, or none.
            if self.open.draft.key != key {
                self.open.draft.key = bytes::Bytes::new();
            }
        }
        message::add(message, &mut self.payload);
        self.messages += 1;
        if self.payload.len() >= self.options.record_bytes {
            self.close();
        }
    }

    fn close(&mut self) {
        let settles = self.open.settles;
        let mut full = mem::take(&mut self.open);
        full.draft.payload = mem::take(&mut self.payload).into();
        self.done.push(full);
        self.messages = 0;
        self.open.settles = settles;
    }

    fn finish(mut self) -> Vec<Packed> {
        if self.messages > 0 {
            self.close();
        }
        self.done
    }
}

/// A message of the feed's own.
pub(crate) fn lone(message: &Message, id: String, options: &FeedOptions) -> (DedupId, Draft) {
    (DedupId::new(id), Draft::new(options.topic.clone(), Vec::new(), message::encode([message])))
}

/// The bumps of items.
pub(crate) fn bumps(items: &[Item]) -> impl Iterator<Item = &EpochBump> {
    items.iter().flat_map(|item| &item.bumps)
}
