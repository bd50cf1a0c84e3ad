//! Callers that wait for a word somebody else holds: striped, woken when it is let go, never polled.
//!
//! No wake-up is lost: a waiter counts itself, then looks at the word again; whoever lets a word go does so, then looks at the
//! count; and a sequentially consistent fence stands between the two steps of each. So one of them sees the other.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::sync::{AtomicU32, fence};

/// Keys share a stripe; a waiter may be woken for another key and looks again.
#[derive(Debug)]
pub(crate) struct Waiters {
    stripes: Box<[Stripe]>,
    waiting: AtomicU32,
    limit: u32,
}

#[derive(Debug)]
struct Stripe {
    waiting: AtomicU32,
    notify: Notify,
}

impl Waiters {
    /// `stripes` must be a power of two; at most `limit` waiters at a time.
    pub(crate) fn new(stripes: usize, limit: u32) -> Self {
        let stripes =
            (0..stripes).map(|_| Stripe { waiting: AtomicU32::new(0), notify: Notify::new() }).collect();
        Self { stripes, waiting: AtomicU32::new(0), limit }
    }

    /// Joins the waiters of a key; look at its word again after [`Waiter::woken`] was called, then await that.
    /// `None` when too many wait already.
    pub(crate) fn enlist(&self, hash: u64) -> Option<Waiter<'_>> {
        if self.waiting.fetch_add(1, Relaxed) >= self.limit {
            self.waiting.fetch_sub(1, Relaxed);
            return None;
        }
        let stripe = self.stripe(hash);
        stripe.waiting.fetch_add(1, Relaxed);
        fence(SeqCst);
        Some(Waiter { waiters: self, stripe })
    }

    /// Wakes the waiters of one key, whose word was just let go.
    pub(crate) fn wake(&self, hash: u64) {
        self.wake_each([hash]);
    }

    /// Wakes the waiters of many keys behind one fence.
    pub(crate) fn wake_each(&self, hashes: impl IntoIterator<Item = u64>) {
        fence(SeqCst);
        for hash in hashes {
            let stripe = self.stripe(hash);
            if stripe.waiting.load(Relaxed) > 0 {
                stripe.notify.notify_waiters();
            }
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        fence(SeqCst);
        for stripe in &self.stripes {
            stripe.notify.notify_waiters();
        }
    }

    /// How many wait now.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    fn stripe(&self, hash: u64) -> &Stripe {
        &self.stripes[(hash >> 32) as usize & (self.stripes.len() - 1)]
    }
}

/// A place among the waiters of a key, given up on drop.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    stripe: &'a Stripe,
}

impl Waiter<'_> {
    /// Resolves at the first wake-up after this call, polled before or not (tokio guarantees that for `notify_waiters`).
    pub(crate) fn woken(&self) -> Notified<'_> {
        self.stripe.notify.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.stripe.waiting.fetch_sub(1, Relaxed);
        self.waiters.waiting.fetch_sub(1, Relaxed);
    }
}
