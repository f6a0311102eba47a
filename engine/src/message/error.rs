//! Why a message is refused: a class and a byte position, nothing more.

use std::fmt;

/// What kind of thing an error is about: which of the error counters moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// A metric, or a line that is neither an event nor a service check.
    Metric,
    /// A line that starts with `_e{`.
    Event,
    /// A line that starts with `_sc`.
    ServiceCheck,
    /// The datagram itself, before any message of it was looked at.
    Frame,
}

impl Of {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Event => "event",
            Self::ServiceCheck => "service_check",
            Self::Frame => "frame",
        }
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// A metric without any `|`.
    NoSeparator,
    /// No `:` before the first `|`, or an empty name, or an empty value.
    BadNameValue,
    /// The type is none of `c g s h ms d`.
    BadType,
    /// A value is not a number, or there is none.
    BadValue,
    /// What follows `@` is not a number.
    BadRate,
    /// What follows `T` is not a whole number of seconds of at least 1.
    BadTimestamp,
    /// The lengths in front of an event can't be read.
    BadEventHeader,
    /// The title of an event has length 0.
    EmptyTitle,
    /// An event is shorter than its lengths say.
    EventTooShort,
    /// A service check without name or without status.
    BadScFormat,
    /// The name of a service check is empty.
    EmptyScName,
    /// The status of a service check is none of `0 1 2 3`.
    BadScStatus,
    /// The last line of a datagram has no newline where one is required.
    Unterminated,
}

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::NoSeparator,
        Self::BadNameValue,
        Self::BadType,
        Self::BadValue,
        Self::BadRate,
        Self::BadTimestamp,
        Self::BadEventHeader,
        Self::EmptyTitle,
        Self::EventTooShort,
        Self::BadScFormat,
        Self::EmptyScName,
        Self::BadScStatus,
        Self::Unterminated,
    ];

    /// The name used in counters and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSeparator => "no_separator",
            Self::BadNameValue => "bad_name_value",
            Self::BadType => "bad_type",
            Self::BadValue => "bad_value",
            Self::BadRate => "bad_rate",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadEventHeader => "bad_event_header",
            Self::EmptyTitle => "empty_title",
            Self::EventTooShort => "event_too_short",
            Self::BadScFormat => "bad_sc_format",
            Self::EmptyScName => "empty_sc_name",
            Self::BadScStatus => "bad_sc_status",
            Self::Unterminated => "unterminated",
        }
    }

    /// What kind of thing this class is about.
    #[must_use]
    pub const fn of(self) -> Of {
        match self {
            Self::NoSeparator
            | Self::BadNameValue
            | Self::BadType
            | Self::BadValue
            | Self::BadRate
            | Self::BadTimestamp => Of::Metric,
            Self::BadEventHeader | Self::EmptyTitle | Self::EventTooShort => Of::Event,
            Self::BadScFormat | Self::EmptyScName | Self::BadScStatus => Of::ServiceCheck,
            Self::Unterminated => Of::Frame,
        }
    }

    /// What the sender has to write instead.
    const fn remedy(self) -> &'static str {
        match self {
            Self::NoSeparator | Self::BadNameValue => "expected name:value|type",
            Self::BadType => "expected one of c, g, s, h, ms, d",
            Self::BadValue => "expected a number, or several separated by `:`",
            Self::BadRate => "expected a number after `@`",
            Self::BadTimestamp => "expected whole Unix seconds, at least 1, after `T`",
            Self::BadEventHeader => "expected _e{<title bytes>,<text bytes>}:",
            Self::EmptyTitle => "expected a title of at least one byte",
            Self::EventTooShort => "expected as many bytes as the lengths in front say",
            Self::BadScFormat => "expected _sc|name|status",
            Self::EmptyScName => "expected a name of at least one byte",
            Self::BadScStatus => "expected a status of 0, 1, 2 or 3",
            Self::Unterminated => "expected a newline after the last message",
        }
    }
}

/// A refused message: why, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub class: Class,
    /// Byte position of the first thing that doesn't fit, counted from the start of what was
    /// parsed: the line, or for [`Class::Unterminated`] the datagram. At most the length of it.
    pub at: u32,
}

impl Error {
    /// An error `at` bytes into what was parsed; a position beyond 4 GiB is given as that.
    pub(super) fn new(class: Class, at: usize) -> Self {
        Self { class, at: u32::try_from(at).unwrap_or(u32::MAX) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.class.name(), self.at, self.class.remedy())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_in_the_order_of_the_list() {
        for (number, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number, "{}", class.name());
        }
    }

    #[test]
    fn an_error_says_what_where_and_what_was_expected() {
        let error = Error::new(Class::BadType, 8);
        assert_eq!(error.to_string(), "bad_type at byte 8: expected one of c, g, s, h, ms, d");
    }
}
