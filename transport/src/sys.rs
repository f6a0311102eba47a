//! The system calls that no safe crate wraps: the only `unsafe` of this package.
//!
//! Three things live here. A [`Batch`] is the memory of one `recvmmsg`: many datagrams for one system
//! call, each with the stamp that the kernel gave it. The functions below it ask or tell a socket
//! what `std` and `rustix` have no words for: how much it holds and has dropped (`SO_MEMINFO`),
//! how its group shares out what arrives, and to take nothing more in (classic BPF). And
//! [`give_back_large_memory`] tells the C library's allocator what is to become of large memory, and
//! [`discard_pages`] the kernel what is needed no more.
//!
//! A kernel may refuse any of these (gVisor does): each call says so, nothing here panics.

#![allow(unsafe_code, reason = "recvmmsg and these socket options have no safe wrapper")]

use std::io;
use std::mem::{MaybeUninit, offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_uint, c_void, socklen_t};

use crate::limits::{BATCH_DATAGRAMS_MAX, SLOT_BYTES_MAX};

/// Whether a socket stamps its datagrams with the time at which the kernel got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// No stamp: a datagram arrives when it is read.
    Off,
    /// `SO_TIMESTAMPNS` is set: each datagram brings its stamp.
    On,
}

/// Whether the datagram fitted into its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All bytes that the sender sent.
    Whole,
    /// The slot was too short: the tail is gone.
    Truncated,
}

/// One datagram of the last [`Batch::recv`].
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What arrived, at most as long as a slot.
    pub bytes: &'a [u8],
    /// Whether that is all of it.
    pub extent: Extent,
    /// When the kernel got it, in ns since 1970 (wall clock), if the socket stamps.
    pub kernel_stamp_ns: Option<u64>,
}

/// Bytes from which memory is had from the system by itself.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: c_int = 128 << 10;

/// Has memory of 128 KiB and more mapped by itself, grown without a copy, and given back to the
/// system when it is freed. To be called before there are threads.
///
/// That is what glibc does at first, too; but with the first such block that is freed it raises the
/// bound, up to 32 MiB, and keeps what is below it for itself: with tables that grow and payloads
/// that come and go, a fifth of the agent's memory. Other libraries decide for themselves.
pub fn give_back_large_memory() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` takes numbers only, and no other thread is in it yet; one that it doesn't
        // know changes nothing.
        let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
        debug_assert_eq!(taken, 1, "a bound that glibc knows");
    }
}

/// Gives the whole pages of memory back to the system. The memory stays where it is, with anything in
/// it.
pub fn discard_pages(memory: &mut [MaybeUninit<u8>]) {
    // SAFETY: asks for a number.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Some(page_bytes) = usize::try_from(page_bytes).ok().filter(|bytes| *bytes > 0) else {
        return;
    };
    let before = memory.as_ptr().align_offset(page_bytes);
    let Some((_, pages)) = memory.split_at_mut_checked(before) else { return };
    let length = pages.len() - pages.len() % page_bytes;
    if length > 0 {
        // SAFETY: these are whole pages of memory that nobody else has, which may hold anything
        // afterwards. A kernel that refuses changes nothing.
        unsafe { libc::madvise(pages.as_mut_ptr().cast(), length, libc::MADV_DONTNEED) };
    }
}

/// The memory for one `recvmmsg`, laid out once and used again for every call and every socket.
///
/// ```text
///  headers[i] ──▶ pieces[i]   ──▶ bytes[i * stride ..][.. slot_bytes]
///             └─▶ controls[i]     room for the stamp and nothing else
/// ```
///
/// The slots stand an odd number of cache lines apart. A power of two would put the first line of
/// every slot, the one that a small datagram fills, into the same few sets of the L1 cache. (A
/// reader that only looks once is not faster for it; it costs nothing either.)
pub struct Batch {
    headers: Vec<libc::mmsghdr>,
    controls: Vec<Control>,
    /// Never read by us: `headers` points to it.
    _pieces: Vec<libc::iovec>,
    bytes: Vec<u8>,
    slot_bytes: usize,
    stride_bytes: usize,
    /// Datagrams of the last call: these headers have been written by the kernel. `<= headers.len()`
    filled: usize,
    /// What the headers that `filled` does not cover are armed for.
    armed: Stamps,
}

// SAFETY: the raw pointers in `headers` and `_pieces` lead only into the other vectors of the same
// batch, which move with it (their heap blocks stay where they are), and none is handed out. Test:
// `batch_can_move_to_another_thread`.
unsafe impl Send for Batch {}

const CACHE_LINE_BYTES: usize = 64;

