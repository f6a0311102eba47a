//! What a stop could not deliver outlives the process, and the key outlives nothing: it is in no
//! file and no output of any run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use lastdrop_lab::intake::{Intake, Script};

use crate::harness::{Ended, Setup, intake, same_count, send, unless_stalled, wait_for};

/// Keys of forms that a careless search or a careless log would let through.
const KEYS: [&str; 3] = [
    "5ecre75ecre75ecre75ecre75ecre7ab",
    "https://user:p4ss@host/?api_key=5ecre7",
    "5e.*c(re7[a-z]+$",
];

/// A sidecar with a spool in `folder` that says all that it can say.
fn with_spool(intake: &Intake, folder: &Path, key: &str) -> Setup {
    Setup::run(intake)
        .env("DD_API_KEY", key)
        .env("DD_FORWARDER_STORAGE_MAX_SIZE_IN_BYTES", "1000000")
        .env("DD_FORWARDER_STORAGE_PATH", folder)
        .env("DD_LOG_LEVEL", "trace")
        .env("LASTDROP_STOP_TIMEOUT", "5s")
}

/// Name, mode and content of every file in the spool.
fn files(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let spool = folder.join("lastdrop-spool");
    let file = |entry: fs::DirEntry| {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let name = entry.file_name().into_string().unwrap();
        (name, mode, fs::read(entry.path()).unwrap())
    };
    fs::read_dir(spool).unwrap().map(|entry| file(entry.unwrap())).collect()
}

#[track_caller]
fn shows_no_key(key: &str, ended: &Ended, folder: &Path) {
    let key = key.as_bytes();
    let holds = |bytes: &[u8]| bytes.windows(key.len()).any(|window| window == key);
    assert!(!holds(ended.to_string().as_bytes()), "{ended}");
    for (name, _, content) in files(folder) {
        assert!(!holds(name.as_bytes()) && !holds(&content), "{name}");
    }
}

/// For keys of all forms: the first life spools, the second delivers, and neither shows the key.
#[test]
fn what_a_stop_could_not_deliver_comes_with_the_next_start() {
    thread::scope(|scope| {
        for key in KEYS {
            scope.spawn(|| spool_and_deliver(key));
        }
    });
}

fn spool_and_deliver(key: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (ended, intake) = unless_stalled(|| {
        let intake = intake("503@10m");
        let agent = with_spool(&intake, folder.path(), key).start();
        send(&agent.udp_target(), &["spooled:1|c"]);
        (agent.stop(), intake)
    });
    assert_eq!(ended.count("/endpoints/0/spooled/payloads"), 1, "{ended}");
    assert_eq!(ended.count("/spool/stored/points"), 1, "{ended}");
    assert_eq!(ended.receipt["balanced"], true, "{ended}");
    assert_eq!(ended.receipt["lossless"], false, "{ended}");
    let [(_, mode, _)] = &files(folder.path())[..] else { panic!("{ended}") };
    assert_eq!(*mode, 0o600);
    shows_no_key(key, &ended, folder.path());

    intake.set_script(Script::default());
    let agent = with_spool(&intake, folder.path(), key).start();
    wait_for(&intake, "the spooled payload", |totals| totals.points > 0);
    let ended = agent.stop();
    ended.is_lossless(0);
    assert_eq!(ended.count("/endpoints/0/restored/payloads"), 1, "{ended}");
    same_count(intake.totals().count("spooled"), 1);
    assert!(files(folder.path()).is_empty(), "{ended}");
    shows_no_key(key, &ended, folder.path());
}

/// The disk takes nothing: that is said and counted, and the agent ends as it would have.
#[test]
fn a_spool_that_cannot_be_made_is_told_and_does_without() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let intake = intake("");
    let agent = with_spool(&intake, &file, KEYS[0]).start();
    send(&agent.udp_target(), &["spooled:1|c"]);
    let ended = agent.stop();
    ended.is_lossless(0);
    assert!(ended.complaints().iter().any(|line| line.contains("no spool")), "{ended}");
    assert!(ended.receipt["spool"].is_null(), "{ended}");
}

/// The key was replaced in its file since the start: the first 403 makes the agent look again.
#[test]
fn a_key_that_was_replaced_in_its_file_is_found_after_a_403() {
    let intake = intake("403");
    let setup = Setup::run(&intake).without("DD_API_KEY");
    let file = setup.path("key");
    fs::write(&file, KEYS[0]).unwrap();
    let agent = setup.env("DD_API_KEY_FILE", &file).start();
    let target = agent.udp_target();
    fs::write(&file, "another\n").unwrap();
    send(&target, &["key:1|c"]);
    let ended = agent.stop();
    ended.is_lossless(0);
    assert_eq!(intake.totals().keys, 2, "{ended}");
    assert_eq!(ended.complaints(), [""; 0], "{ended}");
}

/// One line for a state, not one for each payload.
#[test]
fn a_key_that_is_refused_is_told_once() {
    let intake = intake("403@10m");
    let agent =
        Setup::run(&intake).env("DD_SERIALIZER_MAX_SERIES_POINTS_PER_PAYLOAD", "10").start();
    let target = agent.udp_target();
    for context in 0..50 {
        send(&target, &[&format!("key:1|c|#context:{context}")]);
    }
    let ended = agent.stop();
    assert!(ended.count("/endpoints/0/refused/403/payloads") >= 5, "{ended}");
    let lines = ended.complaints();
    assert!(lines.len() == 1 && lines[0].contains("API key is refused"), "{ended}");
}
