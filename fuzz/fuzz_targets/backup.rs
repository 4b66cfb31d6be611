//! Feeds `bodies::backup::backup`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::backup::backup(bytes));
