//! Files of the spool: what is in the folder at the start is read, left alone or removed as it
//! deserves.

#![expect(clippy::expect_used, reason = "without a folder there is nothing to test")]

use std::fs;
use std::path::{Path, PathBuf};

use lastdrop_transport::forward::backoff::Rng;
use lastdrop_transport::forward::endpoint::{EndpointId, Release};
use lastdrop_transport::forward::outcome::Taken;
use lastdrop_transport::forward::spool::{Spool, SpoolLimits};

/// When the agent starts: seconds since 1970.
const NOW_S: u64 = 1_756_737_057;

/// For all files: one that is whole, with a good checksum, is given out as an independent reading of
/// the format has it; one of ours that isn't is removed and counted; one that isn't ours stays as it
/// is. The first byte says whether the checksum behind the rest is put right first.
pub fn spool(data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    let mut content = content.to_vec();
    if choice & 1 == 1 {
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        content.extend_from_slice(&crc.sum().to_le_bytes());
    }
    let root = tempfile::tempdir_in(memory()).expect("a folder");
    let limits = SpoolLimits { bytes_max: 1 << 20, ..SpoolLimits::default() };
    let open = |seed| Spool::open(root.path(), limits, Rng::from_seed(seed), NOW_S);
    drop(open(1).expect("a new spool"));
    let file = format!("{:012}-{:010}-{:016x}.payload", NOW_S - 10, 7, 0xabc);
    let path = root.path().join("lastdrop-spool").join(file);
    fs::write(&path, &content).expect("a file");

    let mut spool = open(2).expect("the same spool");
    assert_eq!(spool.bytes(), content.len() as u64);
    match read(&content) {
        Reading::Foreign => {
            assert!(spool.claim(&[]).is_none());
            assert_eq!(spool.counters().foreign, 1);
            assert_eq!(fs::read(&path).ok(), Some(content));
        }
        Reading::Damaged => {
            assert!(spool.claim(&[]).is_none());
            assert_eq!((spool.counters().damaged, spool.bytes()), (1, 0));
            assert!(!path.exists());
        }
        Reading::Whole(record) => check_whole(&mut spool, &path, &record),
    }
    assert_eq!(spool.counters().failed, 0);
}

fn check_whole(spool: &mut Spool, path: &Path, record: &Record<'_>) {
    let other = EndpointId::new("https://nobody.invalid", 9);
    let id = EndpointId::new(record.base_url, record.slot);
    let restored = spool.claim(&[&other, &id]).expect("a whole file is given out");
    assert_eq!(restored.endpoint, usize::from(id != other));
    assert_eq!(restored.payload.kind as u8, record.kind);
    assert_eq!(restored.payload.encoding as u8, record.encoding);
    assert_eq!(restored.taken, if record.taken == 0 { Taken::No } else { Taken::Maybe });
    assert_eq!((restored.payload.items, restored.payload.points), (record.items, record.points));
    assert_eq!(restored.payload.body, record.body);
    assert!(spool.claim(&[&id]).is_none(), "a file is given out once");
    spool.release(Release::Remove(restored.ticket));
    assert!(!path.exists());
    assert_eq!(spool.bytes(), 0);
}

/// What a file is.
enum Reading<'a> {
    Foreign,
    Damaged,
    Whole(Record<'a>),
}

/// The fields of a whole file.
struct Record<'a> {
    slot: u16,
    kind: u8,
    encoding: u8,
    taken: u8,
    items: u64,
    points: u64,
    base_url: &'a str,
    body: &'a [u8],
}

/// Reads a file by the table in `transport/src/forward/spool/record.rs`.
fn read(content: &[u8]) -> Reading<'_> {
    const MAGIC: &[u8] = b"lastdrop";
    let is_ours = if content.len() < 10 {
        MAGIC.starts_with(content) || content.starts_with(MAGIC)
    } else {
        content.starts_with(b"lastdrop\x01\x00")
    };
    if !is_ours {
        return Reading::Foreign;
    }
    fields(content).map_or(Reading::Damaged, Reading::Whole)
}

fn fields(content: &[u8]) -> Option<Record<'_>> {
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = content.get(at..at + bytes)?;
        Some(field.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    let mut crc = flate2::Crc::new();
    crc.update(content.get(..content.len().checked_sub(4)?)?);
    if number(content.len() - 4, 4)? != u64::from(crc.sum()) {
        return None;
    }
    let url_end = 56 + usize::try_from(number(48, 4)?).ok()?;
    let body_end = url_end + usize::try_from(number(52, 4)?).ok()?;
    let record = Record {
        slot: u16::try_from(number(10, 2)?).ok()?,
        kind: *content.get(12)?,
        encoding: *content.get(13)?,
        taken: *content.get(14)?,
        items: number(16, 8)?,
        points: number(24, 8)?,
        base_url: str::from_utf8(content.get(56..url_end)?).ok()?,
        body: content.get(url_end..body_end)?,
    };
    let is_known = record.kind < 6 && record.encoding < 4 && record.taken < 2;
    (is_known && body_end + 4 == content.len()).then_some(record)
}

/// A folder in memory where there is one: no disk is to wear out.
fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}
