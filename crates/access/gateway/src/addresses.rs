//! How many connections each client address has: a table of those that are open, so that it is never longer than the
//! connections are many. Touched when a connection begins and when it ends, by all workers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

/// An IPv4 address, or an IPv6 network of 64 bits: the least that one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    V6([u16; 4]),
}

impl Key {
    /// An IPv4 address in IPv6 form is the same client.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Key::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Key::V6([a, b, c, d])
            }
        }
    }
}

/// The open connections by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    open: Arc<Mutex<HashMap<Key, usize, RandomState>>>,
}

impl Addresses {
    /// A place for a connection until it is dropped; `None` when the address has `most` already. With 0 nothing is counted.
    pub(crate) fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        if most == 0 {
            return Some(Place(None));
        }
        let key = Key::of(address);
        let mut open = self.open();
        let count = open.entry(key).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place(Some((self.clone(), key))))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, usize, RandomState>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct Place(Option<(Addresses, Key)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((addresses, key)) = self.0.take() else { return };
        if let Entry::Occupied(mut entry) = addresses.open().entry(key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &str, second: &str, same: bool) {
        let addresses = Addresses::default();
        let place = addresses.enter(first.parse().unwrap(), 1);
        assert!(place.is_some());
        assert_eq!(addresses.enter(second.parse().unwrap(), 1).is_none(), same, "{first} and {second}");
        drop(place);
        assert!(addresses.open().is_empty(), "nothing is kept of who is gone");
        assert!(addresses.enter(second.parse().unwrap(), 1).is_some());
    }

    #[test]
    fn an_address_or_an_ipv6_network_has_a_bound_of_its_own() {
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("10.0.0.1", "::ffff:10.0.0.1", true);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true);
        check("2001:db8:0:1::1", "2001:db8:0:2::1", false);
        check("0.0.0.1", "::1", false);
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let addresses = Addresses::default();
        let places: Vec<_> = (0..100).map(|_| addresses.enter([127, 0, 0, 1].into(), 0)).collect();
        assert!(places.iter().all(Option::is_some) && addresses.open().is_empty());
    }
}
