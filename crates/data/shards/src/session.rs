//! One connection at work: reading, or in a transaction.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::FromRow;
use mysql_async::{Params, Row};
use tokio::time::Instant;

use crate::dialect;
use crate::error::Error;
use crate::pool::Checkout;
use crate::shards::Core;
use crate::stats::{add_us, count};
use crate::token::{Gtid, Token};

/// How much of a slow statement's text is logged.
const LOGGED: usize = 256;

/// A connection with a deadline.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) checkout: Checkout,
    pub(crate) deadline: Instant,
    pub(crate) slow: Duration,
    /// Told of errors that a failover would explain.
    pub(crate) core: Arc<Core>,
}

impl Session {
    /// Runs one statement, which the server gives up in time.
    async fn run(&mut self, sql: &str, params: Params) -> Result<(Vec<Row>, u64), Error> {
        let begun = Instant::now();
        let left = self.deadline.saturating_duration_since(begun);
        let Some(text) = dialect::limited(sql, left) else {
            count(&self.checkout.pool.counters.deadlines);
            return Err(Error::Deadline { server: self.checkout.pool.name.clone() });
        };
        let answer = self.checkout.exec(self.deadline, &text, params).await;
        self.note(sql, begun.elapsed());
        answer.inspect_err(|error| self.core.suspect(error))
    }

    /// Runs several statements in one round trip; the server gives each up in time.
    async fn run_all(
        &mut self,
        statements: &[String],
        within: Duration,
    ) -> Result<Vec<(Vec<Row>, u64)>, Error> {
        let begun = Instant::now();
        let left = within.min(self.deadline.saturating_duration_since(begun));
        let limited: Option<Vec<_>> = statements.iter().map(|sql| dialect::limited(sql, left)).collect();
        let Some(limited) = limited else {
            count(&self.checkout.pool.counters.deadlines);
            return Err(Error::Deadline { server: self.checkout.pool.name.clone() });
        };
        let answer = self.checkout.query_all(self.deadline, &limited).await;
        self.note(statements.first().map_or("", String::as_str), begun.elapsed());
        answer.inspect_err(|error| self.core.suspect(error))
    }

    /// Begins or ends a transaction. The server puts no limit to it: a COMMIT that were given up half-way helps nobody.
    async fn plain(&mut self, sql: &str) -> Result<(), Error> {
        let begun = Instant::now();
        let answer = self.checkout.query(self.deadline, sql).await;
        self.note(sql, begun.elapsed());
        answer.map(drop).inspect_err(|error| self.core.suspect(error))
    }

    /// Counts a statement, and logs a slow one. The wait for the connection is told with the first statement alone.
    fn note(&mut self, sql: &str, took: Duration) {
        let waited = std::mem::take(&mut self.checkout.waited);
        let counters = &self.checkout.pool.counters;
        count(&counters.statements);
        add_us(&counters.statement_us, took);
        if took < self.slow && waited < self.slow {
            return;
        }
        count(&counters.slow);
        let (pool_wait_us, execution_us) = (waited.as_micros(), took.as_micros());
        // Values are parameters, so the text shows none.
        let sql = sql.get(..sql.floor_char_boundary(LOGGED)).unwrap_or_default();
        tracing::warn!(server = self.checkout.pool.name, pool_wait_us, execution_us, sql, "slow statement");
    }

    async fn rows<T: FromRow>(&mut self, sql: &str, params: Params) -> Result<Vec<T>, Error> {
        let (rows, _) = self.run(sql, params).await?;
        rows.into_iter().map(|row| read(&self.checkout.pool.name, row)).collect()
    }
}

/// A row as a `T`. The driver's own conversion panics when a column has another type.
pub(crate) fn read<T: FromRow>(server: &str, row: Row) -> Result<T, Error> {
    T::from_row_opt(row).map_err(|error| {
        let columns = error.0.columns_ref().iter();
        let columns: Vec<_> =
            columns.map(|column| format!("{} {:?}", column.name_str(), column.column_type())).collect();
        let message = format!("it is ({}), wanted {}", columns.join(", "), std::any::type_name::<T>());
        Error::Row { server: server.to_owned(), message }
    })
}

/// A session that reads, from [`Shards::read`](crate::Shards::read). Each statement sees what is committed when it begins.
///
/// It goes back to its pool when it is dropped, so leave no state behind: no `SET`, no `GET_LOCK`, no open transaction.
#[derive(Debug)]
pub struct Read {
    pub(crate) session: Session,
    pub(crate) from_primary: bool,
}

impl Read {
    /// All rows of a statement. Its values are parameters (`?` and a tuple, or `:name` and [`params!`](crate::params!)).
    ///
    /// # Errors
    /// [`Error`]; the session can be used again unless the connection broke.
    pub async fn rows<T: FromRow>(&mut self, sql: &str, params: impl Into<Params>) -> Result<Vec<T>, Error> {
        self.session.rows(sql, params.into()).await
    }

    /// The first row. Say `LIMIT 1`: all rows are fetched.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub async fn first<T: FromRow>(
        &mut self,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<Option<T>, Error> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Whether the primary answers, and not a replica.
    pub fn is_from_primary(&self) -> bool {
        self.from_primary
    }

