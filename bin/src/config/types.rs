//! The types of values that are more than a number or a text.

use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::Serialize;

/// A UDP port to listen on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Port {
    /// No UDP.
    #[default]
    Off,
    /// One that the system chooses.
    Random,
    /// This one.
    Fixed(NonZeroU16),
}

/// When threads are pinned to processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pin {
    /// Unless a quota of processor time is smaller than the allowed set of processors.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the receipt goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// To standard error.
    #[default]
    Stderr,
    /// Nowhere.
    Off,
    /// To a file.
    File(PathBuf),
}

/// How much the agent says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What it can't do.
    Error,
    /// What the user should change.
    #[default]
    Warn,
    /// What it does.
    Info,
    /// How it does it.
    Debug,
    /// Every step.
    Trace,
}
