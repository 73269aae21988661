#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    foretell_log::fuzz::headers(bytes);
    foretell_log::fuzz::sealed_metadata(bytes);
});
