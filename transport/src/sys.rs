//! The system calls that no safe crate wraps: the only `unsafe` of this package.
