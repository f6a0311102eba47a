//! The file of a unix socket: replaced if stale, never taken from somebody, removed if still ours.
//!
//! Who connects to a unix socket nobody holds any more is refused (`ECONNREFUSED`): so a file is
//! stale. What is no socket, or a symbolic link to anything, is not ours to touch.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{ListenError, UnixSettings};
use crate::limits::UNIX_PATH_BYTES_MAX;

/// The file of a bound socket. Dropping it removes it from the directory, unless it has been
/// replaced.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Holds on to the inode, so that its number stays ours.
    handle: OwnedFd,
}

/// Binds a new socket of type `kind` to the path, with exactly the mode that `settings` name.
/// The socket doesn't block.
pub(super) fn bind(
    settings: &UnixSettings,
    kind: Type,
) -> Result<(OwnedFd, SocketFile), ListenError> {
    let path = settings.path.as_path();
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    let bytes = path.as_os_str().len();
    if bytes > UNIX_PATH_BYTES_MAX {
        return Err(ListenError::UnixPathTooLong { path: path.to_owned(), bytes });
    }
    let address = SockAddr::unix(path).map_err(failed)?;
    make_way(path, &address, kind)?;

    let socket = Socket::new(Domain::UNIX, kind.nonblocking(), None).map_err(failed)?;
    // `bind` gives the file the socket's mode less the umask: at no time may more than the mode.
    let mode = Mode::from_raw_mode(settings.mode);
    rustix::fs::fchmod(&socket, mode).map_err(|error| failed(error.into()))?;
    socket.bind(&address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::UnixInUse { path: path.to_owned() },
        _ => failed(error),
    })?;
    let file = SocketFile::open(path).map_err(failed)?;
    file.set_mode(mode).map_err(failed)?;
    Ok((socket.into(), file))
}

/// Removes a stale socket that is in the way.
fn make_way(path: &Path, address: &SockAddr, kind: Type) -> Result<(), ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::UnixPathTaken { path: path.to_owned() });
    }
    let probe = Socket::new(Domain::UNIX, kind.nonblocking(), None).map_err(failed)?;
    let in_use = || ListenError::UnixInUse { path: path.to_owned() };
    let Err(error) = probe.connect(address) else { return Err(in_use()) };
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => {}
        Some(libc::ENOENT) => return Ok(()),
        // A socket of another type, or one whose backlog is full: somebody holds it.
        Some(libc::EPROTOTYPE | libc::EAGAIN) => return Err(in_use()),
        _ => return Err(failed(error)),
    }
    // Another agent may just have replaced it: look again, as late as can be.
    let still = fs::symlink_metadata(path).map_err(failed)?;
    if (still.dev(), still.ino()) != (found.dev(), found.ino()) {
        return Err(in_use());
    }
    fs::remove_file(path).map_err(failed)
}

impl SocketFile {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let status = rustix::fs::fstat(&handle)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Socket {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Self { path: path.to_owned(), handle })
    }

    /// Sets the mode of this very file, whatever has become of its path meanwhile.
    fn set_mode(&self, mode: Mode) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        let path = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        Ok(rustix::fs::chmod(path, mode)?)
    }

    fn is_in_place(&self) -> bool {
        let (Ok(ours), Ok(found)) =
            (rustix::fs::fstat(&self.handle), fs::symlink_metadata(&self.path))
        else {
            return false;
        };
        (ours.st_dev, ours.st_ino) == (found.dev(), found.ino())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            // A file that stays is stale, and replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
