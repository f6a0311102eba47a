//! The transport of lastdrop: everything that touches a descriptor, from the listening sockets to
//! the connections to the intake.
//!
//! The modules stand in the order of the data: each may use those above it, none those below.

pub mod clock;
pub mod limits;
pub mod sys;

pub mod listen;
pub mod receive;

pub mod http;
pub mod payload;
pub mod net;
pub mod forward;

pub mod report;
pub mod shipper;
