//! Files in a fresh directory: what is replaced, what is never touched, what is left behind.

use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use tempfile::TempDir;

use super::*;

/// A directory of one test, removed with it.
pub(in crate::listen) struct Directory(TempDir);

impl Directory {
    pub(in crate::listen) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(in crate::listen) fn settings(&self) -> UnixSettings {
        UnixSettings::new(self.0.path().join("socket"))
    }
}

fn error(settings: &UnixSettings) -> ListenError {
    bind(settings, Type::DGRAM).map(drop).unwrap_err()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn file_has_the_mode_asked_for_and_goes_with_the_socket() {
    let directory = Directory::new();
    for wanted in [0o722, 0o777, 0o600] {
        let settings = UnixSettings { mode: wanted, ..directory.settings() };
        let (_socket, file) = bind(&settings, Type::DGRAM).unwrap();
        assert_eq!(mode(&settings.path), wanted);
        drop(file);
        assert!(!settings.path.exists());
    }
}

/// The socket itself bears the mode before it has a file, so that the file never has a wider one.
#[test]
fn socket_has_the_mode_before_it_is_bound() {
    let directory = Directory::new();
    let settings = UnixSettings { mode: 0o600, ..directory.settings() };
    let (socket, _file) = bind(&settings, Type::STREAM).unwrap();
    assert_eq!(rustix::fs::fstat(&socket).unwrap().st_mode & 0o777, 0o600);
}

#[test]
fn stale_socket_is_replaced_whatever_its_type_was() {
    let directory = Directory::new();
    let settings = directory.settings();
    for kind in [Type::DGRAM, Type::STREAM] {
        drop(UnixDatagram::bind(&settings.path).unwrap());
        bind(&settings, kind).unwrap();
        drop(UnixListener::bind(&settings.path).unwrap());
        bind(&settings, kind).unwrap();
    }
}

#[test]
fn socket_in_use_is_never_taken() {
    let directory = Directory::new();
    let settings = directory.settings();
    let other = UnixDatagram::bind(&settings.path).unwrap();
    for kind in [Type::DGRAM, Type::STREAM] {
        let error = bind(&settings, kind).map(drop).unwrap_err();
        assert!(matches!(error, ListenError::UnixInUse { .. }), "{error}");
    }
    UnixDatagram::unbound().unwrap().send_to(b"x", &settings.path).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 1);
}

/// A listener whose backlog is full doesn't let another client in, and is in use all the same.
#[test]
fn busy_stream_socket_is_in_use() {
    let directory = Directory::new();
    let settings = directory.settings();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(&settings.path).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let clients: Vec<Socket> = (0..2)
        .map(|_| Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap())
        .collect();
    let full = clients.iter().any(|client| client.connect(&address).is_err());
    assert!(full, "the backlog takes one client only");
    let error = bind(&settings, Type::STREAM).map(drop).unwrap_err();
    assert!(matches!(error, ListenError::UnixInUse { .. }), "{error}");
}

#[test]
fn what_is_no_socket_is_an_error_and_stays() {
    let directory = Directory::new();
    let settings = directory.settings();
    fs::write(&settings.path, "precious").unwrap();
    let found = error(&settings);
    assert!(matches!(found, ListenError::UnixPathTaken { .. }), "{found}");
    assert_eq!(fs::read_to_string(&settings.path).unwrap(), "precious");
    fs::remove_file(&settings.path).unwrap();
    fs::create_dir(&settings.path).unwrap();
    assert!(matches!(error(&settings), ListenError::UnixPathTaken { .. }));
}

/// Links to a file, to nothing, and to a stale socket, which would be replaced if it stood here.
#[test]
fn symbolic_link_is_never_followed() {
    let directory = Directory::new();
    let settings = directory.settings();
    let target = directory.0.path().join("target");
    symlink(&target, &settings.path).unwrap();
    for make in [
        (|_| ()) as fn(&Path),
        |path| fs::write(path, "precious").unwrap(),
        |path| drop(fs::remove_file(path).and_then(|()| UnixDatagram::bind(path)).unwrap()),
    ] {
        make(&target);
        let existed = target.exists();
        let found = error(&settings);
        assert!(matches!(found, ListenError::UnixPathTaken { .. }), "{found}");
        assert_eq!(target.exists(), existed);
        assert!(settings.path.is_symlink());
    }
}

/// For all lengths around the limit: what the kernel takes works, what it doesn't is named.
#[test]
fn path_that_is_too_long_is_named_with_both_lengths() {
    let directory = Directory::new();
    let base = directory.0.path().as_os_str().len() + 1;
    for bytes in 105..=110 {
        let settings = UnixSettings::new(directory.0.path().join("s".repeat(bytes - base)));
        let bound = bind(&settings, Type::DGRAM).map(drop);
        assert_eq!(bound.is_ok(), bytes <= UNIX_PATH_BYTES_MAX);
        if let Err(error) = bound {
            assert!(matches!(error, ListenError::UnixPathTooLong { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{bytes} bytes long")), "{error}");
            assert!(error.to_string().contains("107"), "{error}");
        }
    }
}

#[test]
fn missing_directory_is_named() {
    let directory = Directory::new();
    let settings = UnixSettings::new(directory.0.path().join("missing/socket"));
    let found = error(&settings);
    assert!(matches!(found, ListenError::Unix { .. }), "{found}");
    assert!(found.to_string().contains("missing/socket"), "{found}");
}

#[test]
fn file_that_somebody_replaced_is_left_alone() {
    let directory = Directory::new();
    let settings = directory.settings();
    let (_socket, file) = bind(&settings, Type::DGRAM).unwrap();
    fs::remove_file(&settings.path).unwrap();
    let other = UnixDatagram::bind(&settings.path).unwrap();
    drop(file);
    assert!(settings.path.exists());
    drop(other);
    fs::remove_file(&settings.path).unwrap();
    let (_socket, file) = bind(&settings, Type::DGRAM).unwrap();
    fs::remove_file(&settings.path).unwrap();
    drop(file);
    assert!(!settings.path.exists());
}

#[test]
fn mode_is_set_on_the_file_that_was_opened_and_on_no_other() {
    let directory = Directory::new();
    let settings = directory.settings();
    let (socket, file) = bind(&settings, Type::DGRAM).unwrap();
    let victim = directory.0.path().join("victim");
    fs::write(&victim, "").unwrap();
    let before = mode(&victim);
    fs::remove_file(&settings.path).unwrap();
    symlink(&victim, &settings.path).unwrap();
    file.set_mode(Mode::from_raw_mode(0o777)).unwrap();
    assert_eq!(mode(&victim), before);
    assert!(SocketFile::open(&settings.path).is_err(), "a link is not opened as our file");
    assert!(SocketFile::open(&victim).is_err());
    drop((socket.as_fd(), file));
    assert!(settings.path.is_symlink());
}
