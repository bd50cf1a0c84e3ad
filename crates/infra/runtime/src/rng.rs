//! A fast random generator a thread, for identifiers that must not collide but need no secrecy: xoshiro256++
//! (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021).

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    static STATE: Cell<[u64; 4]> = Cell::new(seed());
}

/// The next 64 random bits of this thread.
pub fn next() -> u64 {
    STATE.with(|state| {
        let (value, next) = step(state.get());
        state.set(next);
        value
    })
}

/// 256 bits from the operating system. std's `RandomState` is the one door to it without `unsafe` or another crate:
/// it keys `SipHash` from the system once a thread, and each new one differs.
fn seed() -> [u64; 4] {
    let state = std::array::from_fn(|lane| RandomState::new().hash_one(lane));
    // The all-zero state is the only one xoshiro cannot leave.
    if state == [0; 4] { [1, 2, 3, 4] } else { state }
}

fn step([mut a, mut b, mut c, mut d]: [u64; 4]) -> (u64, [u64; 4]) {
    let value = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
    let shifted = b << 17;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = d.rotate_left(45);
    (value, [a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn is_xoshiro256_plus_plus() {
        // The first outputs for the state 1, 2, 3, 4, as in the reference implementation's test vectors.
        let mut state = [1, 2, 3, 4];
        let mut values = [0; 3];
        for value in &mut values {
            (*value, state) = super::step(state);
        }
        assert_eq!(values, [41943041, 58720359, 3588806011781223]);
    }

    #[test]
    fn threads_have_sequences_of_their_own() {
        let draw = || std::thread::spawn(|| (0..1000).map(|_| super::next()).collect::<Vec<_>>());
        let threads: Vec<_> = (0..4).map(|_| draw()).collect();
        let all: HashSet<u64> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        assert_eq!(all.len(), 4000);
    }
}
