//! The folder of a spool: names, locks and whole files, through a descriptor of the folder and
//! without following links.

use std::ffi::CStr;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

/// The folder that a spool makes for itself inside the configured one, which may be a volume that
/// others can write to.
const FOLDER: &str = "lastdrop-spool";
/// End of the name of a file that is whole.
const WHOLE: &str = ".payload";
/// End of the name of a file that is being written.
const PART: &str = ".part";

/// Times that somebody may clear away a file between its making and its lock.
const CREATE_ATTEMPTS: usize = 8;

/// Name of a spooled file; names order by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// When its payload was first spooled: seconds since 1970.
    pub(super) created_s: u64,
    /// Order within one process and second; grows from old to new.
    pub(super) sequence: u32,
    /// Keeps two processes apart.
    pub(super) random: u64,
}

/// What stands in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A spooled file with its size in bytes.
    Whole(Name, u64),
    /// A file that is being written, or was when its writer ended.
    Part(Name),
    /// Nothing of ours.
    Foreign,
}

/// Why there is no spool.
#[derive(Debug)]
pub enum SpoolError {
    /// The system refuses something that a spool needs.
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What was refused.
        doing: &'static str,
        /// By this error.
        source: io::Error,
    },
    /// The folder belongs to another user, or others may enter it.
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the spool's folder inside `path`, making both if they aren't there, and tries whether
    /// files can be written and locked.
    pub(super) fn open(path: &Path, probe: Name) -> Result<Self, SpoolError> {
        let own = path.join(FOLDER);
        let unusable = |doing| {
            let path = own.clone();
            move |source: io::Error| SpoolError::Unusable { path, doing, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable("create"))?;
        match rustix::fs::mkdir(&own, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(unusable("create")(error.into())),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, &own, flags, Mode::empty())
            .map_err(|error| unusable("open")(error.into()))?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| unusable("open")(error.into()))?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(SpoolError::NotPrivate { path: own });
        }
        let folder = Self(folder);
        folder.create(&probe.part()).map_err(unusable("write to"))?;
        folder.remove_part(probe).map_err(unusable("remove from"))?;
        Ok(folder)
    }

    /// Lists the folder, at most `most` entries.
    pub(super) fn entries(&self, most: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                entries.push(self.classify(name));
            }
            if entries.len() >= most {
                break;
            }
        }
        Ok(entries)
    }

    /// Opens a file under an exclusive lock, which lasts as long as the file stays open. `None` if
    /// another process has it, or had it and has removed it.
    pub(super) fn lock(&self, name: &str) -> io::Result<Option<File>> {
        // For writing, because some network file systems lock nothing else; without blocking,
        // because a pipe may have taken the name.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        hold(file)
    }

    /// Writes a whole file, durably but for its name (see [`Folder::sync`]): under another name
    /// first, so that no reader ever sees a part. Leaves nothing behind if it fails.
    pub(super) fn write(&self, name: Name, bytes: &[u8]) -> io::Result<()> {
        let part = name.part();
        let mut file = self.create(&part)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
            rustix::fs::renameat(&self.0, &part, &self.0, name.whole()).map_err(Into::into)
        });
        if written.is_err() {
            // The error that matters is the first one.
            let _ = self.remove_part(name);
        }
        written
    }

    /// Makes a new file under a lock, which tells those who clear up after the dead that this
    /// writer lives. One of them may come between the making and the lock; then once more.
    fn create(&self, part: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _attempt in 0..CREATE_ATTEMPTS {
            let file = rustix::fs::openat(&self.0, part, flags, Mode::RUSR | Mode::WUSR)?;
            // Waits at most for somebody to remove it.
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            if rustix::fs::fstat(&file)?.st_nlink > 0 {
                return Ok(file.into());
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Removes a spooled file.
    pub(super) fn remove(&self, name: Name) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name.whole(), AtFlags::empty())?)
    }

    /// Removes what a writer left that has ended; a living one holds its lock.
    pub(super) fn remove_abandoned(&self, name: Name) -> io::Result<()> {
        let Some(_lock) = self.lock(&name.part())? else { return Ok(()) };
        match self.remove_part(name) {
            // It lived, and has finished between two of our calls.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn remove_part(&self, name: Name) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name.part(), AtFlags::empty())?)
    }

    /// Makes names durable: those written and those removed.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    fn classify(&self, file: &CStr) -> Entry {
        let parsed = || {
            let text = file.to_str().ok()?;
            let stat = rustix::fs::statat(&self.0, file, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            if !FileType::from_raw_mode(stat.st_mode).is_file() {
                return None;
            }
            if let Some(stem) = text.strip_suffix(PART) {
                return Some(Entry::Part(Name::parse(stem)?));
            }
            let size = u64::try_from(stat.st_size).ok()?;
            Some(Entry::Whole(Name::parse(text.strip_suffix(WHOLE)?)?, size))
        };
        parsed().unwrap_or(Entry::Foreign)
    }
}

