//! The spool on a full disk. Alone in its program: it starts another, which for a moment holds copies
//! of all descriptors, and with them the locks by which spools know each other.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use lastdrop_transport::forward::backoff::Rng;
use lastdrop_transport::forward::endpoint::{EndpointId, Fate, Undelivered};
use lastdrop_transport::forward::outcome::{Cause, Taken};
use lastdrop_transport::forward::spool::{NotStored, Spool, SpoolLimits};
use lastdrop_transport::payload::{Encoding, Payload, PayloadKind};

const NOW_S: u64 = 1_756_737_057;

/// Marks the process in which a file may have two blocks: one or two KiB, as the shell counts.
const LIMITED: &str = "LASTDROP_TEST_FILES_ARE_LIMITED";

fn undelivered(points: u64, body_bytes: usize) -> Undelivered {
    let payload = Payload {
        kind: PayloadKind::SeriesV2,
        encoding: Encoding::Zstd,
        body: Bytes::from(vec![b'x'; body_bytes]),
        items: 1,
        points,
        uncompressed_bytes: 100,
    };
    Undelivered { payload, taken: Taken::No, cause: Cause::NeverTried, ticket: None }
}

/// The limit on the size of files stands in for a full disk: like that it lets a write begin and
/// then stops it, and it needs no rights. It binds a whole process, so this test runs itself again
/// in one of its own.
#[test]
fn a_full_disk_costs_what_does_not_fit_and_is_counted() {
    if std::env::var_os(LIMITED).is_none() {
        let script = "trap '' XFSZ; ulimit -f 2; exec \"$0\"";
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(LIMITED, "1");
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let limits = SpoolLimits { bytes_max: 1 << 20, ..SpoolLimits::default() };
    let mut spool = Spool::open(place.path(), limits, Rng::from_seed(1), NOW_S).unwrap();
    let files = || fs::read_dir(place.path().join("lastdrop-spool")).unwrap().map(Result::unwrap);
    let id = EndpointId::new("https://app.datadoghq.eu", 1);
    assert_eq!(spool.put(&id, &undelivered(7, 5000), NOW_S), Fate::GivenUp);
    assert_eq!(spool.counters().not_stored[&NotStored::NoSpace].points, 7);
    assert_eq!(files().count(), 0, "no part is left behind");
    assert_eq!(spool.put(&id, &undelivered(1, 100), NOW_S), Fate::Spooled);
    assert_eq!(spool.bytes(), files().next().unwrap().metadata().unwrap().len());
}
