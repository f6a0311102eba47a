//! The protocol a second time, slow and plain: written after `docs/protocol.md`, sharing no line
//! and no idea with the engine, which it never imports.

pub mod chunks;
pub mod frame;
pub mod message;
pub mod number;
