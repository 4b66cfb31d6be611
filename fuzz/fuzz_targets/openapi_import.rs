//! Feeds `bodies::openapi_import`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::openapi_import(bytes));
