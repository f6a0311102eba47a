//! Against real sockets: what a batch brings, and what the options do to a queue.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::*;

/// Longest time that anything may take; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

fn udp_pair() -> (UdpSocket, UdpSocket) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    (receiver, sender)
}

fn texts(batch: &Batch) -> Vec<Vec<u8>> {
    batch.datagrams().map(|datagram| datagram.bytes.to_vec()).collect()
}

fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[test]
fn batch_brings_datagrams_in_the_order_of_the_queue() {
    let (receiver, sender) = udp_pair();
    let mut batch = Batch::new(8, 16);
    for text in ["a", "", "ccc"] {
        sender.send(text.as_bytes()).unwrap();
    }
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 8).unwrap(), 3);
    assert_eq!(texts(&batch), [b"a".as_slice(), b"", b"ccc"]);
    assert!(batch.datagram(3).is_none());
}

/// The sockets here are blocking ones: it is the call that never waits.
#[test]
fn empty_socket_gives_nothing_and_forgets_the_datagrams_before() {
    let (receiver, sender) = udp_pair();
    let mut batch = Batch::new(4, 16);
    sender.send(b"a").unwrap();
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 4).unwrap(), 1);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 4).unwrap(), 0);
    assert!(batch.datagram(0).is_none());
    assert_eq!(batch.datagrams().count(), 0);
}

#[test]
fn call_takes_no_more_than_asked_for_and_leaves_the_rest() {
    let (receiver, sender) = udp_pair();
    let mut batch = Batch::new(4, 16);
    for text in ["1", "2", "3", "4", "5", "6"] {
        sender.send(text.as_bytes()).unwrap();
    }
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 1).unwrap(), 1);
    assert_eq!(texts(&batch), [b"1"]);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 100).unwrap(), 4, "the batch's capacity");
    assert_eq!(texts(&batch), [b"2", b"3", b"4", b"5"]);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 0).unwrap(), 0);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 4).unwrap(), 1);
    assert_eq!(texts(&batch), [b"6"]);
}

/// For all lengths around the slot: exactly the longer ones are truncated, and no neighbour is hurt.
#[test]
fn datagram_longer_than_its_slot_is_flagged_and_cut() {
    let (receiver, sender) = udp_pair();
    for slot_bytes in [1, 63, 64, 65, 100, 128] {
        let mut batch = Batch::new(3, slot_bytes);
        for length in slot_bytes - 1..slot_bytes + 3 {
            let sent = vec![b'x'; length];
            for datagram in [b"".as_slice(), &sent, b""] {
                sender.send(datagram).unwrap();
            }
            assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 3).unwrap(), 3);
            let middle = batch.datagram(1).unwrap();
            assert_eq!(middle.bytes, &sent[..length.min(slot_bytes)]);
            let extent = if length > slot_bytes { Extent::Truncated } else { Extent::Whole };
            assert_eq!(middle.extent, extent, "{length} bytes into {slot_bytes}");
            assert_eq!(batch.datagram(0).unwrap().bytes, b"");
            assert_eq!(batch.datagram(2).unwrap().bytes, b"");
        }
    }
}

#[test]
fn sizes_out_of_range_are_brought_into_it() {
    assert_eq!(Batch::new(0, 0).capacity(), 1);
    assert_eq!(Batch::new(usize::MAX, 1).capacity(), BATCH_DATAGRAMS_MAX);
    let (receiver, sender) = udp_pair();
    sender.send(&[b'x'; 60_000]).unwrap();
    let mut batch = Batch::new(1, usize::MAX);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 1).unwrap(), 1);
    assert_eq!(batch.datagram(0).unwrap().bytes, [b'x'; 60_000]);
    sender.send(b"a").unwrap();
    let mut batch = Batch::new(0, 0);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 1).unwrap(), 1);
    assert_eq!(batch.datagram(0).unwrap().extent, Extent::Truncated);
}

/// The kernel begins to stamp a little after the first socket of the machine asked for it, and until
/// then stamps at the read: wait for a datagram whose stamp is older than the read.
fn send_until_stamped_on_arrival(receiver: BorrowedFd<'_>, send: impl Fn(), batch: &mut Batch) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        send();
        let before_read_ns = now_ns();
        assert_eq!(batch.recv(receiver, Stamps::On, 1).unwrap(), 1);
        if batch.datagram(0).unwrap().kernel_stamp_ns.unwrap() <= before_read_ns {
            return;
        }
    }
    panic!("the kernel never stamped on arrival");
}

#[test]
fn kernel_stamps_ascend_and_lie_between_send_and_read() {
    let (receiver, sender) = udp_pair();
    enable_stamps(receiver.as_fd()).unwrap();
    let mut batch = Batch::new(64, 16);
    send_until_stamped_on_arrival(receiver.as_fd(), || drop(sender.send(b"a")), &mut batch);
    let before_ns = now_ns();
    for _ in 0..64 {
        sender.send(b"a").unwrap();
    }
    let after_ns = now_ns();
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::On, 64).unwrap(), 64);
    let stamps: Vec<u64> = batch.datagrams().map(|d| d.kernel_stamp_ns.unwrap()).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    assert!(before_ns <= stamps[0] && stamps[63] <= after_ns, "{before_ns} {stamps:?} {after_ns}");
}

