//! What the text of a statement in the binlog may mean. Doubt is resolved towards invalidating too much.

use crate::change::TableName;

/// What a statement does to the group of events that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It changes nothing: BEGIN, savepoints, the end of an XA branch.
    Nothing,
    Commit,
    Rollback,
    /// It changes tables that it names, or none.
    Ddl,
    /// Anything else: it may change whatever its triggers, views and cascades reach.
    Unknown,
}

pub(crate) fn meaning(sql: &[u8]) -> Meaning {
    let mut words = sql
        .split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80))
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_ascii_uppercase);
    // A comment or a label in front: nobody knows.
    if !sql.trim_ascii_start().first().is_some_and(u8::is_ascii_alphabetic) {
        return Meaning::Unknown;
    }
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (&first[..], &second[..]) {
        (b"BEGIN" | b"SAVEPOINT" | b"RELEASE", _) | (b"START", b"TRANSACTION") => Meaning::Nothing,
        (b"XA", b"START" | b"BEGIN" | b"END") => Meaning::Nothing,
        // Rows that a savepoint takes back and that are in the binlog all the same are invalidated for nothing.
        (b"ROLLBACK", b"TO") => Meaning::Nothing,
        (b"ROLLBACK", _) | (b"XA", b"ROLLBACK") => Meaning::Rollback,
        (b"COMMIT", _) | (b"XA", b"COMMIT") => Meaning::Commit,
        (b"TRUNCATE" | b"ALTER" | b"DROP" | b"CREATE" | b"RENAME", _) => Meaning::Ddl,
        (b"GRANT" | b"REVOKE" | b"FLUSH" | b"ANALYZE" | b"OPTIMIZE" | b"REPAIR", _) => Meaning::Ddl,
        _ => Meaning::Unknown,
    }
}

/// Whether the statement may be about the table: it names it, or is about databases; and its database is the default
/// one or named.
pub(crate) fn names(sql: &[u8], default: &[u8], name: &TableName) -> bool {
    let here = default.eq_ignore_ascii_case(name.database.as_bytes()) || has(sql, name.database.as_bytes());
    here && (has(sql, name.table.as_bytes()) || has(sql, b"DATABASE") || has(sql, b"SCHEMA"))
}

/// Whether `word` stands in the text, in any case, and not as a part of a longer name.
fn has(sql: &[u8], word: &[u8]) -> bool {
    let part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80)
    };
    !word.is_empty()
        && sql.windows(word.len()).enumerate().any(|(at, window)| {
            window.eq_ignore_ascii_case(word)
                && !part(at.checked_sub(1).and_then(|before| sql.get(before)))
                && !part(sql.get(at + word.len()))
        })
}

#[cfg(test)]
mod tests {
    use super::{Meaning, meaning, names};
    use crate::change::TableName;

    #[test]
    fn statements_mean() {
        for (sql, expect) in [
            ("BEGIN", Meaning::Nothing),
            ("SAVEPOINT `a`", Meaning::Nothing),
            ("ROLLBACK TO `a`", Meaning::Nothing),
            ("XA END X'61',X'',1", Meaning::Nothing),
            ("COMMIT", Meaning::Commit),
            ("XA COMMIT X'61',X'',1", Meaning::Commit),
            ("rollback", Meaning::Rollback),
            ("XA ROLLBACK X'61',X'',1", Meaning::Rollback),
            ("TRUNCATE orders", Meaning::Ddl),
            (" alter table orders add a int", Meaning::Ddl),
            ("INSERT INTO orders VALUES (1)", Meaning::Unknown),
            ("/*!40000 ALTER TABLE orders */", Meaning::Unknown),
            ("", Meaning::Unknown),
        ] {
            assert_eq!(meaning(sql.as_bytes()), expect, "{sql}");
        }
    }

    #[test]
    fn a_statement_names_a_table() {
        let orders = TableName { database: "shop".into(), table: "orders".into() };
        for (sql, default, expect) in [
            ("TRUNCATE orders", "shop", true),
            ("TRUNCATE orders", "other", false),
            ("TRUNCATE `Shop`.`Orders`", "other", true),
            ("TRUNCATE orders_2", "shop", false),
            ("TRUNCATE my_orders", "shop", false),
            ("DROP DATABASE shop", "", true),
            ("DROP DATABASE shop_2", "", false),
            ("RENAME TABLE a TO orders", "shop", true),
        ] {
            assert_eq!(names(sql.as_bytes(), default.as_bytes(), &orders), expect, "{sql}");
        }
    }
}
