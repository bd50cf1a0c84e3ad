//! libFuzzer's way into [`aqueduct_fuzz::feed`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::feed(data));