/// One batch serves sockets with and without stamps in turn, and each answer is its own.
#[test]
fn stamps_never_leak_from_one_call_into_the_next() {
    let (stamped, sender) = udp_pair();
    let (plain, plain_sender) = udp_pair();
    enable_stamps(stamped.as_fd()).unwrap();
    let mut batch = Batch::new(2, 16);
    for _ in 0..3 {
        for _ in 0..2 {
            sender.send(b"a").unwrap();
            plain_sender.send(b"b").unwrap();
        }
        assert_eq!(batch.recv(stamped.as_fd(), Stamps::On, 2).unwrap(), 2);
        assert!(batch.datagrams().all(|datagram| datagram.kernel_stamp_ns.is_some()));
        // Asked for stamps that this socket doesn't give.
        assert_eq!(batch.recv(plain.as_fd(), Stamps::On, 1).unwrap(), 1);
        assert_eq!(batch.datagram(0).unwrap().kernel_stamp_ns, None);
        assert_eq!(batch.recv(plain.as_fd(), Stamps::Off, 2).unwrap(), 1);
        assert_eq!(batch.datagram(0).unwrap().kernel_stamp_ns, None);
    }
}

/// A client of a unix socket may attach descriptors: they must not pile up in this process. A pipe
/// tells: its reader meets the end only when nobody holds the other side any more.
#[test]
fn descriptors_that_a_client_attaches_are_not_kept() {
    for stamps in [Stamps::Off, Stamps::On] {
        let (receiver, sender) = UnixDatagram::pair().unwrap();
        if stamps == Stamps::On {
            enable_stamps(receiver.as_fd()).unwrap();
        }
        let (mut pipe_reader, pipe_writer) = io::pipe().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        let attached = [pipe_writer.as_fd()];
        assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&attached)));
        let flags = rustix::net::SendFlags::empty();
        rustix::net::sendmsg(&sender, &[io::IoSlice::new(b"a")], &mut control, flags).unwrap();
        drop(pipe_writer);

        let mut batch = Batch::new(4, 16);
        assert_eq!(batch.recv(receiver.as_fd(), stamps, 4).unwrap(), 1);
        assert_eq!(batch.datagram(0).unwrap().kernel_stamp_ns.is_some(), stamps == Stamps::On);
        let mut rest = Vec::new();
        assert_eq!(io::Read::read_to_end(&mut pipe_reader, &mut rest).unwrap(), 0);
    }
}

#[test]
fn batch_can_move_to_another_thread() {
    let (receiver, sender) = udp_pair();
    let mut batch = Batch::new(2, 16);
    sender.send(b"a").unwrap();
    let batch = std::thread::spawn(move || {
        batch.recv(receiver.as_fd(), Stamps::Off, 2).unwrap();
        batch
    });
    assert_eq!(texts(&batch.join().unwrap()), [b"a"]);
}

#[test]
fn descriptor_that_is_no_socket_is_an_error_everywhere() {
    let (pipe, _writer) = io::pipe().unwrap();
    let no_socket = Some(libc::ENOTSOCK);
    let mut batch = Batch::new(1, 1);
    let error = batch.recv(pipe.as_fd(), Stamps::Off, 1).unwrap_err();
    assert_eq!(error.raw_os_error(), no_socket);
    assert_eq!(queue_info(pipe.as_fd()).unwrap_err().raw_os_error(), no_socket);
    assert_eq!(refuse(pipe.as_fd()).unwrap_err().raw_os_error(), no_socket);
    assert_eq!(accept_again(pipe.as_fd()).unwrap_err().raw_os_error(), no_socket);
    assert_eq!(spread(pipe.as_fd(), 2, Family::V6).unwrap_err().raw_os_error(), no_socket);
    assert_eq!(enable_stamps(pipe.as_fd()).unwrap_err().raw_os_error(), no_socket);
}

#[test]
fn queue_info_shows_what_waits_and_what_was_dropped() {
    let (receiver, sender) = udp_pair();
    let empty = queue_info(receiver.as_fd()).unwrap();
    assert_eq!((empty.queued_bytes, empty.drops), (0, 0));
    let sent = 2 * empty.receive_buffer_bytes / 80;
    for _ in 0..sent {
        sender.send(&[b'x'; 80]).unwrap();
    }
    let full = queue_info(receiver.as_fd()).unwrap();
    assert!(full.queued_bytes > 0 && full.drops > 0, "{full:?}");
    let mut batch = Batch::new(64, 80);
    let mut received = 0;
    while batch.recv(receiver.as_fd(), Stamps::Off, 64).unwrap() > 0 {
        received += u32::try_from(batch.datagrams().count()).unwrap();
    }
    let read = queue_info(receiver.as_fd()).unwrap();
    assert_eq!(read.queued_bytes, 0);
    assert_eq!(received + read.drops, sent);
}

#[test]
fn refusing_socket_keeps_its_queue_and_counts_what_comes_late() {
    let (receiver, sender) = udp_pair();
    sender.send(b"early").unwrap();
    refuse(receiver.as_fd()).unwrap();
    for _ in 0..3 {
        sender.send(b"late").unwrap();
    }
    assert_eq!(queue_info(receiver.as_fd()).unwrap().drops, 3);
    let mut batch = Batch::new(8, 16);
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 8).unwrap(), 1);
    assert_eq!(texts(&batch), [b"early"]);

    accept_again(receiver.as_fd()).unwrap();
    sender.send(b"again").unwrap();
    assert_eq!(batch.recv(receiver.as_fd(), Stamps::Off, 8).unwrap(), 1);
    assert_eq!(texts(&batch), [b"again"]);
}

#[test]
fn spreading_without_a_group_is_an_error() {
    let (receiver, _sender) = udp_pair();
    assert_eq!(
        spread(receiver.as_fd(), 2, Family::V4).unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
}
