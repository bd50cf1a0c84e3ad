//! The io_uring loop: multishot accept and receive into a ring of provided buffers, and the echo sent from the buffers that the
//! message came in; with `zero_copy` by SEND_ZC from registered memory.
#![expect(unsafe_code, reason = "the kernel is given addresses; each block says why they hold")]

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::counters::{Count, Counters};
use super::message;
use crate::clients::now;

const GROUP: u16 = 0;
/// The notification of SEND_ZC tells whether the kernel copied after all (io_uring_prep_send_zc(3)).
const REPORT_USAGE: u16 = 1 << 3;
const USAGE_COPIED: i32 = i32::MIN;

/// What a completion belongs to; the upper byte of its user data. The rest are a buffer (16 bits) and a connection (32).
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;

/// Why there is no io_uring here, if so.
pub(super) fn refused() -> Option<io::Error> {
    ring().err()
}

fn ring() -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(32_768).build(4096)
}

/// Serves for ever.
pub(super) fn serve(
    listener: &TcpListener,
    size: usize,
    zero_copy: bool,
    counters: &Counters,
) -> io::Result<()> {
    let ring = ring()?;
    let (entries, each) = if size > 4096 { (512, 64 << 10) } else { (1024, 4 << 10) };
    let buffers = Provided::register(&ring, entries, each, zero_copy)?;
    let mut server = Server {
        ring,
        buffers,
        counters,
        zero_copy,
        connections: Vec::new(),
        free: Vec::new(),
        starved: Vec::new(),
    };
    server.push(&opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(ACCEPT << 56))?;
    let mut done = Vec::new();
    loop {
        server.ring.submit_and_wait(1)?;
        counters.add(Count::Waits, 1);
        done.extend(server.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        for (data, result, flags) in done.drain(..) {
            server.completed(data, result, flags)?;
        }
    }
}

/// The memory that the kernel receives into, in buffers of equal size.
#[derive(Debug)]
struct Provided {
    memory: *mut u8,
    ring: *mut BufRingEntry,
    entries: u16,
    each: usize,
    tail: u16,
}

impl Provided {
    fn register(ring: &IoUring, entries: u16, each: usize, fixed: bool) -> io::Result<Self> {
        let pages = |bytes: usize| Layout::from_size_align(bytes, 4096).map_err(io::Error::other);
        let size = usize::from(entries) * each;
        // SAFETY: neither layout has size zero. The memory is never freed: the server runs as long as the process.
        let (memory, base) = unsafe {
            (
                alloc_zeroed(pages(size)?),
                alloc_zeroed(pages(usize::from(entries) * size_of::<BufRingEntry>())?),
            )
        };
        if memory.is_null() || base.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: the ring is page-aligned, has room for `entries` (a power of two), and is never freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(base as u64, entries, GROUP, 0)? };
        if fixed {
            let whole = libc::iovec { iov_base: memory.cast(), iov_len: size };
            // SAFETY: the memory is never freed.
            unsafe { ring.submitter().register_buffers(&[whole])? };
        }
        let mut provided = Self { memory, ring: base.cast(), entries, each, tail: 0 };
        (0..entries).for_each(|buffer| provided.give(buffer));
        Ok(provided)
    }

    /// The kernel may receive into this buffer again.
    fn give(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (self.entries - 1));
        // SAFETY: the place is within the ring, and the kernel reads it only once the tail has passed it.
        let entry = unsafe { &mut *self.ring.add(place) };
        entry.set_addr(self.at(buffer) as u64);
        entry.set_len(u32::try_from(self.each).unwrap_or(u32::MAX));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry, aligned for 16 bits; the kernel reads it at any time, hence the atomic.
        let tail = unsafe { &*BufRingEntry::tail(self.ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    fn at(&self, buffer: u16) -> *const u8 {
        // SAFETY: the kernel hands out only numbers that were given to it, all below `entries`.
        unsafe { self.memory.add(usize::from(buffer) * self.each) }
    }

    fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        // SAFETY: the kernel has received `length` bytes into the buffer, and does not touch it until it is given back.
        unsafe { std::slice::from_raw_parts(self.at(buffer), length.min(self.each)) }
    }
}

struct Connection {
    socket: OwnedFd,
    /// The buffers that the message came in, and the bytes in each.
    pieces: Vec<(u16, usize)>,
    have: usize,
    receiving: bool,
    sending: usize,
    gone: bool,
}

struct Server<'a> {
    ring: IoUring,
    buffers: Provided,
    counters: &'a Counters,
    zero_copy: bool,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that wait for a free buffer.
    starved: Vec<usize>,
}

