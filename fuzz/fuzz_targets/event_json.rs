#![no_main]

use foretell_types::{cloudevents, eventgrid};

// What is read is written, read again, and must be the same event.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = cloudevents::from_json(bytes) {
        let text = cloudevents::to_json(&event);
        match cloudevents::from_json(text.as_bytes()) {
            Ok(again) => assert_eq!(again, event, "{text}"),
            Err(error) => panic!("{error}: {text}"),
        }
    }
    let _ = eventgrid::batch_from_json(bytes, "/topics/shop");
});
