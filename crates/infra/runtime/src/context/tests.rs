//! The cases of the W3C specification and its test suite, and the round trip.

use super::{Context, TraceparentError};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

const TRACE: u128 = 0x0af7651916cd43dd8448eb211c80319c;
const SPAN: u64 = 0xb7ad6b7169203331;

#[track_caller]
fn check(header: &str, expect: Option<u8>) {
    let context = Context::parse_traceparent(header.as_bytes());
    let expect = expect.map(|flags| (TRACE, SPAN, flags)).ok_or(TraceparentError);
    assert_eq!(context.map(|c| (c.trace_id(), c.span_id(), c.flags())), expect, "{header}");
}

#[test]
fn reads_what_the_specification_allows() {
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(1));
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", Some(0));
    // Unknown flags are not passed on; the random flag of level 2 is.
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", Some(3));
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-08", Some(0));
    // Versions of the future may be longer, after another dash.
    check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(1));
    check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings", Some(1));
    check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", Some(1));
}

#[test]
fn refuses_everything_else() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for length in 0..good.len() {
        check(good.get(..length).unwrap(), None);
    }
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", None);
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None);
    check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", None);
    check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0100", None);
    check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
    check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
    check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
    check(" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
    // One bad character at each place, an upper-case digit among them.
    for at in 0..good.len() {
        for bad in ["A", "g", ".", " ", "\0", "o", "`", ":"] {
            let mut header = good.to_owned();
            header.replace_range(at..=at, bad);
            check(&header, None);
        }
    }
}

#[test]
fn a_child_keeps_trace_and_deadline() {
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let root = Context::new_root(true).with_deadline(deadline);
    let child = root.child();
    assert_eq!((child.trace_id(), child.flags(), child.deadline), (root.trace_id(), 1, deadline));
    assert_ne!(child.span_id(), root.span_id());
    assert!(!Context::new_root(false).sampled());
    assert_ne!(Context::new_root(false).trace_id(), Context::new_root(false).trace_id());
}

#[tokio::test(start_paused = true)]
async fn the_remaining_time_ends_at_zero() {
    let context = Context::new_root(false);
    assert_eq!(context.remaining(), None);
    let context = context.with_deadline(Some(Instant::now() + Duration::from_secs(2)));
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(context.remaining(), Some(Duration::from_millis(1500)));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(context.remaining(), Some(Duration::ZERO));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(trace_id in 1..=u128::MAX, span_id in 1..=u64::MAX, flags in 0..4_u8) {
        let context = Context { trace_id, span_id, flags, deadline: None };
        let header = context.traceparent();
        prop_assert_eq!(
            std::str::from_utf8(&header).unwrap(),
            format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
        );
        prop_assert_eq!(Context::parse_traceparent(&header), Ok(context));
    }

    #[test]
    fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
        if let Ok(context) = Context::parse_traceparent(&bytes) {
            prop_assert_ne!(context.trace_id(), 0);
        }
    }
}
