#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_protocol::{Permission, Token, TokenKeys, TokenRules, keys_url};
use foretell_types::Instant;

libfuzzer_sys::fuzz_target!(|input: (bool, String, Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (as_text, text, header, claims, keys) = input;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let text = match as_text {
        true => text,
        false => format!(
            "{}.{}.{}",
            encode(&header),
            encode(&claims),
            encode(text.as_bytes())
        ),
    };
    let rules = TokenRules {
        issuer: "i".to_owned(),
        audiences: vec!["a".to_owned()],
        roles_claim: "roles".to_owned(),
    };
    let _ = keys_url("i", &keys);
    let keys = TokenKeys::from_json(&keys).unwrap_or_default();
    if let Ok(token) = Token::read(&text) {
        let _ = token.check_parties(&rules);
        let _ = token.check_times(Instant::from_nanos(0));
        let _ = keys.verify(&token);
        let _ = token.grants(&rules).check(Permission::Read, Some("shop"));
    }
});
