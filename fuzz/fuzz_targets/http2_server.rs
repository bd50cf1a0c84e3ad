//! libFuzzer's way into [`aqueduct_fuzz::http2_server`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aqueduct_fuzz::http2_server(data));
