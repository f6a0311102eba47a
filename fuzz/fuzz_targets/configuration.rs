//! `lastdrop_fuzz::configuration` for the fuzzer; without one, over the files that are named.
#![cfg_attr(fuzzing, no_main)]
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lastdrop_fuzz::configuration(data));
#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    lastdrop_fuzz::replay(lastdrop_fuzz::configuration)
}
