//! What the result of one attempt means for its transaction.
//!
//! | result | transaction | breaker of the route |
//! |---|---|---|
//! | 2xx | accepted | success |
//! | 400, 413 | refused | success |
//! | 403 | refused; sent again at once if the key has been replaced meanwhile | success |
//! | any other status, 3xx too: redirects are not followed | retried | failure |
//! | request not sent, or not whole | retried | failure |
//! | request sent whole, no complete answer | retried, perhaps a duplicate | failure |
//!
//! A kept connection that turns out dead is no attempt: the connections see to it themselves.

use std::fmt;
use std::time::Duration;

use crate::limits::RETRY_AFTER_MAX;

/// What came of one attempt, as the connection saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A complete answer came, be it before the request was sent whole.
    Answered {
        /// Its final status code.
        status: u16,
        /// Its `Retry-After`, as a time from now (see [`super::retry_after::parse`]).
        retry_after: Option<Duration>,
        /// Whether the intake may have taken the request before, on a kept connection that turned
        /// out dead.
        before: Taken,
    },
    /// No byte of the request left for the intake.
    NotSent {
        /// Where it ended.
        why: NotSent,
    },
    /// Some or all of the request was sent and no complete answer came.
    Unanswered {
        /// How much was sent.
        sent: Sent,
        /// How it ended.
        why: Unanswered,
    },
}

/// How much of the request was handed to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Less than `Content-Length` promises: the intake can't have taken it.
    Part,
    /// All of it: the intake may have taken it.
    Whole,
}

/// Where an attempt ended that sent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotSent {
    /// The host's name did not resolve.
    Resolve,
    /// No address took the connection.
    Connect,
    /// No TLS session.
    Tls,
    /// The proxy did not open the way.
    Proxy,
    /// This machine lacks something: descriptors, memory.
    Local,
    /// The deadline of the stop.
    Deadline,
}

/// How an attempt ended that brought no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unanswered {
    /// The connection ended before any byte of the answer.
    Closed,
    /// The connection ended inside the answer.
    Truncated,
    /// The answer breaks the rules of HTTP.
    Malformed,
    /// Nothing came in time.
    Timeout,
    /// The deadline of the stop.
    Deadline,
}

/// Why a transaction is not delivered (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No attempt was made.
    NeverTried,
    /// The intake answered with this status.
    Status(u16),
    /// The request was not sent.
    NotSent(NotSent),
    /// The request was sent, at least in part, and not answered.
    Unanswered(Unanswered),
}

/// Whether the intake may have taken a payload in an attempt that brought no answer. The numbers
/// stand in spooled files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Taken {
    /// No: it never had the whole request, or it answered.
    #[default]
    No = 0,
    /// It had the whole request: sending it again may make a duplicate.
    Maybe = 1,
}

impl Taken {
    /// What is known after both: one doubtful attempt makes the history doubtful.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, Self::No) => Self::No,
            _ => Self::Maybe,
        }
    }
}

/// Whether the key of the attempt is still the endpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsed {
    /// It is.
    Current,
    /// It has been replaced since.
    Replaced,
}

/// What to do with a transaction after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Accepted,
    /// Never to be delivered: the intake says no to this payload.
    Refused {
        /// With this status.
        status: u16,
    },
    /// To be sent again at once; no failure of the intake.
    Resend {
        /// Why the attempt did not count.
        cause: Cause,
    },
    /// To be sent again after a pause.
    Retry {
        /// Why.
        cause: Cause,
        /// Pause that the intake asked for, already cut to [`RETRY_AFTER_MAX`].
        after: Option<Duration>,
    },
}

/// Judges an attempt that used a key that is `key` by now.
#[must_use]
pub fn judge(attempt: Attempt, key: KeyUsed) -> Verdict {
    match attempt {
        Attempt::Answered { status, retry_after, .. } => judge_status(status, retry_after, key),
        Attempt::NotSent { why } => Verdict::Retry { cause: Cause::NotSent(why), after: None },
        Attempt::Unanswered { why, .. } => {
            Verdict::Retry { cause: Cause::Unanswered(why), after: None }
        }
    }
}

fn judge_status(status: u16, retry_after: Option<Duration>, key: KeyUsed) -> Verdict {
    let cause = Cause::Status(status);
    match status {
        200..=299 => Verdict::Accepted,
        403 if key == KeyUsed::Replaced => Verdict::Resend { cause },
        400 | 403 | 413 => Verdict::Refused { status },
        429 | 503 => {
            let after = retry_after.map(|pause| pause.min(RETRY_AFTER_MAX));
            Verdict::Retry { cause, after }
        }
        _ => Verdict::Retry { cause, after: None },
    }
}

impl Attempt {
    /// Whether the intake may have taken the payload without our knowing: an answer speaks for its
    /// own request only.
    #[must_use]
    pub const fn taken(self) -> Taken {
        match self {
            Self::Answered { before, .. } => before,
            Self::NotSent { .. } | Self::Unanswered { sent: Sent::Part, .. } => Taken::No,
            Self::Unanswered { sent: Sent::Whole, .. } => Taken::Maybe,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::NeverTried => "never_tried",
            Self::Status(status) => return write!(f, "status_{status}"),
            Self::NotSent(NotSent::Resolve) => "resolve",
            Self::NotSent(NotSent::Connect) => "connect",
            Self::NotSent(NotSent::Tls) => "tls",
            Self::NotSent(NotSent::Proxy) => "proxy",
            Self::NotSent(NotSent::Local) => "local",
            Self::NotSent(NotSent::Deadline) | Self::Unanswered(Unanswered::Deadline) => "deadline",
            Self::Unanswered(Unanswered::Closed) => "closed",
            Self::Unanswered(Unanswered::Truncated) => "truncated",
            Self::Unanswered(Unanswered::Malformed) => "malformed",
            Self::Unanswered(Unanswered::Timeout) => "timeout",
        };
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<Duration>) -> Attempt {
        Attempt::Answered { status, retry_after, before: Taken::No }
    }

    fn status(status: u16) -> Verdict {
        judge(answered(status, None), KeyUsed::Current)
    }

    /// For every status code there is: delivered, refused for good, or tried again.
    #[test]
    fn every_status_has_one_of_three_meanings() {
        for code in 0..=u16::MAX {
            let expected = match code {
                200..=299 => Verdict::Accepted,
                400 | 403 | 413 => Verdict::Refused { status: code },
                _ => Verdict::Retry { cause: Cause::Status(code), after: None },
            };
            assert_eq!(status(code), expected, "{code}");
        }
    }

    #[test]
    fn a_403_for_a_key_that_was_replaced_is_sent_again_with_the_new_one() {
        let verdict = judge(answered(403, None), KeyUsed::Replaced);
        assert_eq!(verdict, Verdict::Resend { cause: Cause::Status(403) });
    }

    #[test]
    fn retry_after_is_kept_for_429_and_503_up_to_the_cap() {
        let after = |status, pause| match judge(answered(status, Some(pause)), KeyUsed::Current) {
            Verdict::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        };
        let short = Duration::from_secs(7);
        assert_eq!(after(429, short), Some(short));
        assert_eq!(after(503, short), Some(short));
        assert_eq!(after(500, short), None);
        assert_eq!(after(429, RETRY_AFTER_MAX * 10), Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn only_a_request_sent_whole_may_have_been_taken() {
        for (sent, expected) in [(Sent::Part, Taken::No), (Sent::Whole, Taken::Maybe)] {
            let attempt = Attempt::Unanswered { sent, why: Unanswered::Timeout };
            assert_eq!(attempt.taken(), expected);
        }
    }
}
