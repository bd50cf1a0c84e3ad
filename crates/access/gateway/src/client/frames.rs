//! How many control frames an HTTP/2 client sends beside its requests. The codec bounds the memory that frames take, but
//! not how often it may be made to work for nothing: pings, settings, window updates, priorities and resets cost the
//! client next to nothing. So they are paid from a budget, which fills with time and with what the client is sent: who
//! reads much may update windows often.

use tokio::time::Instant;

/// What a control frame costs; a reset among them, since it may have begun a call.
const CONTROL: i64 = 64;
/// A window update. There may be two for each small frame that the client reads.
const WINDOW_UPDATE: i64 = 16;
/// 10,000 control frames at once …
const FULL: i64 = 10_000 * CONTROL;
/// … and 1,000 a second.
const PER_MILLISECOND: i64 = CONTROL;

/// RFC 9113, section 4.1: 24 bits of length, then type, flags and stream.
const HEAD: usize = 9;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The first frame is not the settings (RFC 9113, section 3.4), which the codec would let pass.
    Preface,
    /// More control frames than are paid for.
    Flood,
}

/// Follows the frames that come in, and what goes out.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    filled: usize,
    /// The settings have come.
    begun: bool,
    /// Bytes of the frame's payload that are still to come.
    payload: usize,
    budget: i64,
    filled_at: Instant,
}

impl Frames {
    /// Behind the preface.
    pub(super) fn new() -> Self {
        Self { head: [0; HEAD], filled: 0, begun: false, payload: 0, budget: FULL, filled_at: Instant::now() }
    }

    /// Whether what came in may pass.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Result<(), Cut> {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let room = self.head.get_mut(self.filled..).unwrap_or_default();
            let count = room.len().min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            (self.filled, bytes) = (self.filled + count, rest);
            if self.filled == HEAD {
                self.begin()?;
            }
        }
        if self.budget >= 0 || self.refill() { Ok(()) } else { Err(Cut::Flood) }
    }

    fn begin(&mut self) -> Result<(), Cut> {
        let [a, b, c, kind, flags, ..] = self.head;
        if !self.begun && (kind != SETTINGS || flags & ACK != 0) {
            return Err(Cut::Preface);
        }
        self.begun = true;
        self.filled = 0;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.budget -= match kind {
            // DATA, unless it is empty and not the last; HEADERS.
            0 if self.payload > 0 || flags & 1 != 0 => 0,
            1 => 0,
            8 => WINDOW_UPDATE,
            _ => CONTROL,
        };
        Ok(())
    }

    /// The clock is read only when the budget is used up.
    #[cold]
    fn refill(&mut self) -> bool {
        let now = Instant::now();
        let earned = i64::try_from(now.duration_since(self.filled_at).as_millis()).unwrap_or(FULL);
        self.filled_at = now;
        self.earn(earned.saturating_mul(PER_MILLISECOND).min(FULL));
        self.budget >= 0
    }

    /// What goes out pays for what comes in. Answers to control frames are smaller than what those cost.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.earn(i64::try_from(bytes).unwrap_or(FULL));
    }

    fn earn(&mut self, earned: i64) {
        self.budget = self.budget.saturating_add(earned).min(FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&[size[1], size[2], size[3], kind, flags, 0, 0, 0, 1][..], &vec![0xff; length]].concat()
    }

    /// Behind the client's settings, which cost what any control frame does.
    fn begun() -> Frames {
        let mut frames = Frames::new();
        frames.received(&frame(SETTINGS, 0, 0)).unwrap();
        frames.earn(CONTROL);
        frames
    }

    /// How many of these frames there may be at once, in pieces of any size; `None`: any number.
    #[track_caller]
    fn check(frame: &[u8], expect: Option<i64>) {
        for piece in [7, 9, 1000] {
            let mut frames = begun();
            let many = frame.repeat(usize::try_from(FULL).unwrap() / 16 + 10);
            let fine = many.chunks(piece).take_while(|bytes| frames.received(bytes).is_ok()).count();
            let (all, bytes) = (many.len().div_ceil(piece), fine * piece);
            match expect {
                None => assert_eq!(fine, all),
                // Seen as soon as the head of one too many is complete.
                Some(most) => {
                    let most = usize::try_from(most).unwrap() * frame.len() + HEAD;
                    assert!((most.saturating_sub(piece)..=most).contains(&bytes), "{bytes}, not {most}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_are_paid_for_and_requests_are_not() {
        for kind in [2, 3, 4, 6, 9, 77] {
            check(&frame(kind, 0, 5), Some(10_000));
        }
        check(&frame(8, 0, 4), Some(40_000));
        check(&frame(0, 0, 0), Some(10_000));
        check(&frame(0, 1, 0), None);
        check(&frame(0, 0, 3), None);
        check(&frame(1, 4, 30), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_frame_is_the_settings() {
        for (first, expect) in [
            (frame(SETTINGS, 0, 12), Ok(())),
            (frame(SETTINGS, ACK, 0), Err(Cut::Preface)),
            (frame(1, 5, 30), Err(Cut::Preface)),
            (frame(6, 0, 8), Err(Cut::Preface)),
        ] {
            let bytes = [first.clone(), frame(6, 0, 8)].concat();
            assert_eq!(Frames::new().received(&bytes), expect, "{first:?}");
            let mut frames = Frames::new();
            let bytewise = bytes.chunks(1).try_for_each(|byte| frames.received(byte));
            assert_eq!(bytewise, expect, "{first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_fills_with_time_and_with_what_is_sent() {
        let mut frames = begun();
        let ping = frame(6, 0, 8);
        assert!(frames.received(&ping.repeat(10_000)).is_ok() && frames.received(&ping) == Err(Cut::Flood));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(
            frames.received(&ping.repeat(999)).is_ok() && frames.received(&ping).is_err(),
            "one was owed"
        );
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(
            frames.received(&ping.repeat(20_010)).is_err(),
            "but a long silence is worth no more than a full budget"
        );

        let mut frames = begun();
        for _ in 0..100_000 {
            // Two window updates for each small message that was sent.
            frames.received(&frame(8, 0, 4).repeat(2)).unwrap();
            frames.sent(32);
        }
        for answered in 0..20_000 {
            frames.sent(17);
            if frames.received(&ping).is_err() {
                return assert!(answered > 10_000);
            }
        }
        unreachable!("answers to pings must not pay for pings");
    }
}
