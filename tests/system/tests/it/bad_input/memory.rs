//! Whatever is refused is not kept.

use aqueduct_kit::Process;
use aqueduct_kit::procfs::resident_bytes;

use super::{nested, post};
use crate::shop::{Shop, refused};
use crate::site::{Site, no_panic};

/// All kinds of refusals, thousands of times: what is refused must not be kept. The allocator may keep what it once
/// needed, so each storm is measured after a first one.
#[test]
fn memory_is_flat_under_bad_input() {
    let site = Site::new("flat");
    let process = site.up();
    let mut shop = site.shop();
    let deep = nested("[", 5_000, "]");
    let mut small = || {
        for _ in 0..500 {
            refused(&post(&mut shop, &deep), 400, 3);
            refused(&post(&mut shop, &Shop::basket(1).to_string().as_bytes()[..40]), 400, 3);
            refused(&shop.client.get("/nowhere").unwrap(), 404, 5);
            refused(&shop.try_get(1).unwrap(), 404, 5);
        }
    };
    small();
    // A deep body is 10 kB: kept, they would be 20 MB.
    assert_grows_less(&process, 8 << 20, || (0..4).for_each(|_| small()));

    let large = [br#"{"note": ""#.as_slice(), &vec![b'x'; 3 << 20], b"\"}"].concat();
    let mut large = || {
        let answer = post(&mut shop, &large);
        assert_eq!(answer.status(), 400, "{}", answer.text());
    };
    (0..10).for_each(|_| large());
    assert_grows_less(&process, 48 << 20, || (0..30).for_each(|_| large()));
    no_panic(&process);
}

fn assert_grows_less(process: &Process, bound: u64, storm: impl FnOnce()) {
    let before = resident_bytes(process.pid()).unwrap();
    storm();
    let after = resident_bytes(process.pid()).unwrap();
    assert!(after < before + bound, "from {before} to {after} bytes");
}
