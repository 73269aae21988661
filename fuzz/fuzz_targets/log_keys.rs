#![no_main]
libfuzzer_sys::fuzz_target!(|nodes: &[u8]| foretell_log::fuzz::keys(nodes));
