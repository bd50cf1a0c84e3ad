//! libFuzzer's way into [`aqueduct_fuzz::gateway`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::gateway(data));
