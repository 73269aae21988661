#![no_main]
libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, u64, u64, Vec<[u8; 32]>)| {
    let (frame, leaf, leaves, hashes) = input;
    foretell_log::fuzz::proof(&frame, leaf, leaves, &hashes);
});
