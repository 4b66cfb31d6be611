//! Feeds `bodies::record_cbor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::record_cbor(bytes));
