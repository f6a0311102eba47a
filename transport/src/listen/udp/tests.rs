//! Real sockets on ephemeral ports of the loopback.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::super::{Listeners, bind, bind_available};
use super::*;
use crate::limits::BURST_BYTES_DEFAULT;
use crate::sys::Batch;

/// `net.core.rmem_default` where nobody changed it, as the kernel counts; `SO_RCVBUF` takes half.
const COMMON_BUFFER_BYTES: usize = 212_992;

fn settings(interfaces: Interfaces) -> ListenSettings {
    let udp = UdpSettings {
        interfaces,
        port: 0,
        receive_buffer_bytes: NonZeroUsize::new(COMMON_BUFFER_BYTES / 2),
        burst_bytes: BURST_BYTES_DEFAULT,
    };
    ListenSettings { udp: Some(udp), ..ListenSettings::default() }
}

fn loopback() -> ListenSettings {
    settings(Interfaces::One(Ipv4Addr::LOCALHOST.into()))
}

fn with_burst(mut settings: ListenSettings, burst_bytes: usize) -> ListenSettings {
    settings.udp = settings.udp.map(|udp| UdpSettings { burst_bytes, ..udp });
    settings
}

fn sender_to(listeners: &Listeners, index: usize) -> UdpSocket {
    let address = listeners.ports.addresses()[index];
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let sender = UdpSocket::bind((any, 0)).unwrap();
    sender.connect(address).unwrap();
    sender
}

fn group(listeners: &Listeners, index: usize) -> GroupReport {
    listeners.report.addresses[index].group.unwrap()
}

/// Reads all sockets until they are empty and returns how many datagrams each held.
fn drain(listeners: &Listeners) -> Vec<u64> {
    let mut batch = Batch::new(64, 128);
    let read = |socket: &Socket| {
        let mut datagrams = 0;
        while let received @ 1.. = socket.receive(&mut batch, 64).unwrap() {
            datagrams += received as u64;
        }
        datagrams
    };
    listeners.sockets.iter().map(read).collect()
}

fn drops(listeners: &Listeners) -> u64 {
    listeners.sockets.iter().map(|socket| u64::from(socket.drops().unwrap())).sum()
}

fn burst(settings: &ListenSettings, datagrams: u64) -> (u64, u64) {
    let listeners = bind(settings).unwrap();
    let sender = sender_to(&listeners, 0);
    for _ in 0..datagrams {
        sender.send(&[b'x'; 80]).unwrap();
    }
    (drain(&listeners).iter().sum(), drops(&listeners))
}

/// Nobody reads until the last datagram is sent. With the buffers of a kernel in its default state,
/// with the largest that a process may ask for there, and with what this machine grants.
#[test]
fn default_group_keeps_a_burst_of_fifty_thousand() {
    for buffer_bytes in [COMMON_BUFFER_BYTES / 2, COMMON_BUFFER_BYTES, 0] {
        let mut settings = loopback();
        settings.udp = settings.udp.map(|udp| UdpSettings {
            receive_buffer_bytes: NonZeroUsize::new(buffer_bytes),
            ..udp
        });
        for run in 0..5 {
            assert_eq!(burst(&settings, 50_000), (50_000, 0), "{buffer_bytes} bytes, run {run}");
        }
    }
}

/// The same burst into one such socket: what the group is there for, and the proof that the test
/// above can fail.
#[test]
fn one_socket_loses_most_of_such_a_burst_and_says_so() {
    let settings = with_burst(loopback(), 0);
    let (received, dropped) = burst(&settings, 50_000);
    assert_eq!(received + dropped, 50_000);
    assert!((200..300).contains(&received), "{received}");
}

/// The seal while a sender goes on, 50 times into a group with room and 50 times into one socket that
/// overflows: what was sent before the first refusal is received or dropped, what comes later is
/// refused and counted, and nothing else happens to any datagram.
#[test]
fn seal_accounts_for_every_datagram_of_a_sender_that_goes_on() {
    for burst_bytes in [4 << 20, 0] {
        for run in 0..50 {
            check_seal(&bind(&with_burst(loopback(), burst_bytes)).unwrap(), 200 + 40 * run);
        }
    }
}