impl Batch {
    /// Lays out memory for `datagrams` datagrams a call (1 to [`BATCH_DATAGRAMS_MAX`]) of up to
    /// `slot_bytes` bytes each (0 to [`SLOT_BYTES_MAX`]); what lies beyond is taken for the bound.
    /// Pages that no datagram reaches cost nothing.
    #[must_use]
    pub fn new(datagrams: usize, slot_bytes: usize) -> Self {
        let datagrams = datagrams.clamp(1, BATCH_DATAGRAMS_MAX);
        let slot_bytes = slot_bytes.min(SLOT_BYTES_MAX);
        let stride_bytes = (slot_bytes.div_ceil(CACHE_LINE_BYTES) | 1) * CACHE_LINE_BYTES;
        let mut bytes: Vec<u8> = vec![0; datagrams * stride_bytes];
        let mut controls = vec![Control::EMPTY; datagrams];
        // Pointers of the vectors themselves, not of references into them: those would have to
        // stay unused as long as the vectors are read.
        let mut pieces: Vec<_> = (0..datagrams)
            .map(|index| libc::iovec {
                iov_base: bytes.as_mut_ptr().wrapping_add(index * stride_bytes).cast(),
                iov_len: slot_bytes,
            })
            .collect();
        let headers = (0..datagrams)
            .map(|index| {
                // SAFETY: `mmsghdr` is plain C data (numbers and raw pointers, on some targets
                // padding without a public name); all zeroes is a valid value of it. Test:
                // `sizes_out_of_range_are_brought_into_it`.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = pieces.as_mut_ptr().wrapping_add(index);
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = controls.as_mut_ptr().wrapping_add(index).cast();
                header
            })
            .collect();
        Self {
            headers,
            controls,
            _pieces: pieces,
            bytes,
            slot_bytes,
            stride_bytes,
            filled: 0,
            armed: Stamps::Off,
        }
    }

    /// Returns how many datagrams one call can bring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Reads up to `datagrams_max` datagrams that wait in `socket` and returns how many came: 0 if
    /// none waited. Never blocks, whatever the mode of the socket. Replaces the datagrams of the
    /// call before. One system call.
    ///
    /// With [`Stamps::Off`] no control message is taken at all; with [`Stamps::On`] there is room
    /// for the stamp alone. File descriptors that a client attaches are therefore closed by the
    /// kernel, provided that the socket really stamps.
    ///
    /// # Errors
    ///
    /// What `recvmmsg` reports, but for an empty queue and an interruption by a signal.
    pub fn recv(
        &mut self,
        socket: BorrowedFd<'_>,
        stamps: Stamps,
        datagrams_max: usize,
    ) -> io::Result<usize> {
        self.rearm(stamps);
        let headers_max = c_uint::try_from(datagrams_max.min(self.headers.len()))
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        loop {
            // SAFETY: `headers` holds at least `headers_max` headers. Each points to one `iovec` of
            // `slot_bytes` bytes and to one `Control`, all owned by `self`, which is borrowed
            // exclusively for the call; `rearm` made every control length 0 or the size of a
            // `Control`. No name is asked for, and there is no timeout. Tests:
            // `call_takes_no_more_than_asked_for_and_leaves_the_rest` and those beside it.
            let received = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    headers_max,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(received) = usize::try_from(received) {
                self.filled = received.min(self.headers.len());
                return Ok(self.filled);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(0),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }

    /// Returns datagram `index` of the last [`recv`](Self::recv), in the order of the socket's queue.
    #[must_use]
    pub fn datagram(&self, index: usize) -> Option<Received<'_>> {
        let header = self.headers.get(..self.filled)?.get(index)?;
        let start = index.checked_mul(self.stride_bytes)?;
        let length = usize::try_from(header.msg_len).ok()?.min(self.slot_bytes);
        let bytes = self.bytes.get(start..)?.get(..length)?;
        let extent = match header.msg_hdr.msg_flags & libc::MSG_TRUNC {
            0 => Extent::Whole,
            _ => Extent::Truncated,
        };
        let kernel_stamp_ns = match self.armed {
            Stamps::Off => None,
            Stamps::On => self.controls.get(index)?.stamp_ns(header.msg_hdr.msg_controllen as _),
        };
        Some(Received { bytes, extent, kernel_stamp_ns })
    }

    /// Returns the datagrams of the last [`recv`](Self::recv), in the order of the socket's queue.
    pub fn datagrams(&self) -> impl Iterator<Item = Received<'_>> + Clone {
        (0..self.filled).map_while(|index| self.datagram(index))
    }

