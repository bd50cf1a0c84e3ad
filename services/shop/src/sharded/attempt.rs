//! One attempt at a change: the transaction, and the look for its outcome when it broke off at COMMIT.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aqueduct_fsm::{Code as _, EventId, Machine as _, Word};
use aqueduct_shards::{Error, Route, Shards, Token, Write};
use tokio::time::Instant;

use crate::book::event_reused;
use crate::order::{Event, Life, State};
use crate::refuse::Refusal;

/// Numbers that no other attempt has, of this process or another.
#[derive(Debug)]
pub(crate) struct Attempts {
    seed: u64,
    next: AtomicU64,
}

pub(crate) type Number = [u8; 16];

impl Attempts {
    /// `seed` is another one for each process and start.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> Number {
        let count = self.next.fetch_add(1, Relaxed);
        (u128::from(self.seed) << 64 | u128::from(count)).to_be_bytes()
    }
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Change {
    Create { user: i64, body: Vec<u8> },
    Event { event: Event, event_id: Option<EventId> },
}

/// A change that is committed.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) word: Word,
    /// Empty after a creation: its maker has it.
    pub(crate) body: Vec<u8>,
    /// The event id had been applied before.
    pub(crate) repeated: bool,
    pub(crate) token: Token,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It may not be made.
    Refused(Refusal),
    /// It was not made.
    Unmade(Error),
    /// It was to become this, and whether it did is open.
    Open(Box<Made>, Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Unmade(error)
    }
}

/// Makes the change in one transaction.
pub(crate) async fn make(
    shards: &Shards,
    (id, number): (i64, Number),
    change: &Change,
    deadline: Option<Instant>,
) -> Result<Made, Failed> {
    let route = Route::of_id(id.cast_unsigned());
    let mut write = shards.write(route.shard(), deadline).await?;
    let made = match change {
        Change::Create { user, body } => create(&mut write, route, id, (*user, body)).await,
        Change::Event { event, event_id } => {
            apply(&mut write, route, (id, number), (*event, event_id.as_ref())).await
        }
    };
    let made = match made {
        Ok(made) => made,
        Err(failed) => {
            // A connection that breaks now undoes it as well.
            drop(write.rollback().await);
            return Err(failed);
        }
    };
    match write.commit().await {
        Ok(token) => Ok(Made { token, ..made }),
        Err(error @ Error::Unknown { .. }) => Err(Failed::Open(Box::new(made), error)),
        Err(error) => Err(error.into()),
    }
}

async fn create(
    write: &mut Write,
    route: Route,
    id: i64,
    (user, body): (i64, &[u8]),
) -> Result<Made, Failed> {
    let word = Word::new(State::Created.code(), 1).ok_or_else(|| no_word(id, 1))?;
    let sql = format!(
        "INSERT INTO {} (id, user_id, state, version, body) VALUES (?, ?, ?, ?, ?)",
        route.name("orders")
    );
    write.exec(&sql, (id, user, word.state(), word.version(), body)).await.map_err(|error| match error {
        Error::Duplicate { server, .. } => Failed::Refused(Refusal::Broken(format!(
            "{server} has an order {id}, which was minted just now: give each data folder a worker number of its own"
        ))),
        error => error.into(),
    })?;
    Ok(Made { word, body: Vec::new(), repeated: false, token: Token::default() })
}

async fn apply(
    write: &mut Write,
    route: Route,
    (id, number): (i64, Number),
    (event, event_id): (Event, Option<&EventId>),
) -> Result<Made, Failed> {
    let (orders, events) = (route.name("orders"), route.name("order_events"));
    // Locked from here on, so that changes of one order follow each other and none is decided twice.
    let sql = format!("SELECT state, version, body FROM {orders} WHERE id = ? FOR UPDATE");
    let row = write.first::<(u8, u64, Vec<u8>)>(&sql, (id,)).await?;
    let (state, version, body) = row.ok_or(Failed::Refused(Refusal::NotFound(id)))?;
    let before = Word::new(state, version).ok_or_else(|| no_word(id, version))?;
    if let Some(event_id) = event_id {
        let sql = format!("SELECT event FROM {events} WHERE id = ? AND event_id = ?");
        match write.first::<u8>(&sql, (id, event_id.as_bytes())).await? {
            Some(known) if known == event.code() => {
                return Ok(Made { word: before, body, repeated: true, token: Token::default() });
            }
            Some(_) => return Err(Failed::Refused(event_reused())),
            None => {}
        }
    }
    let state = State::from_code(state).ok_or_else(|| {
        Failed::Refused(Refusal::Broken(format!("order {id} has the unknown state {state}")))
    })?;
    let after = Life::next(state, event)
        .and_then(|to| Word::new(to.code(), version + 1))
        .ok_or(Failed::Refused(Refusal::Illegal { id, state, version, event }))?;
    let sql = format!("UPDATE {orders} SET state = ?, version = ? WHERE id = ? AND version = ?");
    let changed = write.exec(&sql, (after.state(), after.version(), id, version)).await?;
    if changed != 1 {
        // The row is locked, so nobody can have been faster; if one was, nothing is overwritten.
        let server = write.server().to_owned();
        return Err(Failed::Unmade(Error::Conflict { server, message: "the version has moved".into() }));
    }
    let sql = format!(
        "INSERT INTO {events} (id, version, state, event, event_id, attempt) VALUES (?, ?, ?, ?, ?, ?)"
    );
    let named = event_id.map(EventId::as_bytes);
    write.exec(&sql, (id, after.version(), after.state(), event.code(), named, &number[..])).await?;
    Ok(Made { word: after, body, repeated: false, token: Token::default() })
}

/// Whether the attempt that broke off was committed: what it made, or `None`. The lock that is asked for is had when the
/// server is done with the transaction, so the answer is final.
pub(crate) async fn look(
    shards: &Shards,
    (id, number): (i64, Number),
    made: Made,
    until: Instant,
) -> Result<Option<Made>, Error> {
    // The connection may have broken because the primary did; the new one is known after it is asked for.
    let mut last = None;
    while Instant::now() < until {
        match look_once(shards, (id, number), &made, until).await {
            Ok(found) => return Ok(found.map(|token| Made { token, ..made })),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(super::PAUSE).await;
    }
    Err(last.unwrap_or(Error::Deadline { server: "the primary".into() }))
}

async fn look_once(
    shards: &Shards,
    (id, number): (i64, Number),
    made: &Made,
    until: Instant,
) -> Result<Option<Token>, Error> {
    let route = Route::of_id(id.cast_unsigned());
    let mut write = shards.write(route.shard(), Some(until)).await?;
    let sql = format!("SELECT version FROM {} WHERE id = ? FOR UPDATE", route.name("orders"));
    let row = write.first::<u64>(&sql, (id,)).await?;
    let found = match row {
        None => false,
        // An id is minted once: whoever finds the order of a creation finds his own. A repeated event changed nothing.
        Some(_) if made.repeated || made.word.version() == 1 => true,
        Some(_) => {
            let sql =
                format!("SELECT attempt FROM {} WHERE id = ? AND version = ?", route.name("order_events"));
            let attempt = write.first::<Vec<u8>>(&sql, (id, made.word.version())).await?;
            attempt.is_some_and(|attempt| attempt == number)
        }
    };
    // It changed nothing, so its token is the primary's position, which covers what was found.
    let token = write.commit().await?;
    Ok(found.then_some(token))
}

fn no_word(id: i64, version: u64) -> Failed {
    Failed::Refused(Refusal::Broken(format!("order {id} has version {version}, which no order reaches")))
}
