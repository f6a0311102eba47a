//! How many descriptors the listeners may use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::DESCRIPTORS_RESERVED;

/// The soft limit of open files (`RLIMIT_NOFILE`) before and after it was raised. A child process
/// should start with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaisedLimit {
    /// Files.
    pub before: u64,
    /// Files; at most the hard limit.
    pub after: u64,
}

/// Makes room for `sockets` sockets beside [`DESCRIPTORS_RESERVED`] other descriptors, raising the
/// soft limit towards the hard one if it must. Returns how many sockets there is room for, at most
/// as many as asked for, and what was changed.
pub(super) fn reserve(sockets: usize) -> (usize, Option<RaisedLimit>) {
    let limit = getrlimit(Resource::Nofile);
    let Some(after) = wanted(limit, sockets) else { return (room(limit, sockets), None) };
    let raised = Rlimit { current: Some(after), ..limit };
    if setrlimit(Resource::Nofile, raised).is_err() {
        return (room(limit, sockets), None);
    }
    let before = limit.current.unwrap_or(u64::MAX);
    (room(raised, sockets), Some(RaisedLimit { before, after }))
}

/// The soft limit to set, if the present one is too low and can be raised.
fn wanted(limit: Rlimit, sockets: usize) -> Option<u64> {
    let before = limit.current?;
    let needed = u64::try_from(sockets.saturating_add(DESCRIPTORS_RESERVED)).ok()?;
    let after = needed.min(limit.maximum.unwrap_or(u64::MAX));
    (after > before).then_some(after)
}

fn room(limit: Rlimit, sockets: usize) -> usize {
    let files = limit.current.map_or(usize::MAX, |files| files.try_into().unwrap_or(usize::MAX));
    files.saturating_sub(DESCRIPTORS_RESERVED).min(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        soft: Option<u64>,
        hard: Option<u64>,
        sockets: usize,
        after: Option<u64>,
        kept: usize,
    ) {
        let limit = Rlimit { current: soft, maximum: hard };
        assert_eq!(wanted(limit, sockets), after);
        let limit = Rlimit { current: after.or(soft), ..limit };
        assert_eq!(room(limit, sockets), kept);
    }

    #[test]
    fn soft_limit_is_raised_only_as_far_as_needed_and_allowed() {
        check(Some(1024), Some(4096), 512, None, 512);
        check(Some(256), Some(4096), 512, Some(768), 512);
        check(Some(256), Some(300), 512, Some(300), 44);
        check(Some(64), Some(64), 512, None, 0);
        check(Some(64), None, 100, Some(356), 100);
        check(None, None, 512, None, 512);
    }
}