    /// Makes the headers ready for the next call: only those that the last one used, unless the
    /// next socket differs in its stamps.
    fn rearm(&mut self, stamps: Stamps) {
        let control_bytes = match stamps {
            Stamps::Off => 0,
            Stamps::On => size_of::<Control>(),
        };
        let stale = if self.armed == stamps { self.filled } else { self.headers.len() };
        for header in self.headers.iter_mut().take(stale) {
            header.msg_hdr.msg_controllen = control_bytes as _;
        }
        self.armed = stamps;
        self.filled = 0;
    }
}

/// Room for exactly one control message: the stamp.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    stamp: libc::timespec,
}

// The layout that `CMSG_DATA`, `CMSG_LEN` and `CMSG_SPACE` describe.
const _: () = {
    const STAMP_BYTES: c_uint = length_of::<libc::timespec>();
    // SAFETY: both only compute with numbers; here, at compile time.
    let (length, space) = unsafe { (libc::CMSG_LEN(STAMP_BYTES), libc::CMSG_SPACE(STAMP_BYTES)) };
    assert!(offset_of!(Control, stamp) + size_of::<libc::timespec>() == length as usize);
    assert!(size_of::<Control>() == space as usize);
};

impl Control {
    const EMPTY: Self = {
        // SAFETY: `cmsghdr` and `timespec` are plain C data; all zeroes is a valid value of both.
        // Test: `stamps_never_leak_from_one_call_into_the_next`.
        unsafe { std::mem::zeroed() }
    };

    /// Returns the stamp in ns since 1970, if the kernel wrote one into the `written_bytes` bytes
    /// that it filled.
    fn stamp_ns(&self, written_bytes: usize) -> Option<u64> {
        let is_stamp = written_bytes >= offset_of!(Self, stamp) + size_of::<libc::timespec>()
            && self.header.cmsg_level == libc::SOL_SOCKET
            && self.header.cmsg_type == libc::SCM_TIMESTAMPNS;
        if !is_stamp {
            return None;
        }
        let seconds = u64::try_from(self.stamp.tv_sec).ok()?;
        let nanoseconds = u64::try_from(self.stamp.tv_nsec).ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    }
}

/// What a socket says of its own queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Kernel memory that waiting datagrams are charged with, in bytes. 0: nothing waits.
    pub queued_bytes: u32,
    /// The limit of `queued_bytes`, as granted.
    pub receive_buffer_bytes: u32,
    /// Datagrams refused since the socket was made: no room, or [`refuse`]d. Wraps after 2³²: use
    /// differences.
    pub drops: u32,
}

/// Asks `socket` about its queue (`SO_MEMINFO`). One system call.
///
/// # Errors
///
/// `ENOPROTOOPT` from kernels that don't know the option (before Linux 4.12, gVisor).
pub fn queue_info(socket: BorrowedFd<'_>) -> io::Result<QueueInfo> {
    // The numbers up to the drop count, the ninth; a kernel that knows more fills no more.
    let mut info = [0_u32; 9];
    let mut bytes = length_of::<[u32; 9]>();
    // SAFETY: `info` is writable for `bytes` bytes, and `bytes` is a valid `socklen_t`; both
    // outlive the call. Test: `queue_info_shows_what_waits_and_what_was_dropped`.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast::<c_void>(),
            &raw mut bytes,
        )
    };
    checked(status)?;
    if bytes < length_of::<[u32; 9]>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(QueueInfo {
        queued_bytes: info[libc::SK_MEMINFO_RMEM_ALLOC as usize],
        receive_buffer_bytes: info[libc::SK_MEMINFO_RCVBUF as usize],
        drops: info[libc::SK_MEMINFO_DROPS as usize],
    })
}

/// Switches on the kernel's stamps for what arrives from now on (`SO_TIMESTAMPNS`).
///
/// If no socket of the machine stamped before, the kernel needs a moment to begin; what arrives
/// meanwhile is stamped when it is read.
///
/// # Errors
///
/// What the kernel reports; `ENOPROTOOPT` if it has no such option.
pub fn enable_stamps(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the option takes a `c_int`, which holds no pointer. Test:
    // `kernel_stamps_ascend_and_lie_between_send_and_read`.
    unsafe { set_option(socket, libc::SO_TIMESTAMPNS, &on) }
}

/// Makes `socket` take in nothing more: the kernel throws away what arrives and counts it among
/// [`QueueInfo::drops`]. What is queued stays and can be read.
///
/// # Errors
///
/// What the kernel reports; `ENOPROTOOPT` if it has no socket filters.
pub fn refuse(socket: BorrowedFd<'_>) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_FILTER, &mut [instruction(libc::BPF_RET | libc::BPF_K, 0)])
}

