//! An account as it is stored, and all the arithmetic of money.

use super::Step;
use crate::proto::shop::Account;

/// An account. Balance and what is held are never negative, and their sum never leaves an int64, so that what is held can
/// always come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The balance that it began with: by it a repeated opening is told from another one.
    pub(crate) opening: i64,
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) version: i64,
}

/// Four numbers of 8 bytes, big-endian.
const BYTES: usize = 32;

impl Row {
    /// A new account.
    pub(crate) fn new(balance: i64) -> Self {
        Self { opening: balance, balance, held: 0, version: 1 }
    }

    pub(crate) fn encode(self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        let numbers = [self.opening, self.balance, self.held, self.version];
        for (chunk, number) in out.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *chunk = number.to_be_bytes();
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; BYTES] = bytes.try_into().ok()?;
        let mut numbers = bytes.as_chunks::<8>().0.iter().map(|chunk| i64::from_be_bytes(*chunk));
        let mut next = || numbers.next();
        Some(Self { opening: next()?, balance: next()?, held: next()?, version: next()? })
    }

    /// The account after a step, or why that must not be.
    pub(crate) fn after(self, step: Step, undo: bool, cents: i64) -> Result<Self, &'static str> {
        const SPENT: &str = "holds less than that";
        if cents < 1 {
            return Err("moves nothing less than a cent");
        }
        let (balance, held) = match (step, undo) {
            (Step::Credit | Step::Settle, true) => return Err("cannot have that step undone"),
            (Step::Debit, false) if self.balance < cents => return Err("has insufficient funds"),
            (Step::Debit, false) => (self.balance - cents, self.held + cents),
            (Step::Debit | Step::Settle, _) if self.held < cents => return Err(SPENT),
            (Step::Debit, true) => (self.balance + cents, self.held - cents),
            (Step::Credit, false) => {
                let whole = self.balance.checked_add(self.held).and_then(|whole| whole.checked_add(cents));
                if whole.is_none() {
                    return Err("would have more than an int64 of cents holds");
                }
                (self.balance + cents, self.held)
            }
            (Step::Settle, false) => (self.balance, self.held - cents),
        };
        Ok(Self { balance, held, version: self.version.wrapping_add(1), ..self })
    }

    /// As clients see it.
    pub(crate) fn show(self, id: i64) -> Account {
        Account { id, balance_cents: self.balance, held_cents: self.held, version: self.version }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(balance: i64, held: i64) -> Row {
        Row { opening: 5, balance, held, version: 1 }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let row = Row { opening: i64::MAX, balance: 1, held: 2, version: 3 };
        assert_eq!(Row::decode(&row.encode()), Some(row));
        assert_eq!(Row::decode(&row.encode()[1..]), None);
        assert_eq!(Row::decode(&[0; 33]), None);
    }

    #[test]
    fn what_each_step_does() {
        let check = |(balance, held), step, undo, cents, expect: Result<(i64, i64), &str>| {
            let after = row(balance, held).after(step, undo, cents);
            let after = after.map(|row| {
                assert_eq!((row.opening, row.version), (5, 2));
                (row.balance, row.held)
            });
            match (after, expect) {
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                (after, expect) => assert_eq!(after, expect, "{step:?} {undo} {cents} of {balance}+{held}"),
            }
        };
        check((10, 0), Step::Debit, false, 10, Ok((0, 10)));
        check((10, 0), Step::Debit, false, 11, Err("insufficient funds"));
        check((0, 10), Step::Debit, true, 10, Ok((10, 0)));
        check((0, 9), Step::Debit, true, 10, Err("holds less"));
        check((0, 10), Step::Settle, false, 10, Ok((0, 0)));
        check((0, 9), Step::Settle, false, 10, Err("holds less"));
        check((1, 2), Step::Credit, false, 3, Ok((4, 2)));
        check((i64::MAX - 3, 0), Step::Credit, false, 3, Ok((i64::MAX, 0)));
        check((i64::MAX - 3, 0), Step::Credit, false, 4, Err("more than an int64"));
        // What is held may come back, and must find room.
        check((i64::MAX - 3, 1), Step::Credit, false, 3, Err("more than an int64"));
        check((10, 0), Step::Credit, true, 1, Err("cannot have that step undone"));
        check((10, 0), Step::Settle, true, 1, Err("cannot have that step undone"));
        for cents in [0, -1, i64::MIN] {
            for step in [Step::Debit, Step::Credit, Step::Settle] {
                check((10, 10), step, false, cents, Err("nothing less than a cent"));
            }
        }
    }

    proptest! {
        /// Whatever comes in whatever order: no number is negative, none overflows, and only a credit makes the whole grow.
        #[test]
        fn nothing_is_ever_negative_or_lost(
            balance in prop_oneof![0..100i64, Just(i64::MAX), 0..=i64::MAX],
            steps in prop::collection::vec((0..3usize, any::<bool>(), prop_oneof![0..60i64, any::<i64>()]), 0..50),
        ) {
            let mut row = Row::new(balance);
            for (step, undo, cents) in steps {
                let step = [Step::Debit, Step::Credit, Step::Settle][step];
                let Ok(after) = row.after(step, undo, cents) else { continue };
                let whole = |row: Row| i128::from(row.balance) + i128::from(row.held);
                let grown = match step {
                    Step::Debit => 0,
                    Step::Credit => i128::from(cents),
                    Step::Settle => -i128::from(cents),
                };
                prop_assert!(after.balance >= 0 && after.held >= 0 && whole(after) <= i128::from(i64::MAX));
                prop_assert_eq!(whole(after), whole(row) + grown);
                row = after;
            }
        }
    }
}
