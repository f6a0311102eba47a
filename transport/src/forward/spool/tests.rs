//! The spool on a real folder: what is kept, what is left alone, who gets what, and what a full
//! disk costs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::forward::endpoint::{Endpoint, EndpointLimits};
use crate::forward::outcome::{Attempt, Cause, Sent, Unanswered};
use crate::forward::secret::Secret;
use crate::payload::{Encoding, PayloadKind};

const NOW_S: u64 = 1_756_737_057;
const DAY_S: u64 = 86_400;
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A folder, and the spools that open it one after another or at once.
struct Place {
    dir: TempDir,
    opened: u64,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), opened: 0 }
    }

    fn open(&mut self) -> Spool {
        self.open_at(NOW_S, 1 << 20)
    }

    fn open_at(&mut self, now_s: u64, bytes_max: u64) -> Spool {
        self.opened += 1;
        let limits = SpoolLimits { bytes_max, ..SpoolLimits::default() };
        Spool::open(self.dir.path(), limits, Rng::from_seed(self.opened), now_s).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("lastdrop-spool")
    }

    /// Names and contents of all that is in the folder.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap_or_default())
            })
            .collect()
    }
}

fn id() -> EndpointId {
    EndpointId::new("https://app.datadoghq.eu", 1)
}

fn undelivered(number: u64) -> Undelivered {
    let payload = Payload {
        kind: PayloadKind::SeriesV2,
        encoding: Encoding::Zstd,
        body: Bytes::from(vec![b'x'; 100]),
        items: 1,
        points: number,
        uncompressed_bytes: 100,
    };
    Undelivered { payload, taken: Taken::No, cause: Cause::NeverTried, ticket: None }
}

/// The numbers of all that can be claimed, in order; claims are kept.
fn claim_all(spool: &mut Spool) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        match spool.claim(&[&id()]) {
            Some(restored) => numbers.push(restored.payload.points),
            None if spool.has_more() => {}
            None => return numbers,
        }
    }
}

#[test]
fn what_was_put_away_is_found_newest_first_and_gone_when_delivered() {
    let mut place = Place::new();
    let mut first = place.open();
    for number in 1..=3 {
        let now_s = NOW_S + number;
        assert_eq!(first.put(&id(), &undelivered(number), now_s), Fate::Spooled);
    }
    first.sync();
    assert_eq!(first.counters().stored.points, 6);
    assert_eq!(claim_all(&mut first), [0_u64; 0], "its own files are for the next start");
    drop(first);

    let mut second = place.open();
    for number in [3, 2, 1] {
        let other = EndpointId::new("https://app.datadoghq.eu", 0);
        let restored = second.claim(&[&other, &id()]).unwrap();
        assert_eq!((restored.endpoint, restored.payload), (1, undelivered(number).payload));
        second.release(Release::Remove(restored.ticket));
    }
    assert!(second.claim(&[&id()]).is_none());
    assert_eq!((second.bytes(), second.counters().restored.points), (0, 6));
    assert!(place.files().is_empty());
}

#[test]
fn folder_and_files_are_for_this_user_only_and_hold_no_key() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.folder()), 0o700);
    let files = place.files();
    assert_eq!(files.len(), 1);
    for (name, content) in files {
        assert_eq!(mode(place.folder().join(name)), 0o600);
        assert!(
            !content.windows(8).any(|window| KEY.as_bytes().windows(8).any(|key| key == window))
        );
        assert!(content.windows(11).any(|window| window == b"datadoghq.e"));
    }
}

/// Two lives of an agent, from the ledger's side: what the first could not deliver the second
/// does, and both balance.
#[test]
fn a_payload_left_by_one_life_is_delivered_by_the_next() {
    let mut place = Place::new();
    let key = || Some(Secret::parse(KEY).unwrap());
    let endpoint = || Endpoint::new(id(), key(), EndpointLimits::default(), Rng::from_seed(1));
    let now = Instant::now();

    let mut first = endpoint();
    for number in 1..=3 {
        first.enqueue(undelivered(number).payload);
    }
    let lost = first.poll_send(now).unwrap();
    let timeout = Attempt::Unanswered { sent: Sent::Whole, why: Unanswered::Timeout };
    first.handle_outcome(lost.id, timeout, now);
    let mut spool = place.open();
    for undelivered in first.finish() {
        let fate = spool.put(&id(), &undelivered, NOW_S);
        first.settle(undelivered, fate);
    }
    spool.sync();
    drop(spool);
    assert_eq!((first.balance(), first.ledger().spooled.points), (Ok(()), 6));

    let mut second = endpoint();
    let mut spool = place.open();
    let mut order = Vec::new();
    while let Some(restored) = spool.claim(&[&id()]) {
        order.push(restored.payload.points);
        second.restore(restored.payload, restored.taken, restored.ticket);
    }
    assert_eq!(order, [3, 2, 1]);
    let accepted = Attempt::Answered { status: 202, retry_after: None, before: Taken::No };
    while let Some(dispatch) = second.poll_send(now) {
        second.handle_outcome(dispatch.id, accepted, now);
    }
    while let Some(release) = second.poll_release() {
        spool.release(release);
    }
    let ledger = second.ledger();
    assert_eq!((second.balance(), ledger.accepted.points), (Ok(()), 6));
    assert_eq!(ledger.duplicates_possible.points, 1, "the doubt outlived the process");
    assert!(place.files().is_empty());
}