/// Takes back what [`refuse`] did.
///
/// # Errors
///
/// What the kernel reports; `ENOENT` if nothing was refused.
pub fn accept_again(socket: BorrowedFd<'_>) -> io::Result<()> {
    let unused: c_int = 0;
    // SAFETY: the option takes a `c_int`, which holds no pointer. Test:
    // `refusing_socket_keeps_its_queue_and_counts_what_comes_late`.
    unsafe { set_option(socket, libc::SO_DETACH_FILTER, &unused) }
}

/// The network protocol that a group of sockets hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Makes the `SO_REUSEPORT` group of `socket`, which has `sockets` members, share out what arrives.
///
/// ```text
///  IPv4:  index = identification of the IP header; if that is 0: a random number
///  IPv6:  index = a random number
///  choose the socket `index % sockets`
/// ```
///
/// Linux counts the identification up from datagram to datagram on each connected socket, so that
/// a burst of one client fills the group evenly: it holds a third more than by chance. Sockets that
/// aren't connected send 0.
///
/// # Errors
///
/// What the kernel reports: `EINVAL` if `socket` is in no group, `ENOPROTOOPT` if the kernel has no
/// such option (before Linux 4.5, gVisor).
pub fn spread(socket: BorrowedFd<'_>, sockets: u32, family: Family) -> io::Result<()> {
    const IDENTIFICATION: u32 = (libc::SKF_NET_OFF + 4) as u32;
    const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, IDENTIFICATION),
        // Anything but 0: skip the next one.
        libc::sock_filter { jf: 1, ..instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0) },
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, RANDOM),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, sockets),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let [_, _, at_random @ ..] = &mut program;
    match family {
        Family::V4 => attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &mut program),
        Family::V6 => attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, at_random),
    }
}

/// One classic BPF instruction that goes on to the next.
fn instruction(code: u32, operand: u32) -> libc::sock_filter {
    // The operation codes are defined as 16-bit numbers; the constants only come wider.
    libc::sock_filter { code: (code & 0xffff) as u16, jt: 0, jf: 0, k: operand }
}

fn attach(
    socket: BorrowedFd<'_>,
    option: c_int,
    program: &mut [libc::sock_filter],
) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: both options that we pass take a `sock_fprog`; its pointer leads to `length`
    // instructions that outlive the call. The kernel copies them and checks what they do. Tests:
    // `refusing_socket_keeps_its_queue_and_counts_what_comes_late`, and of the group
    // `group_spreads_one_sender_over_all_its_sockets`.
    unsafe { set_option(socket, option, &program) }
}

/// Sets a `SOL_SOCKET` option.
///
/// # Safety
///
/// - `option` takes a value of the layout of `T`;
/// - pointers inside `value` lead to memory that is valid for what the option does with it.
unsafe fn set_option<T>(socket: BorrowedFd<'_>, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for the length given and outlives the call; what it points to is
    // the caller's promise. Tests: those of its callers, and for a descriptor that is no socket
    // `descriptor_that_is_no_socket_is_an_error_everywhere`.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            ptr::from_ref(value).cast::<c_void>(),
            length_of::<T>(),
        )
    };
    checked(status)
}

#[expect(clippy::cast_possible_truncation, reason = "no option is longer than some dozen bytes")]
const fn length_of<T>() -> socklen_t {
    size_of::<T>() as socklen_t
}

fn checked(status: c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;

// Here and not in the folder: what is left in memory is only to be seen without its type's promise.
#[cfg(test)]
mod discarding {
    use super::*;

    #[test]
    fn whole_pages_are_discarded_and_nothing_else() {
        const PAGE_BYTES_MAX: usize = 64 << 10;
        let mut memory = vec![MaybeUninit::new(7_u8); 16 * PAGE_BYTES_MAX];
        // Neither begins nor ends at a page.
        discard_pages(&mut memory[1..15 * PAGE_BYTES_MAX]);
        // SAFETY: it was filled, and what the kernel took is zero.
        let bytes: Vec<_> = memory.iter().map(|byte| unsafe { byte.assume_init() }).collect();
        let kept = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 7);
        assert!(kept(&bytes[..1]) && kept(&bytes[15 * PAGE_BYTES_MAX..]));
        assert!(bytes[PAGE_BYTES_MAX..14 * PAGE_BYTES_MAX].iter().all(|byte| *byte == 0));
        discard_pages(&mut memory[1..100]);
        discard_pages(&mut []);
        assert!(kept(&bytes[..1]));
    }
}
