//! The file that an API key comes from, read again while the agent runs.

use crate::forward::secret::{Secret, UnusableKey};
use crate::limits::KEY_FILE_BYTES_MAX;
use rustix::fs::{Mode, OFlags};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Why a file gives no key. Tells nothing of what is in it.
#[derive(Debug)]
pub(super) enum KeyFileError {
    /// The system refuses to read it.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// By this error.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// What is in it is no key.
    NoKey {
        /// The file.
        path: PathBuf,
        /// Why.
        why: UnusableKey,
    },
}

/// Reads a key. Never waits for a writer, as opening a pipe would.
pub(super) fn read(path: &Path) -> Result<Secret, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(file.map_err(|error| unreadable(error.into()))?);
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(KeyFileError::NoFile { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Secret::parse(&text).map_err(|why| KeyFileError::NoKey { path: path.to_owned(), why })
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, why): (_, &dyn fmt::Display) = match self {
            Self::Unreadable { path, source } => (path, source),
            Self::NoFile { path } => (path, &"it is no file"),
            Self::NoKey { path, why } => (path, why),
        };
        write!(f, "api_key_file {}: {why}", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_without_the_line_end_that_editors_add() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert_eq!(read(&path).unwrap().expose(), "0123456789abcdef");
    }

    /// A pipe without a writer would hold up every delivery.
    #[test]
    fn what_gives_no_key_is_told_with_its_path_and_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        std::fs::write(path("words"), "two words").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        std::fs::write(path("binary"), b"\xff\xfe").unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), fifo, mode, 0).unwrap();
        for name in ["words", "empty", "binary", "pipe", "nothing", "."] {
            let told = read(&path(name)).unwrap_err().to_string();
            assert!(told.contains(dir.path().to_str().unwrap()), "{name}: {told}");
            assert!(!told.contains("two"), "{told}");
        }
    }
}
