//! libFuzzer's way into [`aqueduct_fuzz::http1`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::http1(data));
