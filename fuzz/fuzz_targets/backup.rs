#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| foretell_log::fuzz::backup(bytes));
