#![no_main]

use foretell_delivery::Checkpoint;

// What is read is written, read again, and must be the same.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::from_bytes(bytes) {
        let again = Checkpoint::from_bytes(&checkpoint.to_bytes());
        assert_eq!(again.ok(), Some(checkpoint));
    }
});
