//! What is to be run, from what is embedded and what was run. Nothing here asks a server.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{MigrateError, Migration};
use crate::route::TABLES;

/// A row of `aqueduct_migrations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) checksum: String,
}

/// Where a statement names one of the 16 tables.
const PLACE: &str = "{table}";

pub(super) fn check_order(migrations: &[Migration]) -> Result<(), MigrateError> {
    let mut last = 0;
    for migration in migrations {
        if migration.version <= last {
            return Err(MigrateError::Order { version: migration.version });
        }
        last = migration.version;
    }
    Ok(())
}

/// The migrations that are missing on `server`. What was run must be the beginning of what is embedded, unchanged.
pub(super) fn plan<'a>(
    server: &str,
    migrations: &'a [Migration],
    applied: &[Applied],
) -> Result<&'a [Migration], MigrateError> {
    let server = || server.to_owned();
    for (migration, row) in migrations.iter().zip(applied) {
        let Migration { version, name, .. } = *migration;
        if row.version > version {
            let newest = applied.last().map_or(0, |row| row.version);
            return Err(MigrateError::Late { server: server(), version, name, newest });
        }
        if row.version < version {
            return Err(MigrateError::Newer {
                server: server(),
                version: row.version,
                name: row.name.clone(),
            });
        }
        if row.checksum != checksum(migration) {
            return Err(MigrateError::Changed { server: server(), version, name });
        }
    }
    if let Some(row) = applied.get(migrations.len()) {
        return Err(MigrateError::Newer { server: server(), version: row.version, name: row.name.clone() });
    }
    Ok(&migrations[applied.len()..])
}

/// SHA-256 of the statements in hexadecimal. The name may be corrected, the statements may not.
pub(super) fn checksum(migration: &Migration) -> String {
    let mut hash = Sha256::new();
    for statement in migration.statements {
        // With its length, so that moving the border between two statements is a change.
        hash.update((statement.len() as u64).to_le_bytes());
        hash.update(statement);
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The statements as they are sent, those for each table 16 times.
pub(super) fn expand(statements: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for statement in statements {
        if statement.contains(PLACE) {
            all.extend((0..TABLES).map(|table| statement.replace(PLACE, &format!("{table:02}"))));
        } else {
            all.push((*statement).to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Applied, MigrateError, Migration, check_order, checksum, expand, plan};

    const ONE: Migration =
        Migration { version: 1, name: "orders", statements: &["CREATE a", "CREATE b_{table}"] };
    const THREE: Migration = Migration { version: 3, name: "notes", statements: &["ALTER a"] };
    const FOUR: Migration = Migration { version: 4, name: "index", statements: &["CREATE INDEX"] };

    fn row(migration: &Migration) -> Applied {
        Applied { version: migration.version, name: migration.name.to_owned(), checksum: checksum(migration) }
    }

    #[track_caller]
    fn check(embedded: &[Migration], applied: &[Applied], expect: Result<&[Migration], &str>) {
        let found = plan("db:1/x", embedded, applied).map_err(|error| error.to_string());
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{found}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_run() {
        let all = [ONE, THREE, FOUR];
        check(&all, &[], Ok(&all));
        check(&all, &[row(&ONE)], Ok(&[THREE, FOUR]));
        check(&all, &[row(&ONE), row(&THREE), row(&FOUR)], Ok(&[]));
        check(&[], &[], Ok(&[]));
    }

    #[test]
    fn what_was_run_may_not_change() {
        let changed = Migration { statements: &["CREATE a", "CREATE c_{table}"], ..ONE };
        check(
            &[changed, THREE],
            &[row(&ONE)],
            Err("migration 1 (orders) was run on db:1/x with other statements"),
        );
        let moved = Migration { statements: &["CREATE aCREATE b_{table}"], ..ONE };
        check(&[moved], &[row(&ONE)], Err("other statements"));
        let renamed = Migration { name: "orders and more", ..ONE };
        check(&[renamed, THREE], &[row(&ONE)], Ok(&[THREE]));
    }

    #[test]
    fn a_newer_schema_and_a_late_migration_are_refused() {
        check(
            &[ONE],
            &[row(&ONE), row(&THREE)],
            Err("db:1/x has migration 3 (notes), which this program does not know"),
        );
        check(&[ONE, FOUR], &[row(&ONE), row(&THREE)], Err("has migration 3 (notes)"));
        check(&[ONE, THREE, FOUR], &[row(&ONE), row(&FOUR)], Err("give it a version above 4"));
    }

    #[test]
    fn versions_ascend_from_one() {
        let order = |all: &[Migration]| check_order(all);
        assert_eq!(order(&[ONE, THREE]), Ok(()));
        assert_eq!(order(&[THREE, ONE]), Err(MigrateError::Order { version: 1 }));
        assert_eq!(order(&[ONE, ONE]), Err(MigrateError::Order { version: 1 }));
        assert_eq!(order(&[Migration { version: 0, ..ONE }]), Err(MigrateError::Order { version: 0 }));
    }

    #[test]
    fn a_statement_for_the_tables_is_run_for_each() {
        let all = expand(ONE.statements);
        assert_eq!(all.len(), 17);
        assert_eq!((&*all[0], &*all[1], &*all[16]), ("CREATE a", "CREATE b_00", "CREATE b_15"));
    }
}
