//! Ctrl-C and SIGTERM as something that loops look at, so that what was started is ended and what
//! was made is removed on the way out. The second one ends the program at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What a shell reports of a program that SIGINT has ended.
pub const STATUS: u8 = 130;

/// Raised once somebody wants the program to end; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// A flag that SIGINT and SIGTERM raise; a second one of them exits.
    ///
    /// # Errors
    ///
    /// The system refuses the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let raised = || Arc::clone(&interrupt.raised);
            flag::register_conditional_shutdown(signal, STATUS.into(), raised())?;
            flag::register(signal, raised())?;
        }
        Ok(interrupt)
    }

    /// Raises it.
    pub fn raise(&self) {
        // Whoever looks later sees it; nothing else is published by it.
        self.raised.store(true, Ordering::Relaxed);
    }

    /// True once it was raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Goes on unless it was raised.
    ///
    /// # Errors
    ///
    /// It was raised.
    pub fn check(&self) -> io::Result<()> {
        if self.is_raised() {
            Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_is_seen_by_its_clones() {
        let interrupt = Interrupt::default();
        let seen = interrupt.clone();
        assert!(seen.check().is_ok());
        interrupt.raise();
        assert_eq!(seen.check().unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
