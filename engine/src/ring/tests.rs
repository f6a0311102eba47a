//! What goes into a packet ring comes out: whole, in order, wherever the ring wraps.

use super::*;
use proptest::prelude::*;

fn datagram(bytes: &[u8], ns: u64) -> Datagram<'_> {
    Datagram {
        bytes,
        stamp: Stamp::from_ns(ns),
        transport: Transport::UnixDatagram,
        extent: Extent::Truncated,
    }
}

/// Pushes one datagram, or says that the ring is full.
fn push(producer: &mut PacketProducer, bytes: &[u8], ns: u64) -> Result<(), Full> {
    let size = PacketProducer::record_bytes(bytes.len());
    let mut batch = producer.batch(size, size)?;
    batch.push(&datagram(bytes, ns));
    batch.commit();
    Ok(())
}

/// A byte by which the datagram number `index` is recognised.
fn filler(index: usize) -> u8 {
    index.to_le_bytes()[0]
}

#[test]
fn marks_and_datagrams_keep_their_order_and_content() {
    let (mut producer, mut consumer, committed) = packet_ring(0, 0);
    let close = Mark::Close { number: 7, cutoff: Slot::containing(1010), at: Stamp::from_s(1011) };
    let flush = Mark::Flush { number: 3, at: Stamp::from_s(1012) };
    push(&mut producer, b"a:1|c", 5).unwrap();
    let received = Mark::Received { datagrams: 1 };
    producer.mark(close).unwrap();
    producer.mark(received).unwrap();
    producer.mark(flush).unwrap();
    push(&mut producer, b"", 6).unwrap();
    let seal = producer.seal(Stamp::from_s(1013)).unwrap();
    assert_eq!((seal.lane, seal.epoch, committed.observe().epoch), (0, 6, 6));

    let turn = consumer.turn(usize::MAX);
    let mut records = turn.records();
    let seen: Vec<_> = (&mut records).collect();
    assert_eq!(
        seen,
        [
            Record::Datagram(datagram(b"a:1|c", 5)),
            Record::Mark(close),
            Record::Mark(received),
            Record::Mark(flush),
            Record::Datagram(datagram(b"", 6)),
            Record::Mark(Mark::Seal { at: Stamp::from_s(1013) }),
        ]
    );
    let consumed = records.consumed();
    turn.release(consumed);
    assert!(consumer.is_abandoned());
    assert!(consumer.is_empty());
}

#[test]
fn a_batch_is_invisible_until_it_is_committed() {
    let (mut producer, mut consumer, committed) = packet_ring(0, 0);
    let size = PacketProducer::record_bytes(3);
    let mut batch = producer.batch(2 * size, size).unwrap();
    batch.push(&datagram(b"abc", 1));
    assert_eq!(consumer.turn(usize::MAX).records().count(), 0);
    batch.push(&datagram(b"def", 2));
    batch.commit();
    assert_eq!(consumer.turn(usize::MAX).records().count(), 2);
    assert_eq!(committed.observe().epoch, 2);
}

#[test]
fn a_batch_that_is_dropped_leaves_nothing_behind() {
    let (mut producer, mut consumer, _) = packet_ring(0, 0);
    let size = PacketProducer::record_bytes(3);
    producer.batch(size, size).unwrap().push(&datagram(b"abc", 1));
    assert_eq!(producer.epoch(), 0);
    assert_eq!(consumer.turn(usize::MAX).records().count(), 0);
}

proptest! {
    /// For all sequences of datagrams and turns: what comes out is what went in, in order, and a
    /// full ring says so and loses nothing.
    #[test]
    fn everything_comes_out_once_and_in_order(
        lengths in prop::collection::vec(0usize..9000, 1..200),
        turn_bytes in 32usize..70_000,
        greed in 1usize..40,
    ) {
        let (mut producer, mut consumer, _) = packet_ring(0, PACKET_RING_BYTES_MIN);
        let turn_bytes = turn_bytes.max(PacketProducer::record_bytes(9000) + ALIGN);
        let mut sent = lengths.iter().enumerate().map(|(i, &n)| vec![filler(i); n]).peekable();
        let mut received = Vec::new();
        while received.len() < lengths.len() {
            for _ in 0..greed {
                let Some(next) = sent.peek() else { break };
                if push(&mut producer, next, received.len() as u64).is_err() {
                    break;
                }
                sent.next();
            }
            let turn = consumer.turn(turn_bytes);
            let mut records = turn.records();
            for record in &mut records {
                let Record::Datagram(datagram) = record else { panic!("no mark was pushed") };
                received.push(datagram.bytes.to_vec());
            }
            let consumed = records.consumed();
            turn.release(consumed);
        }
        let expected: Vec<_> =
            lengths.iter().enumerate().map(|(i, &n)| vec![filler(i); n]).collect();
        prop_assert_eq!(received, expected);
    }
}
