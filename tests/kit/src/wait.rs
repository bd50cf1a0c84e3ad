//! The one place where a test waits by looking again: for what sends no event, such as another process's port.

use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks. Short, since it is added to each wait, and long enough to leave the cores to the other side.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Calls `look` until it answers `Some`, or gives up with `None` when `limit` has passed.
///
/// `look` is called at least once, and once more at the very end, so a machine that stalls for longer than `limit`
/// does not by itself fail a test.
#[expect(
    clippy::disallowed_methods,
    reason = "another process's state has no event, and its clock cannot be paused"
)]
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let out_of_time = start.elapsed() >= limit;
        if let Some(found) = look() {
            return Some(found);
        }
        if out_of_time {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::until;
    use std::time::Duration;

    #[test]
    fn looks_until_found() {
        let mut looks = 0;
        let found = until(Duration::from_secs(10), || {
            looks += 1;
            (looks == 3).then_some("here")
        });
        assert_eq!((found, looks), (Some("here"), 3));
    }

    #[test]
    fn looks_once_even_without_time() {
        assert_eq!(until(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(until(Duration::ZERO, || None::<()>), None);
    }
}