fn check_seal(listeners: &Listeners, datagrams_before: u64) {
    let sender = sender_to(listeners, 0);
    let returned = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (received, drops_before, drops_counted, returned_before, returned_after) =
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    sender.send(&[b'x'; 80]).unwrap();
                    returned.fetch_add(1, Ordering::Release);
                }
            });
            while returned.load(Ordering::Acquire) < datagrams_before {
                thread::yield_now();
            }
            let returned_before = returned.load(Ordering::Acquire);
            let drops_before = drops(listeners);
            for socket in &listeners.sockets {
                socket.refuse().unwrap();
            }
            let returned_after = returned.load(Ordering::Acquire);
            let received: u64 = drain(listeners).iter().sum();
            let drops_counted = drops(listeners);
            for socket in &listeners.sockets {
                assert_eq!(socket.queued_bytes(), Some(0));
            }
            // The sender is at work until here. Of one datagram the drop may be counted, and its send
            // not have returned yet.
            let sent = returned.load(Ordering::Acquire);
            while returned.load(Ordering::Acquire) < sent + 11 {
                thread::yield_now();
            }
            stop.store(true, Ordering::Release);
            (received, drops_before, drops_counted, returned_before, returned_after)
        });
    let sent = returned.load(Ordering::Acquire);
    assert_eq!(drain(listeners).iter().sum::<u64>(), 0, "came after the seal");
    assert_eq!(received + drops(listeners), sent, "all datagrams");
    assert!(received + drops_counted >= returned_before, "sent before the first refusal");
    // At most one send was on its way while the last socket refused.
    assert!(received + drops_before <= returned_after + 1, "counted as in time, but came late");
    assert!(drops(listeners) >= drops_counted + 10, "late datagrams are counted");
}

/// A connected client takes the sockets in turn, so its burst fits to the last place; one that is not
/// connected, or sends over IPv6, is spread by chance.
#[test]
fn group_spreads_one_sender_over_all_its_sockets() {
    let settings = with_burst(settings(Interfaces::Localhost), 16 * COMMON_BUFFER_BYTES);
    let listeners = bind(&settings).unwrap();
    for (index, &address) in listeners.ports.addresses().iter().enumerate() {
        let plan = GroupPlan { sockets: 16, receive_buffer_bytes: COMMON_BUFFER_BYTES };
        let expected = GroupReport { plan, spreading: Spreading::ByDatagram };
        assert_eq!(group(&listeners, index), expected);
        for is_connected in [true, false] {
            let sender = UdpSocket::bind((address.ip(), 0)).unwrap();
            if is_connected {
                sender.connect(address).unwrap();
            }
            for _ in 0..1600 {
                let sent =
                    if is_connected { sender.send(b"x") } else { sender.send_to(b"x", address) };
                sent.unwrap();
            }
            let shares = &drain(&listeners)[16 * index..16 * index + 16];
            assert_eq!(shares.iter().sum::<u64>(), 1600);
            // At most one datagram of them has the identification 0.
            let least = if is_connected && address.is_ipv4() { 99 } else { 40 };
            assert!(shares.iter().all(|&share| share >= least), "{address}: {shares:?}");
        }
    }
}

/// Every place of the group is used: 16 sockets of 256 datagrams keep 4,096, less what the wrap of the
/// identification may put into a wrong place.
#[test]
fn burst_of_a_connected_client_fills_the_group_to_the_brim() {
    let (received, dropped) = burst(&with_burst(loopback(), 16 * COMMON_BUFFER_BYTES), 4096);
    assert_eq!(received + dropped, 4096);
    assert!(dropped <= 2, "{dropped}");
}

#[test]
fn group_on_a_common_kernel_reports_nothing_amiss() {
    let listeners = bind(&with_burst(loopback(), 16 * COMMON_BUFFER_BYTES)).unwrap();
    assert_eq!(listeners.sockets.len(), 16);
    assert_eq!(listeners.report.fallbacks, []);
    assert_eq!(listeners.report.strangers, []);
}

