//! How many control frames a client sends beside its requests. The codec bounds the memory that frames take, but not how often it
//! may be made to work for nothing: pings, settings, window updates, priorities and resets cost the client next to nothing. So they
//! are paid from a budget, which fills with time and with what the client is sent: who reads much may update windows often.

use tokio::time::Instant;

use crate::http2::reader::CONTROL;

/// 10,000 control frames at once …
const FULL: i64 = 10_000 * CONTROL;
/// … and 1,000 a second.
const PER_MILLISECOND: i64 = CONTROL;
/// A request that came to nothing: malformed, beyond those at once, or reset before anybody looked at it. 1,000 at once.
pub(super) const WASTE: i64 = 10 * CONTROL;

/// What a client may still cost.
#[derive(Debug)]
pub(super) struct Budget {
    left: i64,
    filled_at: Instant,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: FULL, filled_at: Instant::now() }
    }

    /// Whether it can pay so much.
    pub(super) fn charge(&mut self, cost: i64) -> bool {
        self.left = self.left.saturating_sub(cost);
        self.left >= 0 || self.refill()
    }

    /// The clock is read only when the budget is used up.
    #[cold]
    fn refill(&mut self) -> bool {
        let now = Instant::now();
        let earned = i64::try_from(now.duration_since(self.filled_at).as_millis()).unwrap_or(FULL);
        self.filled_at = now;
        self.earn(earned.saturating_mul(PER_MILLISECOND).min(FULL));
        self.left >= 0
    }

    /// What goes out pays for what comes in. Answers to control frames are smaller than what those cost.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.earn(i64::try_from(bytes).unwrap_or(FULL));
    }

    fn earn(&mut self, earned: i64) {
        self.left = self.left.saturating_add(earned).min(FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_fills_with_time_and_with_what_is_sent() {
        let mut budget = Budget::new();
        let ping = |budget: &mut Budget| budget.charge(CONTROL);
        assert!((0..10_000).all(|_| ping(&mut budget)) && !ping(&mut budget));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!((0..999).all(|_| ping(&mut budget)) && !ping(&mut budget), "one was owed");
        tokio::time::advance(Duration::from_hours(1)).await;
        let many = (0..20_000).take_while(|_| ping(&mut budget)).count();
        assert!((9_990..=10_000).contains(&many), "a long silence is worth no more than a full one: {many}");

        let mut budget = Budget::new();
        for _ in 0..100_000 {
            // Two window updates for each small message that was sent.
            assert!(budget.charge(32));
            budget.sent(32);
        }
        let answered = (0..20_000).take_while(|_| {
            budget.sent(17);
            ping(&mut budget)
        });
        assert!((10_001..20_000).contains(&answered.count()), "answers to pings must not pay for pings");
    }
}