#[test]
fn what_is_not_delivered_again_keeps_its_file_and_learns_of_the_doubt() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let before = place.files();

    let mut spool = place.open();
    let claimed = spool.claim(&[&id()]).unwrap();
    let again = Undelivered { ticket: Some(claimed.ticket), ..undelivered(1) };
    assert_eq!(spool.put(&id(), &again, NOW_S + 5), Fate::Spooled);
    assert_eq!(place.files(), before);
    drop(spool);

    let mut spool = place.open();
    let claimed = spool.claim(&[&id()]).unwrap();
    let doubtful =
        Undelivered { ticket: Some(claimed.ticket), taken: Taken::Maybe, ..undelivered(1) };
    assert_eq!(spool.put(&id(), &doubtful, NOW_S + 5), Fate::Spooled);
    drop(spool);

    let mut spool = place.open();
    let restored = spool.claim(&[&id()]).unwrap();
    assert_eq!(restored.taken, Taken::Maybe);
    assert!(spool.claim(&[&id()]).is_none(), "one file, not two");
    let age = |files: BTreeMap<String, Vec<u8>>| files.into_keys().next().unwrap()[..12].to_owned();
    assert_eq!(age(place.files()), age(before), "its age is not renewed");
}

/// A file torn at any byte costs itself: it is removed and counted, its neighbour is delivered.
#[test]
fn a_torn_file_costs_only_itself() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let (name, whole) = place.files().pop_first().unwrap();
    for length in 0..whole.len() {
        let torn =
            Name { created_s: NOW_S, sequence: 100 + u32::try_from(length).unwrap(), random: 0 };
        fs::write(place.folder().join(torn.whole()), &whole[..length]).unwrap();
    }
    let mut spool = place.open();
    assert_eq!(claim_all(&mut spool), [1]);
    assert_eq!(spool.counters().damaged, u64::try_from(whole.len()).unwrap());
    assert_eq!(place.files().into_keys().collect::<Vec<_>>(), [name]);
    assert_eq!(spool.bytes(), u64::try_from(whole.len()).unwrap());
}

#[test]
fn what_is_not_ours_is_left_alone_whatever_its_name() {
    let mut place = Place::new();
    drop(place.open());
    let folder = place.folder();
    let name = |sequence| Name { created_s: 0, sequence, random: 0 }.whole();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    fs::write(folder.join(name(1)), "not a payload at all").unwrap();
    fs::create_dir(folder.join(name(2))).unwrap();
    let fifo = folder.join(name(3));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let names = || {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<BTreeSet<_>>()
    };
    let before = names();
    // Too old, and more than there is room for: all the same.
    let mut spool = place.open_at(NOW_S, 1000);
    assert_eq!(claim_all(&mut spool), [0_u64; 0]);
    assert_eq!(spool.put(&id(), &undelivered(1), NOW_S), Fate::Spooled);
    assert_eq!((spool.counters().foreign, spool.counters().failed), (4, 0));
    assert!(names().is_superset(&before));
}

#[test]
fn links_are_not_followed() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let (name, content) = place.files().pop_first().unwrap();
    let outside = place.dir.path().join("outside");
    fs::rename(place.folder().join(&name), &outside).unwrap();
    symlink(&outside, place.folder().join(&name)).unwrap();
    let mut spool = place.open();
    assert_eq!(claim_all(&mut spool), [0_u64; 0]);
    assert_eq!(spool.counters().foreign, 1);
    assert_eq!(fs::read(&outside).unwrap(), content);

    let other = tempfile::tempdir().unwrap();
    symlink(place.folder(), other.path().join("lastdrop-spool")).unwrap();
    let opened = Spool::open(other.path(), SpoolLimits::default(), Rng::from_seed(1), NOW_S);
    assert!(matches!(opened, Err(SpoolError::Unusable { .. })), "{opened:?}");
}