    /// `host:port/database` of who answers.
    pub fn server(&self) -> &str {
        &self.session.checkout.pool.name
    }
}

/// A transaction on a primary, from [`Shards::write`](crate::Shards::write). Dropped without a
/// [`commit`](Self::commit) it is undone, by closing its connection; [`rollback`](Self::rollback) keeps that.
#[derive(Debug)]
pub struct Write {
    session: Session,
    shard: u8,
    failed: bool,
}

impl Write {
    /// `sql` begins the transaction.
    pub(crate) async fn begin(mut session: Session, shard: u8, sql: &str) -> Result<Self, Error> {
        session.checkout.in_transaction = true;
        session.plain(sql).await?;
        Ok(Self { session, shard, failed: false })
    }

    /// Runs several statements in one round trip, in their order: the rows of each, and how many it changed. None has parameters, so
    /// whatever stands in them must be a number, or written in hexadecimal digits. The server gives each up when it has taken as long as
    /// `within`.
    ///
    /// # Errors
    /// As [`exec`](Self::exec), of the first that fails; those behind it are not run.
    pub async fn run_all<T: FromRow>(
        &mut self,
        statements: &[String],
        within: Duration,
    ) -> Result<Vec<(Vec<T>, u64)>, Error> {
        self.intact()?;
        let answer = self.session.run_all(statements, within).await.and_then(|answers| {
            let name = &self.session.checkout.pool.name;
            let rows = |(rows, changed): (Vec<Row>, u64)| {
                let rows: Result<_, _> = rows.into_iter().map(|row| read(name, row)).collect();
                Ok((rows?, changed))
            };
            answers.into_iter().map(rows).collect()
        });
        self.judge(answer)
    }

    /// Runs a statement and tells how many rows it changed. Its values are parameters.
    ///
    /// # Errors
    /// [`Error`]. After any but [`Error::Duplicate`] the transaction is spoilt, since the server may have undone what
    /// came before (it does after a deadlock): everything but a rollback answers [`Error::Failed`].
    pub async fn exec(&mut self, sql: &str, params: impl Into<Params>) -> Result<u64, Error> {
        self.intact()?;
        let answer = self.session.run(sql, params.into()).await;
        self.judge(answer).map(|(_, changed)| changed)
    }

    /// All rows of a statement, within the transaction.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn rows<T: FromRow>(&mut self, sql: &str, params: impl Into<Params>) -> Result<Vec<T>, Error> {
        self.intact()?;
        let answer = self.session.rows(sql, params.into()).await;
        self.judge(answer)
    }

    /// The first row of a statement, within the transaction. Say `LIMIT 1`: all rows are fetched.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn first<T: FromRow>(
        &mut self,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<Option<T>, Error> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Commits, and tells what a later reader must have seen to see this write.
    ///
    /// The token is the transaction's own position. One that changed nothing answers with the primary's position, which covers
    /// whatever it found there. If the position cannot be asked for any more, the token demands the primary: the write is
    /// committed, and that is not taken back.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the connection breaks or the deadline passes during COMMIT. All other errors: nothing was written.
    pub async fn commit(mut self) -> Result<Token, Error> {
        self.intact()?;
        self.session.plain("COMMIT").await.map_err(|error| match error {
            Error::Broken { server, reason } => Error::Unknown { server, reason },
            Error::Deadline { server } => Error::Unknown { server, reason: "the deadline passed".to_owned() },
            error => error,
        })?;
        let Session { checkout, deadline, .. } = &mut self.session;
        checkout.in_transaction = false;
        count(&checkout.pool.counters.commits);
        let mut token = Token::default();
        match position(checkout, *deadline).await {
            Some(gtids) => gtids.into_iter().for_each(|gtid| token.add(self.shard, gtid)),
            None => token.demand_primary(self.shard),
        }
        Ok(token)
    }

    /// Undoes it and keeps the connection.
    ///
    /// # Errors
    /// When the connection broke, which undoes it too.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.session.plain("ROLLBACK").await?;
        self.session.checkout.in_transaction = false;
        Ok(())
    }

    /// `host:port/database` of the primary.
    pub fn server(&self) -> &str {
        &self.session.checkout.pool.name
    }

    fn intact(&self) -> Result<(), Error> {
        if self.failed { Err(Error::Failed { server: self.server().to_owned() }) } else { Ok(()) }
    }

    fn judge<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        self.failed = !matches!(answer, Ok(_) | Err(Error::Duplicate { .. }));
        answer
    }
}

/// Where the primary is after a commit of this session; `None` when it cannot tell.
async fn position(checkout: &mut Checkout, deadline: Instant) -> Option<Vec<Gtid>> {
    let rows = checkout.query(deadline, dialect::POSITIONS).await.ok()?;
    let (last, all): (String, String) = read(&checkout.pool.name, rows.into_iter().next()?).ok()?;
    let moved = checkout.moved_to(&last);
    if moved && !last.is_empty() { Gtid::parse_list(&last) } else { Gtid::parse_list(&all) }
}