#[test]
fn localhost_is_both_loopback_addresses_on_one_port() {
    let listeners =
        bind(&with_burst(settings(Interfaces::Localhost), 4 * COMMON_BUFFER_BYTES)).unwrap();
    let addresses = listeners.ports.addresses();
    assert_eq!(addresses[0].ip(), Ipv4Addr::LOCALHOST);
    let Some(second) = addresses.get(1) else {
        assert_eq!(listeners.report.fallbacks[0].feature, Feature::Address);
        return;
    };
    assert_eq!(second.ip(), Ipv6Addr::LOCALHOST);
    assert_eq!(second.port(), addresses[0].port());
    for index in 0..2 {
        let sender = sender_to(&listeners, index);
        for _ in 0..100 {
            sender.send(b"x").unwrap();
        }
        let shares = drain(&listeners);
        assert_eq!(shares.len(), 8);
        assert_eq!(shares[4 * index..4 * index + 4].iter().sum::<u64>(), 100);
    }
}

#[test]
fn all_interfaces_are_two_groups_that_do_not_meet() {
    let listeners = bind(&with_burst(settings(Interfaces::All), 0)).unwrap();
    assert_eq!(listeners.ports.addresses()[0].ip(), Ipv4Addr::UNSPECIFIED);
    let to = (Ipv4Addr::LOCALHOST, listeners.ports.addresses()[0].port());
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", to).unwrap();
    assert_eq!(drain(&listeners)[0], 1);
}

#[test]
fn second_lastdrop_on_a_port_is_told_from_a_stranger() {
    let first = bind(&with_burst(loopback(), 2 * COMMON_BUFFER_BYTES)).unwrap();
    let address = first.ports.addresses()[0];
    let mut again = loopback();
    again.udp = again.udp.map(|udp| UdpSettings { port: address.port(), ..udp });
    let error = bind(&again).unwrap_err();
    assert!(matches!(error, ListenError::InUse { holder: Holder::Lastdrop, .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    // Without the lock the port itself is still in the way, and the kernel's table names who.
    again.without = vec![Feature::Lock];
    let (listeners, errors) = bind_available(&again);
    let [ListenError::InUse { holder: Holder::Stranger(strangers), .. }] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert_eq!(strangers.len(), 2);
    assert!(listeners.sockets.is_empty());

    // The port is free again when the first has gone.
    drop(first);
    assert_eq!(bind(&again).unwrap().ports.addresses(), [address]);
}

#[test]
fn port_of_another_program_is_neither_taken_nor_shared() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    SockRef::from(&stranger).set_reuse_port(true).unwrap();
    let address = stranger.local_addr().unwrap();
    let mut settings = loopback();
    settings.udp = settings.udp.map(|udp| UdpSettings { port: address.port(), ..udp });
    let error = bind(&settings).unwrap_err();
    let ListenError::InUse { holder: Holder::Stranger(strangers), .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(strangers[0].address, address);
    assert!(error.to_string().contains("in use by another program"), "{error}");
}

#[test]
fn stranger_that_joins_the_group_later_is_named() {
    let listeners = bind(&with_burst(loopback(), 2 * COMMON_BUFFER_BYTES)).unwrap();
    let address = listeners.ports.addresses()[0];
    assert_eq!(listeners.ports.strangers(), []);
    let stranger = open(Domain::IPV4).unwrap();
    SockRef::from(&stranger).set_reuse_port(true).unwrap();
    SockRef::from(&stranger).bind(&address.into()).unwrap();
    let found = listeners.ports.strangers();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].address, Some(found[0].inode)), (address, stranger.inode()));
}

#[test]
fn address_that_the_machine_has_not_is_an_error_unless_it_is_one_of_two() {
    let nowhere = IpAddr::from([203, 0, 113, 1]);
    let settings = with_burst(settings(Interfaces::One(nowhere)), 0);
    let udp = settings.udp.as_ref().unwrap();
    let error = bind(&settings).unwrap_err();
    assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("203.0.113.1"), "{error}");

    let bound = bind_hosts(&[Ipv4Addr::LOCALHOST.into(), nowhere], udp, &settings);
    assert_eq!((bound.groups.len(), bound.errors.len()), (1, 0));
    assert_eq!(bound.fallbacks[0].feature, Feature::Address);
    assert!(bound.fallbacks[0].place.contains("203.0.113.1"));
}

#[test]
fn configured_buffer_that_is_refused_is_fatal() {
    let settings = ListenSettings { without: vec![Feature::ReceiveBuffer], ..loopback() };
    let error = bind(&settings).unwrap_err();
    assert!(matches!(error, ListenError::ReceiveBuffer { bytes: 106_496, .. }), "{error}");
}

