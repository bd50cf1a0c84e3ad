//! Buffers that keep the room they have grown to: a bounded pool a thread, for where growing is what costs. README.md tells when
//! that is; otherwise an allocator's own caches are as fast, and bounded by somebody who knows the whole process.
//!
//! ```
//! use aqueduct_runtime::pool::Pool;
//!
//! thread_local! {
//!     /// At most 16 buffers of at most 64 KiB.
//!     static LINES: Pool = const { Pool::new(16, 64 << 10) };
//! }
//!
//! let mut line = Pool::take(&LINES);
//! line.extend_from_slice(b"GET / HTTP/1.1");
//! let room = line.capacity();
//! drop(line); // goes back
//! let line = Pool::take(&LINES);
//! assert!(line.is_empty() && line.capacity() == room);
//! ```

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// The buffers of one thread that nobody uses at the moment.
pub struct Pool {
    free: RefCell<Vec<Vec<u8>>>,
    count: usize,
    capacity: usize,
}

impl Pool {
    /// A pool that keeps at most `count` buffers, each with room for at most `capacity` bytes; what is beyond goes back to the
    /// allocator. So a thread keeps `count * capacity` bytes at most.
    pub const fn new(count: usize, capacity: usize) -> Self {
        Self { free: RefCell::new(Vec::new()), count, capacity }
    }

    /// An empty buffer: the one that was used last, whose memory is the likeliest to be in the processor's caches, or a new one
    /// without any room. It goes back when it is dropped, to the pool of the thread that drops it.
    pub fn take(pool: &'static LocalKey<Self>) -> Buffer {
        // While a thread ends its pool may be gone already.
        let bytes = pool.try_with(|pool| pool.free.borrow_mut().pop()).ok().flatten();
        Buffer { bytes: bytes.unwrap_or_default(), pool }
    }

    fn put(&self, mut bytes: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        // Without room it is as good as a new one.
        if free.len() < self.count && (1..=self.capacity).contains(&bytes.capacity()) {
            bytes.clear();
            free.push(bytes);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.free.try_borrow().map_or(0, |free| free.len());
        f.debug_struct("Pool").field("free", &free).field("count", &self.count).finish_non_exhaustive()
    }
}

/// A buffer out of a pool, to be used as a `Vec<u8>`.
pub struct Buffer {
    bytes: Vec<u8>,
    pool: &'static LocalKey<Pool>,
}

impl Buffer {
    /// The bytes for good: this buffer does not go back.
    pub fn into_vec(mut self) -> Vec<u8> {
        mem::take(&mut self.bytes)
    }

    /// Gives what it has back to the pool, and goes on as an empty buffer without room.
    pub fn release(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        // Where the pool is gone the bytes are freed.
        self.pool.try_with(|pool| pool.put(bytes)).unwrap_or_default();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// Its length and room: what is in it may be anybody's secret.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{Buffer, Pool};

    thread_local! {
        static POOL: Pool = const { Pool::new(3, 1000) };
    }

    fn with_room(room: usize) -> Buffer {
        let mut buffer = Pool::take(&POOL);
        buffer.reserve_exact(room);
        buffer
    }

    fn free() -> usize {
        POOL.with(|pool| pool.free.borrow().len())
    }

    #[test]
    fn a_buffer_comes_back_with_its_room() {
        let mut buffer = with_room(500);
        buffer.extend_from_slice(b"abc");
        let (room, place) = (buffer.capacity(), buffer.as_ptr());
        drop(buffer);
        let buffer = Pool::take(&POOL);
        assert_eq!((buffer.len(), buffer.capacity(), buffer.as_ptr()), (0, room, place));
        assert_eq!(Pool::take(&POOL).capacity(), 0, "the pool is empty, and makes no room by itself");
    }

    /// Whatever its user does with it: nothing of who had it before can be read.
    #[test]
    fn no_byte_of_before_is_left() {
        let secret = b"card 4111-1111-1111-1111";
        let mut buffer = with_room(500);
        while buffer.len() < 400 {
            buffer.extend_from_slice(secret);
        }
        drop(buffer);
        let mut buffer = Pool::take(&POOL);
        assert!(buffer.is_empty() && buffer.capacity() >= 400);
        assert_eq!(format!("{buffer:?}"), format!("Buffer {{ len: 0, capacity: {} }}", buffer.capacity()));
        buffer.extend_from_slice(b"x");
        let room = buffer.capacity();
        buffer.resize(room, 0);
        assert!(buffer.iter().skip(1).all(|byte| *byte == 0));
        let copy = buffer.clone();
        assert!(!copy.windows(4).any(|part| part == b"4111"));
    }

    #[test]
    fn the_number_and_the_room_of_what_is_kept_are_bounded() {
        let buffers: Vec<_> = (0..10).map(|_| with_room(100)).collect();
        drop(buffers);
        assert_eq!(free(), 3);
        while POOL.with(|pool| pool.free.borrow_mut().pop()).is_some() {}
        drop(with_room(1001));
        assert_eq!(free(), 0, "too large to be kept");
        drop(with_room(1000));
        drop(Pool::take(&POOL).into_vec());
        assert_eq!(free(), 0, "taken out for good");
        drop(with_room(0));
        assert_eq!(free(), 0, "nothing to keep");
    }

    #[test]
    fn what_is_released_can_be_filled_again() {
        let mut buffer = with_room(500);
        buffer.push(1);
        buffer.release();
        assert_eq!((buffer.len(), buffer.capacity(), free()), (0, 0, 1));
        buffer.push(2);
        assert_eq!(**buffer, [2]);
    }

    #[test]
    fn a_buffer_goes_back_to_the_thread_that_drops_it() {
        let buffer = with_room(500);
        thread::spawn(move || {
            drop(buffer);
            assert_eq!(free(), 1);
        })
        .join()
        .unwrap();
        assert_eq!(free(), 0);
    }

    /// A thread's last buffers outlive its pool: they are freed.
    #[test]
    fn a_buffer_may_be_dropped_while_its_thread_ends() {
        thread_local! {
            static LAST: std::cell::RefCell<Option<Buffer>> = const { std::cell::RefCell::new(None) };
        }
        let ended = thread::spawn(|| {
            // Made first, so it is dropped last.
            LAST.with(|last| assert!(last.borrow().is_none()));
            LAST.set(Some(with_room(500)));
        });
        ended.join().unwrap();
    }
}