impl Server<'_> {
    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what an entry points to is the provided memory, which is never freed, and sockets stay open until all of
        // their entries have completed.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
            self.counters.add(Count::Waits, 1);
        }
        Ok(())
    }

    fn completed(&mut self, data: u64, result: i32, flags: u32) -> io::Result<()> {
        let index = usize::try_from(data & u64::from(u32::MAX)).map_err(io::Error::other)?;
        match data >> 56 {
            ACCEPT if result >= 0 => self.accepted(result),
            RECEIVE => self.received(index, result, flags),
            SEND => {
                let buffer = u16::try_from((data >> 32) & 0xffff).map_err(io::Error::other)?;
                self.sent(index, buffer, result, flags)
            }
            _ => Err(io::Error::from_raw_os_error(-result)),
        }
    }

    fn accepted(&mut self, fd: i32) -> io::Result<()> {
        // SAFETY: the kernel has just opened it for us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
        let connection =
            Connection { socket, pieces: Vec::new(), have: 0, receiving: false, sending: 0, gone: false };
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.connections[index] = Some(connection);
        self.receive(index)
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        connection.receiving = true;
        let fd = Fd(connection.socket.as_raw_fd());
        self.push(&opcode::RecvMulti::new(fd, GROUP).build().user_data(RECEIVE << 56 | index as u64))
    }

    fn received(&mut self, index: usize, result: i32, flags: u32) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        self.counters.add(Count::Reads, 1);
        connection.receiving = cqueue::more(flags);
        if let (Ok(count @ 1..), Some(buffer)) = (usize::try_from(result), cqueue::buffer_select(flags)) {
            connection.pieces.push((buffer, count));
            connection.have += count;
            let (first, length) = connection.pieces[0];
            let first = self.buffers.bytes(first, length);
            if message::length(first) == Some(connection.have) {
                self.counters.message(now().saturating_sub(message::sent_at(first)));
                self.answer(index)?;
            }
        } else if result == -libc::ENOBUFS {
            self.starved.push(index);
            return Ok(());
        } else {
            connection.gone = true;
            self.close(index);
            return Ok(());
        }
        if cqueue::more(flags) { Ok(()) } else { self.receive(index) }
    }

    /// Sends all pieces of a message, one after the other.
    fn answer(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let (fd, pieces) = (Fd(connection.socket.as_raw_fd()), std::mem::take(&mut connection.pieces));
        connection.have = 0;
        connection.sending += pieces.len();
        // A chain must not be torn by a submission in the middle.
        let room = {
            let queue = self.ring.submission();
            queue.capacity() - queue.len()
        };
        if room < pieces.len() {
            self.ring.submit()?;
            self.counters.add(Count::Waits, 1);
        }
        for (place, (buffer, count)) in pieces.iter().copied().enumerate() {
            let (from, length) = (self.buffers.at(buffer), u32::try_from(count).unwrap_or(0));
            let entry = if self.zero_copy {
                opcode::SendZc::new(fd, from, length)
                    .buf_index(Some(0))
                    .flags(libc::MSG_WAITALL)
                    .zc_flags(REPORT_USAGE)
                    .build()
            } else {
                opcode::Send::new(fd, from, length).flags(libc::MSG_WAITALL).build()
            };
            let more = if place + 1 < pieces.len() { squeue::Flags::IO_LINK } else { squeue::Flags::empty() };
            let data = SEND << 56 | u64::from(buffer) << 32 | index as u64;
            self.push(&entry.flags(more).user_data(data))?;
        }
        Ok(())
    }

    fn sent(&mut self, index: usize, buffer: u16, result: i32, flags: u32) -> io::Result<()> {
        let notification = cqueue::notif(flags);
        if notification {
            self.counters.add(Count::ZeroCopies, 1);
            self.counters.add(Count::ZeroCopiesCopied, u64::from(result == USAGE_COPIED));
        } else {
            self.counters.add(Count::Writes, 1);
        }
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        connection.gone |= !notification && result < 0;
        // The notification, which comes second, is when the kernel is done with the buffer.
        if cqueue::more(flags) {
            return Ok(());
        }
        connection.sending -= 1;
        self.buffers.give(buffer);
        self.close(index);
        self.starved.pop().map_or(Ok(()), |index| self.receive(index))
    }

    /// Ends a connection that is gone, once the kernel has nothing to do with it any more.
    fn close(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        if connection.gone && !connection.receiving && connection.sending == 0 {
            for (buffer, _) in std::mem::take(&mut connection.pieces) {
                self.buffers.give(buffer);
            }
            self.connections[index] = None;
            self.free.push(index);
        }
    }
}
