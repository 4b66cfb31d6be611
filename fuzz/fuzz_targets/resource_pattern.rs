//! Feeds `bodies::resource_pattern`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::resource_pattern(bytes));
