//! Where a row lives, read from its ID without a look-up.

use std::fmt;

/// How many databases there are.
pub const SHARDS: u8 = 4;
/// How many tables of a kind each of them has.
pub const TABLES: u8 = 16;

/// One of [`SHARDS`] databases, and one of [`TABLES`] tables in it.
///
/// Every ID carries its route in bits that never move: `(id >> 19) & 3` is the shard and `(id >> 15) & 15` the table. This
/// layer may not use the crate that mints the IDs, so the two shifts are repeated here; a test of the workspace holds
/// them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    shard: u8,
    table: u8,
}

impl Route {
    /// The route that the ID carries.
    pub const fn of_id(id: u64) -> Self {
        Self { shard: (id >> 19 & 3) as u8, table: (id >> 15 & 15) as u8 }
    }

    /// The route to `table` of `shard`; `None` when either is out of range.
    pub const fn new(shard: u8, table: u8) -> Option<Self> {
        if shard < SHARDS && table < TABLES { Some(Self { shard, table }) } else { None }
    }

    /// The database, below [`SHARDS`].
    pub const fn shard(self) -> u8 {
        self.shard
    }

    /// The table, below [`TABLES`].
    pub const fn table(self) -> u8 {
        self.table
    }

    /// The name of the table of a kind: `orders` becomes `orders_07`.
    ///
    /// ```
    /// use aqueduct_shards::Route;
    ///
    /// let route = Route::of_id(3 << 19 | 7 << 15 | 99);
    /// assert_eq!((route.shard(), route.name("orders").to_string()), (3, "orders_07".to_owned()));
    /// ```
    pub fn name(self, kind: &str) -> impl fmt::Display {
        table_name(kind, self.table)
    }
}

/// A table's name: the kind and two digits, so that a listing sorts.
pub(crate) fn table_name(kind: &str, table: u8) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{kind}_{table:02}"))
}

#[cfg(test)]
mod tests {
    use super::{Route, SHARDS, TABLES};
    use std::collections::BTreeSet;

    #[track_caller]
    fn check(id: u64, shard: u8, table: u8) {
        let route = Route::of_id(id);
        assert_eq!((route.shard(), route.table()), (shard, table), "{id:#x}");
        assert_eq!(Route::new(shard, table), Some(route));
    }

    #[test]
    fn the_route_is_in_the_bits_above_the_fifteenth() {
        check(0, 0, 0);
        check((1 << 15) - 1, 0, 0);
        check(1 << 15, 0, 1);
        check((1 << 19) - 1, 0, 15);
        check(1 << 19, 1, 0);
        check((1 << 21) - 1, 3, 15);
        check(1 << 21, 0, 0);
        check(u64::MAX, 3, 15);
    }

    #[test]
    fn there_are_64_routes_and_no_more() {
        let all: BTreeSet<_> = (0..=u8::MAX)
            .flat_map(|shard| (0..=u8::MAX).filter_map(move |table| Route::new(shard, table)))
            .collect();
        assert_eq!(all.len(), usize::from(SHARDS) * usize::from(TABLES));
        assert_eq!(all, (0..64).map(|n| Route::of_id(n << 15)).collect());
    }
}
