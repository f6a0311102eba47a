//! The agent as a process: from what a client sends to what the intake counts.
//!
//! Every test starts its own intake and its own agent on ports of their own. What it waits for is a
//! condition; the only clock is [`harness::BOUND`], after which a test fails with everything that
//! the agent said.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod cardinality;
mod client_library;
mod foreign;
mod grace;
mod harness;
mod intake_faults;
mod key_check;
mod listening;
mod matrix;
mod no_key;
#[path = "../support/port.rs"]
mod port;
mod spool;
mod stop;
mod tls;
mod transports;
mod wrapper;
