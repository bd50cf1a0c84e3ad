//! libFuzzer's way into [`aqueduct_fuzz::json_to_wire`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::json_to_wire(data));
