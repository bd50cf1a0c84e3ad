//! What comes out of Redis as an entry of the cache's second level, and the names of keys.

use aqueduct_cache::l2::{HEADER, Key, State, decode};

/// The limit of an entry's bytes as one byte beyond the header, then the entry; its lines are a table and a primary key, too.
pub fn l2(data: &[u8]) {
    let Some((beyond, raw)) = data.split_first() else { return };
    let limit = HEADER + usize::from(*beyond);
    if let Ok(stored) = decode(raw, limit) {
        assert!(raw.len() <= limit, "its length is bounded");
        assert!(stored.state == State::Live || stored.data.is_empty());
        assert_eq!(stored.encode(), raw, "one entry has one form");
        assert_eq!(decode(raw, raw.len() - 1), Err(aqueduct_cache::l2::Poison::TooLong));
    }
    let text = String::from_utf8_lossy(raw);
    let Some((table, pk)) = text.split_once('\n') else { return };
    let Ok(key) = Key::new(table, pk) else { return };
    assert!(!key.name().contains(['{', '}']), "a key has no hash tag");
    assert!(key.slot() < 16384);
    let (named, rest) = key.name().split_once(':').unwrap();
    let plain = rest.replace("%7B", "{").replace("%7D", "}").replace("%25", "%");
    assert_eq!((named, plain.as_str()), (table, pk), "a key tells its row");
}
