//! `lastdrop_fuzz::splitting` for the fuzzer; without one there is nothing to run.
#![cfg_attr(fuzzing, no_main)]
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lastdrop_fuzz::splitting(data));
#[cfg(not(fuzzing))]
fn main() {}