#[test]
fn a_folder_that_others_may_enter_is_refused_with_a_remedy() {
    let mut place = Place::new();
    drop(place.open());
    fs::set_permissions(place.folder(), Permissions::from_mode(0o750)).unwrap();
    let limits = SpoolLimits::default();
    let error = Spool::open(place.dir.path(), limits, Rng::from_seed(1), NOW_S).unwrap_err();
    assert!(matches!(error, SpoolError::NotPrivate { .. }));
    assert!(error.to_string().contains("forwarder_storage_path"), "{error}");
}

#[test]
fn a_path_that_can_be_no_folder_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Spool::open(&file, SpoolLimits::default(), Rng::from_seed(1), NOW_S).unwrap_err();
    assert!(error.to_string().contains("can't create"), "{error}");
}

#[test]
fn two_agents_on_one_folder_never_hold_the_same_file() {
    let mut place = Place::new();
    let mut first = place.open();
    for number in 1..=10 {
        first.put(&id(), &undelivered(number), NOW_S);
    }
    drop(first);
    let (mut one, mut two) = (place.open(), place.open());
    let mut claimed = Vec::new();
    loop {
        let restored = [one.claim(&[&id()]), two.claim(&[&id()])];
        if restored.iter().all(Option::is_none) {
            break;
        }
        claimed.extend(restored.into_iter().flatten().map(|restored| restored.payload.points));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, (1..=10).collect::<Vec<_>>());
}

/// Two agents that run at once, each delivering what it gets: everything once, and nothing is left.
#[test]
fn two_agents_at_once_deliver_everything_once() {
    let mut place = Place::new();
    let mut first = place.open();
    for number in 1..=200 {
        first.put(&id(), &undelivered(number), NOW_S);
    }
    drop(first);
    let deliver = |mut spool: Spool| {
        let mut delivered = Vec::new();
        while let Some(restored) = spool.claim(&[&id()]) {
            delivered.push(restored.payload.points);
            spool.release(Release::Remove(restored.ticket));
        }
        delivered
    };
    let spools = [place.open(), place.open()];
    let mut delivered: Vec<u64> = std::thread::scope(|scope| {
        let agents = spools.map(|spool| scope.spawn(move || deliver(spool)));
        agents.into_iter().flat_map(|agent| agent.join().unwrap()).collect()
    });
    delivered.sort_unstable();
    assert_eq!(delivered, (1..=200).collect::<Vec<_>>());
    assert!(place.files().is_empty());
}

#[test]
fn an_agent_that_dies_leaves_its_claims_to_the_next() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let mut dead = place.open();
    assert_eq!(claim_all(&mut dead), [1]);
    assert_eq!(claim_all(&mut place.open()), [0_u64; 0]);
    drop(dead);
    assert_eq!(claim_all(&mut place.open()), [1]);
}

#[test]
fn a_part_is_cleared_away_only_when_its_writer_has_ended() {
    let mut place = Place::new();
    drop(place.open());
    let part = place.folder().join("000000000001-0000000001-0000000000000001.part");
    fs::write(&part, "half a pay").unwrap();
    let writer = File::open(&part).unwrap();
    rustix::fs::flock(&writer, rustix::fs::FlockOperation::LockExclusive).unwrap();
    drop(place.open());
    assert!(part.exists());
    drop(writer);
    drop(place.open());
    assert!(!part.exists());
}

#[test]
fn claims_are_bounded_and_go_on_when_tickets_come_back() {
    let mut place = Place::new();
    let mut first = place.open();
    let more = SPOOL_CLAIMS_MAX + 1;
    for _ in 0..more {
        first.put(&id(), &undelivered(1), NOW_S);
    }
    drop(first);
    let mut spool = place.open();
    assert_eq!(claim_all(&mut spool).len(), SPOOL_CLAIMS_MAX);
    spool.release(Release::Remove(Ticket(0)));
    assert_eq!(claim_all(&mut spool).len(), 1);
    assert_eq!(place.files().len(), more - 1);
}

