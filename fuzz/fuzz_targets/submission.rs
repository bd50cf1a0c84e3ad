//! libFuzzer's way into [`aqueduct_fuzz::submission`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::submission(data));