/// Locks an open file. `None` if another process holds it, if it has been removed since it was
/// opened, or if it is no file at all.
fn hold(file: OwnedFd) -> io::Result<Option<File>> {
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let stat = rustix::fs::fstat(&file)?;
    let ours = FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_nlink > 0;
    Ok(ours.then(|| File::from(file)))
}

impl Name {
    /// Its name when it is whole.
    pub(super) fn whole(self) -> String {
        format!("{self}{WHOLE}")
    }

    fn part(self) -> String {
        format!("{self}{PART}")
    }

    /// Reads back what `Display` writes, and nothing else.
    fn parse(stem: &str) -> Option<Self> {
        let mut fields = stem.split('-');
        let created_s = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let random = u64::from_str_radix(fields.next()?, 16).ok()?;
        let name = Self { created_s, sequence, random };
        (name.to_string() == stem).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{:010}-{:016x}", self.created_s, self.sequence, self.random)
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { path, doing, source } => write!(
                f,
                "no spool: can't {doing} {}: {source}; set forwarder_storage_path to a folder that \
                 this user can write to",
                path.display()
            ),
            Self::NotPrivate { path } => write!(
                f,
                "no spool: {} belongs to another user or is open to others; remove it or set \
                 forwarder_storage_path to another folder",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unusable { source, .. } => Some(source),
            Self::NotPrivate { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { created_s: 1, sequence: 2, random: 3 };

    /// Another agent may remove a file between our opening it and our locking it.
    #[test]
    fn a_file_that_was_removed_after_it_was_opened_is_not_ours_to_deliver() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let [first, second] = [(); 2].map(|()| OwnedFd::from(File::open(&path).unwrap()));
        let held = hold(first).unwrap();
        assert!(held.is_some());
        std::fs::remove_file(&path).unwrap();
        drop(held);
        assert!(hold(second).unwrap().is_none());
    }

    /// Something may take the name of a file after the folder was listed.
    #[test]
    fn a_link_or_a_folder_under_our_name_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), NAME).unwrap();
        let path = dir.path().join(FOLDER).join(NAME.whole());
        std::fs::write(dir.path().join("outside"), "content").unwrap();
        std::os::unix::fs::symlink(dir.path().join("outside"), &path).unwrap();
        assert!(folder.lock(&NAME.whole()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(folder.lock(&NAME.whole()).is_err());
    }

    #[test]
    fn a_name_reads_back_and_orders_by_age() {
        let old = Name { created_s: 9, sequence: 10, random: u64::MAX };
        let new = Name { created_s: 10, sequence: 0, random: 0 };
        let newer = Name { created_s: 10, sequence: 1, random: 0 };
        assert!(old < new && new < newer);
        assert!(old.whole() < new.whole() && new.whole() < newer.whole());
        for name in [old, new, newer] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn what_only_resembles_a_name_is_none() {
        let real = NAME.to_string();
        for text in ["", "1-2-3", "a-b-c", &format!("{real}-4"), &format!("+{}", &real[1..])] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}