/// A hundred newer files of an endpoint that answers nothing do not keep the healthy one's on disk.
#[test]
fn endpoints_share_the_claims() {
    let mut place = Place::new();
    let dead = EndpointId::new("https://dead.example", 0);
    let mut first = place.open();
    for number in 0..5 {
        first.put(&id(), &undelivered(number), NOW_S);
    }
    for number in 0..100 {
        first.put(&dead, &undelivered(1000 + number), NOW_S + 1);
    }
    drop(first);
    let mut spool = place.open();
    let mut claimed = [0, 0];
    let mut last = None;
    while spool.has_more() {
        if let Some(restored) = spool.claim(&[&dead, &id()]) {
            claimed[restored.endpoint] += 1;
            last = Some(restored);
        }
    }
    assert_eq!(claimed, [SPOOL_CLAIMS_MAX / 2, 5]);
    // A share that comes free is filled with what was put off.
    assert_eq!(last.unwrap().endpoint, 1);
    spool.release(Release::Remove(Ticket(0)));
    let next = spool.claim(&[&dead, &id()]).unwrap();
    assert_eq!((next.endpoint, spool.has_more()), (0, false));
}

/// What stands between two turns of a loop is bounded, however many files are of no use.
#[test]
fn a_claim_looks_at_a_bounded_number_of_files() {
    let mut place = Place::new();
    let mut first = place.open();
    let other = EndpointId::new("https://elsewhere.example", 0);
    first.put(&id(), &undelivered(1), NOW_S);
    for _ in 0..SPOOL_LOOKS_MAX * 2 {
        first.put(&other, &undelivered(2), NOW_S + 1);
    }
    drop(first);
    let mut spool = place.open();
    assert!(spool.claim(&[&id()]).is_none() && spool.has_more());
    assert_eq!(spool.counters().no_endpoint, SPOOL_LOOKS_MAX as u64);
    assert!(spool.claim(&[&id()]).is_none() && spool.has_more());
    assert_eq!(spool.claim(&[&id()]).unwrap().payload.points, 1);
}

#[test]
fn the_oldest_files_make_room_and_our_own_do_not() {
    let mut place = Place::new();
    let mut first = place.open();
    for number in 1..=3 {
        first.put(&id(), &undelivered(number), NOW_S + number);
    }
    let each = first.bytes() / 3;
    drop(first);
    let mut spool = place.open_at(NOW_S, each * 4);
    for number in 11..=14 {
        assert_eq!(spool.put(&id(), &undelivered(number), NOW_S + 100), Fate::Spooled);
        assert!(spool.bytes() <= each * 4);
    }
    assert_eq!(spool.counters().crowded_out.points, 1 + 2 + 3);
    assert_eq!(spool.put(&id(), &undelivered(15), NOW_S + 100), Fate::GivenUp);
    assert_eq!(spool.counters().not_stored[&NotStored::Full].points, 15);
    drop(spool);
    // A lower bound holds from the start.
    let mut spool = place.open_at(NOW_S, each * 2);
    assert_eq!(claim_all(&mut spool), [11, 12], "what was put away first was the newest");
    drop(spool);
    let mut none = place.open_at(NOW_S, 0);
    assert_eq!((claim_all(&mut none), none.bytes()), (vec![], 0));
}

#[test]
fn a_file_that_another_agent_delivers_does_not_make_room() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let mut other = place.open();
    assert_eq!(claim_all(&mut other), [1]);
    let mut spool = place.open_at(NOW_S, other.bytes());
    assert_eq!(spool.put(&id(), &undelivered(2), NOW_S), Fate::GivenUp);
    assert_eq!(spool.counters().crowded_out, Tally::default());
    assert_eq!(place.files().len(), 1);
}

#[test]
fn what_is_too_old_is_removed_and_counted() {
    let mut place = Place::new();
    let mut first = place.open();
    first.put(&id(), &undelivered(1), NOW_S);
    first.put(&id(), &undelivered(2), NOW_S + DAY_S);
    drop(first);
    let mut spool = place.open_at(NOW_S + 10 * DAY_S + 1, 1 << 20);
    assert_eq!(claim_all(&mut spool), [2]);
    assert_eq!(spool.counters().outdated.points, 1);
}

#[test]
fn a_file_for_an_endpoint_that_is_not_configured_stays() {
    let mut place = Place::new();
    place.open().put(&id(), &undelivered(1), NOW_S);
    let mut spool = place.open();
    let other = EndpointId::new("https://app.datadoghq.eu", 0);
    assert!(spool.claim(&[&other]).is_none());
    assert_eq!(spool.counters().no_endpoint, 1);
    drop(spool);
    assert_eq!(claim_all(&mut place.open()), [1]);
}
