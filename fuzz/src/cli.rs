//! What the configuration wants of the command line: settings as typed, of which there are none.

use std::path::PathBuf;

/// The flags of a command line without any.
#[derive(Default)]
pub(crate) struct Flags {
    /// Settings file, or its folder.
    pub(crate) config: Option<PathBuf>,
}

impl Flags {
    /// Gives what was typed for a flag.
    #[expect(clippy::unused_self, reason = "as the agent's has it")]
    pub(crate) fn value(&self, _: &str) -> Option<&str> {
        None
    }
}
