//! The workbench of lastdrop: an intake that counts, a load generator that knows what it sent, and a
//! demo that joins the two around the real agent.
//!
//! A library so that end-to-end tests can start both in their own process. The agent itself is only
//! ever driven as a process, and what it sends is decoded here by a reader of our own.

pub mod demo;
pub mod intake;
pub mod load;
pub mod sink;
pub mod task;
pub mod units;
