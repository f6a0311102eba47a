//! The workbench of lastdrop: an intake that counts, a load generator that knows what it sent, and a
//! demo that joins the two around the real agent.
//!
//! A library so that end-to-end tests can start both in their own process. The agent itself is only
//! ever driven as a process, and what it sends is decoded here by a reader of our own.
//!
//! ```
//! use lastdrop_lab::intake::{Intake, IntakeOptions};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let script = "503*2, reset=100".parse()?;
//! let intake = Intake::start(IntakeOptions { script, ..IntakeOptions::default() })?;
//! println!("start an agent with DD_DD_URL={}", intake.url());
//! # let long_enough = std::time::Duration::ZERO;
//! let came = intake.wait_until(|totals| totals.count("requests") >= 10_500.0, long_enough);
//! println!("came: {came}, in all: {:?}", intake.stop());
//! # Ok(())
//! # }
//! ```

pub mod demo;
pub mod drain;
pub mod experiment;
pub mod graphite;
pub mod intake;
pub mod interrupt;
pub mod load;
pub mod memory_load;
pub(crate) mod port;
pub mod process;
pub mod rig;
pub mod sink;
pub mod task;
pub mod units;
pub mod vectors;
