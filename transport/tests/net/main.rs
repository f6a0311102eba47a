//! The pool against servers on loopback that behave well and badly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fixture that fails fails its test")]

mod pool;
mod proxy;
mod support;
mod tls;
