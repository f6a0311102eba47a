//! `lastdrop_fuzz::sketch` for the fuzzer; without one there is nothing to run.
#![cfg_attr(fuzzing, no_main)]
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lastdrop_fuzz::sketch(data));
#[cfg(not(fuzzing))]
fn main() {}
