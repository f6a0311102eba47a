//! The spool: payloads that a stop could not deliver, kept on disk for the next start.
//!
//! One file a payload, written whole or not at all, under a name that tells its age. Whoever reads
//! a file holds its lock until the intake has decided, then removes it: so two agents on one folder
//! deliver nothing twice, and an agent that dies leaves its files to the next. A torn file costs
//! itself; files that aren't ours are never touched. The key is in none of them.
//!
//! The spool makes system calls but reads no clock: the time since 1970 comes in as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use super::backoff::Rng;
use super::endpoint::{EndpointId, Fate, Release, Undelivered};
use super::ledger::Tally;
use super::outcome::Taken;
use super::transaction::Ticket;
use crate::limits::{
    SPOOL_AGE_DAYS_DEFAULT, SPOOL_BYTES_DEFAULT, SPOOL_CLAIMS_MAX, SPOOL_FILE_BYTES_MAX,
    SPOOL_FILES_MAX, SPOOL_LOOKS_MAX,
};
use crate::payload::Payload;

mod folder;
mod record;

pub use folder::SpoolError;

use folder::{Entry, Folder, Name};
use record::{Fault, Record};

/// Limits of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Bytes of all files together.
    pub bytes_max: u64,
    /// Age beyond which a payload is not worth sending.
    pub age_max: Duration,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        let age_max = Duration::from_secs(SPOOL_AGE_DAYS_DEFAULT * 86_400);
        Self { bytes_max: SPOOL_BYTES_DEFAULT, age_max }
    }
}

/// Why a payload could not be put into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotStored {
    /// The spool holds as much as it may, and nothing older that could go.
    Full,
    /// The disk, or what this user may use of it, is full.
    NoSpace,
    /// The system refused it for another reason.
    Failed,
    /// The deadline came first.
    Late,
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::NoSpace => "no_space",
            Self::Failed => "failed",
            Self::Late => "late",
        })
    }
}

/// What a spool has done. All only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolCounters {
    /// Put into files.
    pub stored: Tally,
    /// Not put into files, by reason.
    pub not_stored: BTreeMap<NotStored, Tally>,
    /// Read from files.
    pub restored: Tally,
    /// Removed because they were too old.
    pub outdated: Tally,
    /// Removed, oldest first, because newer ones needed the room.
    pub crowded_out: Tally,
    /// Files of ours that were not whole, and were removed.
    pub damaged: u64,
    /// Files for endpoints that are not configured; kept until they are too old.
    pub no_endpoint: u64,
    /// Files that could not be opened, locked, read or removed.
    pub failed: u64,
    /// Files that are not ours, or of a later version; left alone.
    pub foreign: u64,
}

/// A payload read from the spool; to be given to [`super::endpoint::Endpoint::restore`].
#[derive(Debug)]
pub struct Restored {
    /// Its endpoint's place in the list given to [`Spool::claim`].
    pub endpoint: usize,
    /// The payload.
    pub payload: Payload,
    /// Whether the intake may have it already.
    pub taken: Taken,
    /// To be given back with [`Spool::release`] or [`Spool::put`].
    pub ticket: Ticket,
}

/// An open spool.
#[derive(Debug)]
pub struct Spool {
    folder: Folder,
    limits: SpoolLimits,
    rng: Rng,
    /// Files of earlier processes that we have not claimed, with their size.
    files: BTreeMap<Name, u64>,
    /// Files that were too old when the spool was opened, to be removed by and by.
    outdated: Vec<Name>,
    /// Only files older than this have not been looked at by [`Spool::claim`].
    looked_at: Option<Name>,
    /// Files that were looked at while their endpoint had its share of claims, with its place.
    deferred: BTreeMap<Name, usize>,
    /// Most claims of one endpoint.
    share: usize,
    /// Bytes of all files, claimed and our own included.
    bytes: u64,
    claims: BTreeMap<Ticket, Claim>,
    next_ticket: u64,
    /// Counts down: what is put away first is the newest, and names order by age.
    sequence: u32,
    counters: SpoolCounters,
}

/// A file whose content is in memory.
#[derive(Debug)]
struct Claim {
    endpoint: usize,
    name: Name,
    bytes: u64,
    taken: Taken,
    /// Holds the lock.
    _lock: File,
}

impl Spool {
    /// Opens the spool in a folder of its own inside `path`; makes it, mode 0700, if it isn't
    /// there. What is too old at `now_s` (seconds since 1970) goes with the first claims. Allocates a
    /// name a file and reads none.
    ///
    /// # Errors
    /// The folder can't be made or is not private, or files can't be written and locked in it.
    pub fn open(
        path: &Path,
        limits: SpoolLimits,
        mut rng: Rng,
        now_s: u64,
    ) -> Result<Self, SpoolError> {
        let probe = Name { created_s: now_s, sequence: 0, random: rng.bits() };
        let folder = Folder::open(path, probe)?;
        let mut spool = Self {
            folder,
            limits,
            rng,
            files: BTreeMap::new(),
            outdated: Vec::new(),
            looked_at: None,
            deferred: BTreeMap::new(),
            share: SPOOL_CLAIMS_MAX,
            bytes: 0,
            claims: BTreeMap::new(),
            next_ticket: 0,
            sequence: u32::MAX,
            counters: SpoolCounters::default(),
        };
        spool.survey();
        spool.note_outdated(now_s);
        // The bound may have been lowered since; what can't be removed stays.
        let _ = spool.make_room(0);
        Ok(spool)
    }

