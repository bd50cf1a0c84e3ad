//! The date that answers carry (RFC 9110, section 6.6.1). The text is made once a second.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use aqueduct_runtime::clock;

thread_local! {
    static NOW: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Hands out the text of this second.
pub(crate) fn now(write: impl FnOnce(&[u8])) {
    at(clock::since_epoch().as_secs(), write);
}

fn at(seconds: u64, write: impl FnOnce(&[u8])) {
    NOW.with_borrow_mut(|(second, text)| {
        if *second != seconds || text.is_empty() {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            (*second, *text) = (seconds, date);
        }
        write(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http_and_change_with_the_second() {
        for (seconds, expect) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
        ] {
            at(seconds, |text| assert_eq!(text, expect.as_bytes()));
        }
    }
}
