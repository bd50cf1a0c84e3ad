//! The ways to have a buffer, behind one trait.
#![expect(
    unsafe_code,
    reason = "allocators beside the global one are called by hand; each block says why it may be"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use aqueduct_runtime::pool::{self, Pool};
use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

/// Bytes of a buffer, and of a piece.
pub(super) const BYTES: usize = 4 << 10;
pub(super) const PIECE: usize = 64;
/// Buffers that are live on each thread.
pub(super) const LIVE: usize = 64;

/// In the order of the figures.
pub(super) const NAMES: [&str; 6] =
    ["no allocation", "glibc", "mimalloc", "jemalloc", "pool of the thread", "shared pool, a Mutex"];

/// Where buffers come from.
pub(super) trait Buffers: Sync {
    /// A buffer, and what gives it back when it is dropped.
    type Buffer;

    /// Filled, with room for all from the beginning.
    fn at_once(&self) -> Self::Buffer;

    /// Filled piece by piece, with room for one at the beginning unless it has more.
    fn grown(&self) -> Self::Buffer;
}

/// What is put in; the optimizer does not know it.
fn piece() -> [u8; PIECE] {
    std::hint::black_box([7; PIECE])
}

fn fill(bytes: &mut Vec<u8>) {
    for _ in 0..BYTES / PIECE {
        bytes.extend_from_slice(&piece());
    }
    std::hint::black_box(bytes.as_ptr());
}

/// Fills the same buffer again and again: what the others do beside allocating.
pub(super) struct Nothing;

thread_local! {
    static OWN: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(Vec::with_capacity(BYTES));
    static POOL: Pool = const { Pool::new(2 * LIVE, BYTES) };
}

impl Buffers for Nothing {
    type Buffer = ();

    fn at_once(&self) {
        OWN.with_borrow_mut(|own| {
            own.clear();
            fill(own);
        });
    }

    fn grown(&self) {
        self.at_once();
    }
}

/// The pool of `aqueduct-runtime`.
pub(super) struct OfThread;

impl Buffers for OfThread {
    type Buffer = pool::Buffer;

    fn at_once(&self) -> pool::Buffer {
        let mut bytes = Pool::take(&POOL);
        bytes.reserve_exact(BYTES);
        fill(&mut bytes);
        bytes
    }

    fn grown(&self) -> pool::Buffer {
        let mut bytes = Pool::take(&POOL);
        fill(&mut bytes);
        bytes
    }
}

/// One for all threads.
#[derive(Default)]
pub(super) struct Shared(Mutex<Vec<Vec<u8>>>);

/// A buffer of the shared pool.
pub(super) struct Lent<'a> {
    bytes: Vec<u8>,
    pool: &'a Mutex<Vec<Vec<u8>>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < 4 * LIVE {
            free.push(bytes);
        }
    }
}

/// The pools live as long as the process.
impl Buffers for &'static Shared {
    type Buffer = Lent<'static>;

    fn at_once(&self) -> Lent<'static> {
        let mut lent = self.take();
        lent.bytes.reserve_exact(BYTES);
        fill(&mut lent.bytes);
        lent
    }

    fn grown(&self) -> Lent<'static> {
        let mut lent = self.take();
        fill(&mut lent.bytes);
        lent
    }
}

impl Shared {
    fn take(&'static self) -> Lent<'static> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { bytes: bytes.unwrap_or_default(), pool: &self.0 }
    }
}

/// An allocator that is asked directly, whichever the program's own is.
pub(super) struct Of<A>(pub(super) A);

pub(super) const GLIBC: Of<System> = Of(System);
pub(super) const MIMALLOC: Of<MiMalloc> = Of(MiMalloc);
pub(super) const JEMALLOC: Of<Jemalloc> = Of(Jemalloc);

/// A block of an allocator.
pub(super) struct Block<'a, A: GlobalAlloc> {
    start: *mut u8,
    layout: Layout,
    allocator: &'a A,
}

impl<A: GlobalAlloc> Drop for Block<'_, A> {
    fn drop(&mut self) {
        // SAFETY: `start` came from this allocator with this layout, and nobody else has it.
        unsafe { self.allocator.dealloc(self.start, self.layout) }
    }
}

impl<'a, A: GlobalAlloc> Block<'a, A> {
    fn new(allocator: &'a A, bytes: usize) -> Self {
        let Ok(layout) = Layout::array::<u8>(bytes) else { std::process::abort() };
        // SAFETY: the layout has a size.
        let start = unsafe { allocator.alloc(layout) };
        assert!(!start.is_null(), "out of memory");
        Self { start, layout, allocator }
    }

    fn grow(&mut self) {
        let size = self.layout.size() * 2;
        let Ok(layout) = Layout::array::<u8>(size) else { std::process::abort() };
        // SAFETY: `start` came from this allocator with this layout; the new size is not 0 and no overflow.
        let start = unsafe { self.allocator.realloc(self.start, self.layout, size) };
        assert!(!start.is_null(), "out of memory");
        (self.start, self.layout) = (start, layout);
    }

    /// Fills it, doubling where there is no room, as `Vec` does.
    fn fill(mut self) -> Self {
        let mut length = 0;
        while length < BYTES {
            if length + PIECE > self.layout.size() {
                self.grow();
            }
            // SAFETY: there is room for a piece at `length`, as was just seen to.
            unsafe { ptr::copy_nonoverlapping(piece().as_ptr(), self.start.add(length), PIECE) };
            length += PIECE;
        }
        std::hint::black_box(self.start);
        self
    }
}

impl<A: GlobalAlloc + Sync + 'static> Buffers for &'static Of<A> {
    type Buffer = Block<'static, A>;

    fn at_once(&self) -> Block<'static, A> {
        Block::new(&self.0, BYTES).fill()
    }

    fn grown(&self) -> Block<'static, A> {
        Block::new(&self.0, PIECE).fill()
    }
}