/// Binds a small group on a kernel without `feature` and checks that it is named.
fn without(feature: Feature) -> Listeners {
    let mut settings = with_burst(loopback(), 8 * COMMON_BUFFER_BYTES);
    settings.without = vec![feature];
    let listeners = bind(&settings).unwrap();
    let fallbacks = &listeners.report.fallbacks;
    assert_eq!(fallbacks.len(), 1, "{fallbacks:?}");
    assert_eq!((fallbacks[0].feature, fallbacks[0].errno), (feature, Some(libc::ENOPROTOOPT)));
    let sender = sender_to(&listeners, 0);
    for _ in 0..100 {
        sender.send(b"x").unwrap();
    }
    listeners
}

#[test]
fn kernel_without_shared_ports_gets_one_socket() {
    for feature in [Feature::ReusePort, Feature::Descriptors] {
        let listeners = without(feature);
        assert_eq!(drain(&listeners), [100]);
        let report = group(&listeners, 0);
        assert_eq!((report.plan.sockets, report.spreading), (1, Spreading::None));
        assert_eq!(report.capacity(80), 256);
    }
}

/// Without a configured buffer the one socket that is left gets as much of the burst as it may.
#[test]
fn socket_that_stays_alone_gets_the_largest_buffer() {
    let mut settings = loopback();
    settings.without = vec![Feature::ReusePort];
    settings.receivers = NonZeroUsize::new(4);
    settings.udp = settings.udp.map(|udp| UdpSettings {
        receive_buffer_bytes: None,
        burst_bytes: 4 * COMMON_BUFFER_BYTES,
        ..udp
    });
    let listeners = bind(&settings).unwrap();
    let alone = group(&listeners, 0).plan;
    settings.without = Vec::new();
    let shared = group(&bind(&settings).unwrap(), 0).plan;
    assert_eq!((alone.sockets, shared.sockets), (1, 4));
    assert!(alone.receive_buffer_bytes > shared.receive_buffer_bytes, "{alone:?} {shared:?}");
}

#[test]
fn kernel_without_our_spreading_spreads_by_sender() {
    let listeners = without(Feature::Spread);
    let shares = drain(&listeners);
    assert_eq!(shares.len(), 8);
    assert_eq!(shares.iter().filter(|&&share| share > 0).count(), 1, "{shares:?}");
    let report = group(&listeners, 0);
    assert_eq!((report.spreading, report.capacity(80)), (Spreading::BySender, 256));
}

#[test]
fn kernel_without_stamps_is_not_asked_for_any() {
    let listeners = without(Feature::Stamps);
    let mut batch = Batch::new(8, 16);
    for socket in &listeners.sockets {
        assert_eq!(socket.stamps(), Stamps::Off);
        socket.receive(&mut batch, 8).unwrap();
        assert!(batch.datagrams().all(|datagram| datagram.kernel_stamp_ns.is_none()));
    }
}

#[test]
fn kernel_that_cannot_count_refuse_or_lock_still_listens() {
    for feature in [Feature::QueueInfo, Feature::Refuse, Feature::Lock] {
        assert_eq!(drain(&without(feature)).iter().sum::<u64>(), 100);
    }
}

#[test]
fn kernel_that_grants_no_larger_buffer_leaves_the_default_one() {
    let mut settings = with_burst(loopback(), 8 << 20);
    settings.udp = settings.udp.map(|udp| UdpSettings { receive_buffer_bytes: None, ..udp });
    settings.without = vec![Feature::ReceiveBuffer];
    let listeners = bind(&settings).unwrap();
    let default_bytes = granted(&open(Domain::IPV4).unwrap()).unwrap();
    assert_eq!(group(&listeners, 0).plan.receive_buffer_bytes, default_bytes);
    assert_eq!(listeners.report.fallbacks.len(), 1);
}

#[test]
fn only_sockets_that_share_the_order_of_arrival_are_stamped() {
    let alone = bind(&with_burst(loopback(), 0)).unwrap();
    assert_eq!((alone.sockets.len(), alone.sockets[0].stamps()), (1, Stamps::Off));
    let group = bind(&with_burst(loopback(), 2 * COMMON_BUFFER_BYTES)).unwrap();
    assert!(group.sockets.iter().all(|socket| socket.stamps() == Stamps::On));
}
