//! libFuzzer's way into [`aqueduct_fuzz::l2`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::l2(data));
