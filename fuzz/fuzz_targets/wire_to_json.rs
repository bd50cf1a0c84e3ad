//! libFuzzer's way into [`aqueduct_fuzz::wire_to_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::wire_to_json(data));