    /// Reads the next file for one of `endpoints`, newest first, and locks it until the ticket is
    /// given back. Looks at [`SPOOL_LOOKS_MAX`] files at most; `None` if none of them was to be had,
    /// which is the end only if [`Spool::has_more`] says so. The endpoints and their order stay the
    /// same from call to call; each gets its share of the claims.
    pub fn claim(&mut self, endpoints: &[&EndpointId]) -> Option<Restored> {
        self.share = SPOOL_CLAIMS_MAX.div_ceil(endpoints.len().max(1));
        for _ in 0..SPOOL_LOOKS_MAX {
            if let Some(name) = self.outdated.pop() {
                if let Some(tally) = self.discard(name) {
                    self.counters.outdated += tally;
                }
                continue;
            }
            if self.claims.len() >= SPOOL_CLAIMS_MAX {
                return None;
            }
            let name = self.next_name()?;
            let Some((lock, record)) = self.read(name) else { continue };
            let Some(endpoint) = endpoints.iter().position(|&id| *id == record.endpoint) else {
                self.counters.no_endpoint += 1;
                continue;
            };
            if self.has_room(endpoint) {
                return Some(self.hold(endpoint, name, lock, record));
            }
            self.deferred.insert(name, endpoint);
        }
        None
    }

    /// Tells whether another call of [`Spool::claim`] may find something.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let claimable = self.claims.len() < SPOOL_CLAIMS_MAX
            && (self.next_unseen().is_some() || self.next_deferred().is_some());
        claimable || !self.outdated.is_empty()
    }

    /// Gives a ticket back: removes its file, or leaves it to a later start.
    pub fn release(&mut self, release: Release) {
        match release {
            Release::Keep(ticket) => drop(self.claims.remove(&ticket)),
            Release::Remove(ticket) => {
                if let Some(claim) = self.claims.remove(&ticket) {
                    self.remove(claim.name, claim.bytes);
                    self.note(self.folder.sync());
                }
            }
        }
    }

    /// Puts away what an endpoint could not deliver, and says what became of it. To be called for
    /// the newest first. Files of earlier processes make room if need be, oldest first. Writes and
    /// waits for the disk. Call [`Spool::sync`] after the last one.
    pub fn put(&mut self, endpoint: &EndpointId, undelivered: &Undelivered, now_s: u64) -> Fate {
        let tally = Tally::from(&undelivered.payload);
        let claim = undelivered.ticket.and_then(|ticket| Some((ticket, self.claims.get(&ticket)?)));
        let created_s = match claim {
            None => now_s,
            Some((ticket, claim)) if claim.taken == undelivered.taken => {
                self.release(Release::Keep(ticket));
                return Fate::Spooled;
            }
            Some((_, claim)) => claim.name.created_s,
        };
        let record = Record {
            endpoint: endpoint.clone(),
            payload: undelivered.payload.clone(),
            taken: undelivered.taken,
            created_s,
        };
        match (self.store(&record), undelivered.ticket) {
            (Ok(()), ticket) => {
                self.counters.stored += tally;
                if let Some(ticket) = ticket {
                    self.release(Release::Remove(ticket));
                }
                Fate::Spooled
            }
            // The old file still has the payload, though not that the intake may have it.
            (Err(_), Some(ticket)) => {
                self.release(Release::Keep(ticket));
                Fate::Spooled
            }
            (Err(why), None) => {
                *self.counters.not_stored.entry(why).or_default() += tally;
                Fate::GivenUp
            }
        }
    }

    /// Says what becomes of something that there is no time to put away: its file of an earlier run
    /// stays, else it is lost.
    pub fn leave(&mut self, undelivered: &Undelivered) -> Fate {
        if let Some(ticket) = undelivered.ticket {
            self.release(Release::Keep(ticket));
            return Fate::Spooled;
        }
        *self.counters.not_stored.entry(NotStored::Late).or_default() +=
            Tally::from(&undelivered.payload);
        Fate::GivenUp
    }

    /// Makes sure that what was put away survives a crash of the machine.
    pub fn sync(&mut self) {
        self.note(self.folder.sync());
    }

    /// What it has done.
    #[must_use]
    pub const fn counters(&self) -> &SpoolCounters {
        &self.counters
    }

    /// Bytes of all files that it knows of.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the folder, and clears up after writers that died.
    fn survey(&mut self) {
        let entries = self.folder.entries(SPOOL_FILES_MAX);
        let entries = entries.unwrap_or_else(|_| {
            self.counters.failed += 1;
            Vec::new()
        });
        for entry in entries {
            match entry {
                Entry::Whole(name, bytes) => {
                    self.files.insert(name, bytes);
                    self.bytes = self.bytes.saturating_add(bytes);
                }
                Entry::Part(name) => self.note(self.folder.remove_abandoned(name)),
                Entry::Foreign => self.counters.foreign += 1,
            }
        }
    }

    fn note_outdated(&mut self, now_s: u64) {
        let oldest_s = now_s.saturating_sub(self.limits.age_max.as_secs());
        let oldest = Name { created_s: oldest_s, sequence: 0, random: 0 };
        self.outdated = self.files.range(..oldest).map(|(&name, _)| name).collect();
    }

    /// Takes the next file to look at: one whose endpoint has room for it again, else a new one.
    fn next_name(&mut self) -> Option<Name> {
        if let Some(name) = self.next_deferred() {
            self.deferred.remove(&name);
            return Some(name);
        }
        self.looked_at = Some(self.next_unseen()?);
        self.looked_at
    }

    fn next_unseen(&self) -> Option<Name> {
        let unseen = match self.looked_at {
            Some(newest) => self.files.range(..newest).next_back(),
            None => self.files.last_key_value(),
        };
        unseen.map(|(&name, _)| name)
    }

    fn next_deferred(&self) -> Option<Name> {
        let mut newest_first = self.deferred.iter().rev();
        newest_first.find(|&(_, &endpoint)| self.has_room(endpoint)).map(|(&name, _)| name)
    }

    fn has_room(&self, endpoint: usize) -> bool {
        self.claims.values().filter(|claim| claim.endpoint == endpoint).count() < self.share
    }

    /// Keeps a file locked while its content is in memory.
    fn hold(&mut self, endpoint: usize, name: Name, lock: File, record: Record) -> Restored {
        let Record { payload, taken, .. } = record;
        let bytes = self.files.remove(&name).unwrap_or_default();
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.claims.insert(ticket, Claim { endpoint, name, bytes, taken, _lock: lock });
        self.counters.restored += Tally::from(&payload);
        Restored { endpoint, payload, taken, ticket }
    }

    /// Writes a record into a file of its own.
    fn store(&mut self, record: &Record) -> Result<(), NotStored> {
        let content = record::encode(record).ok_or(NotStored::Full)?;
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if bytes > SPOOL_FILE_BYTES_MAX {
            return Err(NotStored::Full);
        }
        self.make_room(bytes)?;
        self.sequence = self.sequence.wrapping_sub(1);
        let name =
            Name { created_s: record.created_s, sequence: self.sequence, random: self.rng.bits() };
        self.folder.write(name, &content).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => NotStored::NoSpace,
            _ => NotStored::Failed,
        })?;
        self.bytes += bytes;
        Ok(())
    }

    fn make_room(&mut self, bytes: u64) -> Result<(), NotStored> {
        let over = |spool: &Self| spool.bytes.saturating_add(bytes) > spool.limits.bytes_max;
        if bytes > self.limits.bytes_max {
            return Err(NotStored::Full);
        }
        let mut tried = Bound::Unbounded;
        while over(self) {
            let oldest = self.files.range((tried, Bound::Unbounded)).next();
            let (&oldest, _) = oldest.ok_or(NotStored::Full)?;
            tried = Bound::Excluded(oldest);
            if let Some(tally) = self.discard(oldest) {
                self.counters.crowded_out += tally;
            }
        }
        Ok(())
    }

    /// Removes an unclaimed file that holds a payload of ours, and says what it held. `None` if it
    /// is not to be had or was of no use.
    fn discard(&mut self, name: Name) -> Option<Tally> {
        let bytes = *self.files.get(&name)?;
        let (_lock, record) = self.read(name)?;
        self.files.remove(&name);
        self.remove(name, bytes);
        Some(Tally::from(&record.payload))
    }

    /// Locks and reads a file; removes it if it is damaged. `None` if there is nothing to be had
    /// from it: it is another's for now, or not ours at all.
    fn read(&mut self, name: Name) -> Option<(File, Record)> {
        let locked = self.folder.lock(&name.whole());
        let Ok(file) = locked else {
            self.counters.failed += 1;
            return None;
        };
        let file = file?;
        let mut content = Vec::new();
        if (&file).take(SPOOL_FILE_BYTES_MAX + 1).read_to_end(&mut content).is_err() {
            self.counters.failed += 1;
            return None;
        }
        match record::decode(content.into()) {
            Ok(record) => Some((file, record)),
            Err(Fault::Foreign) => {
                self.counters.foreign += 1;
                self.files.remove(&name);
                None
            }
            Err(Fault::Damaged) => {
                self.counters.damaged += 1;
                let bytes = self.files.remove(&name).unwrap_or_default();
                self.remove(name, bytes);
                None
            }
        }
    }

    fn remove(&mut self, name: Name, bytes: u64) {
        let removed = self.folder.remove(name);
        if removed.is_ok() {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        self.note(removed);
    }

    /// Counts what could not be done and has no better place.
    fn note(&mut self, result: io::Result<()>) {
        self.counters.failed += u64::from(result.is_err());
    }
}

#[cfg(test)]
mod tests;
