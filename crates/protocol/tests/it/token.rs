use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use foretell_protocol::{
    Credentials, Permission, Token, TokenKeys, TokenRules, check_issuer_url, discovery_url,
    keys_url,
};
use foretell_types::limits::{TOKEN_BYTES, TOKEN_KEYS, TOKEN_LEEWAY_S};
use foretell_types::{ErrorKind, Instant};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};

const NOW_S: i64 = 1_800_000_000;

fn now() -> Instant {
    Instant::from_nanos(NOW_S * 1_000_000_000)
}

fn rules() -> TokenRules {
    TokenRules {
        issuer: "https://issuer.test".to_owned(),
        audiences: vec!["foretell".to_owned(), "other".to_owned()],
        roles_claim: "roles".to_owned(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.test", "aud": "foretell", "sub": "me",
        "exp": NOW_S + 600, "nbf": NOW_S - 5, "roles": ["EventGrid Data Sender"],
    })
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sign(header: &Value, claims: &Value, key: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = key(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A pair of keys: how it signs, and its public half.
struct Pair {
    algorithm: &'static str,
    sign: Sign,
    public: Value,
}

fn ec(algorithm: &'static str, curve: &str, with: &'static EcdsaSigningAlgorithm) -> Pair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(with, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(with, pkcs8.as_ref(), &random).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let public = json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y), "kid": algorithm });
    Pair {
        algorithm,
        sign: Box::new(move |text| pair.sign(&random, text).unwrap().as_ref().to_vec()),
        public,
    }
}

fn rsa(algorithm: &'static str, with: &'static dyn ring::signature::RsaEncoding) -> Pair {
    let text = include_str!("../fixtures/rsa_private_key.txt");
    let der = STANDARD.decode(text.replace('\n', "")).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
    let RsaPublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
    // As one of the issuers writes it, with a zero before.
    let n = [vec![0], n].concat();
    let public = json!({ "kty": "RSA", "n": b64(n), "e": b64(e), "kid": algorithm, "use": "sig" });
    Pair {
        algorithm,
        sign: Box::new(move |text| {
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(with, &SystemRandom::new(), text, &mut signature)
                .unwrap();
            signature
        }),
        public,
    }
}

fn ed25519() -> Pair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let x = b64(pair.public_key().as_ref());
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "EdDSA" });
    Pair {
        algorithm: "EdDSA",
        sign: Box::new(move |text| pair.sign(text).as_ref().to_vec()),
        public,
    }
}

fn pairs() -> Vec<Pair> {
    vec![
        rsa("RS256", &RSA_PKCS1_SHA256),
        rsa("RS384", &RSA_PKCS1_SHA384),
        rsa("RS512", &RSA_PKCS1_SHA512),
        rsa("PS256", &RSA_PSS_SHA256),
        rsa("PS384", &RSA_PSS_SHA384),
        rsa("PS512", &RSA_PSS_SHA512),
        ec("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ec("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ed25519(),
    ]
}

impl Pair {
    fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm, "kid": self.algorithm, "typ": "JWT" });
        sign(&header, claims, &self.sign)
    }
}

fn key_set(keys: &[Value]) -> TokenKeys {
    TokenKeys::from_json(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// All that is checked of a token, in the order of the server.
fn check(text: &str, keys: &TokenKeys) -> Result<(), String> {
    let checked = Token::read(text).and_then(|token| {
        token.check_parties(&rules())?;
        keys.verify(&token)?;
        token.check_times(now())
    });
    checked.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        error.message().to_owned()
    })
}

#[track_caller]
fn refused(text: &str, keys: &TokenKeys, why: &str) {
    let message = check(text, keys).unwrap_err();
    assert!(message.contains(why), "{message}, not {why:?}");
}

#[test]
fn each_algorithm_with_its_own_key_alone() {
    let pairs = pairs();
    for pair in &pairs {
        let keys = key_set(std::slice::from_ref(&pair.public));
        assert_eq!(
            check(&pair.token(&claims()), &keys),
            Ok(()),
            "{}",
            pair.algorithm
        );
        // A key set without ids, a token without one.
        let mut public = pair.public.clone();
        public.as_object_mut().unwrap().remove("kid");
        let without = sign(&json!({ "alg": pair.algorithm }), &claims(), &pair.sign);
        assert_eq!(check(&without, &key_set(&[public])), Ok(()));
        for other in pairs
            .iter()
            .filter(|other| other.algorithm != pair.algorithm)
        {
            // By its name the key of another; by its algorithm that of the pair.
            let header = json!({ "alg": pair.algorithm, "kid": other.algorithm });
            let token = sign(&header, &claims(), &pair.sign);
            let only = key_set(&[json!({ "alg": other.algorithm, "kid": other.algorithm,
                "kty": other.public["kty"], "crv": other.public["crv"], "x": other.public["x"],
                "y": other.public["y"], "n": other.public["n"], "e": other.public["e"] })]);
            refused(&token, &only, "has no key");
        }
    }
}

#[test]
fn what_was_changed_is_refused() {
    for pair in [rsa("RS256", &RSA_PKCS1_SHA256), ed25519()] {
        let keys = key_set(std::slice::from_ref(&pair.public));
        let token = pair.token(&claims());
        let parts: Vec<&str> = token.split('.').collect();
        let mut more = claims();
        more["roles"] = json!(["Foretell Administrator"]);
        let other = format!("{}.{}.{}", parts[0], b64(more.to_string()), parts[2]);
        refused(&other, &keys, "signature is wrong");
        let none = format!("{}.{}.", parts[0], parts[1]);
        refused(&none, &keys, "signature is wrong");
        let mut signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        signature[7] ^= 1;
        let other = format!("{}.{}.{}", parts[0], parts[1], b64(signature));
        refused(&other, &keys, "signature is wrong");
    }
    // Another key under the same name.
    let (one, other) = (ed25519(), ed25519());
    let keys = key_set(std::slice::from_ref(&other.public));
    refused(&one.token(&claims()), &keys, "signature is wrong");
}

#[test]
fn no_signature_and_secrets_are_refused() {
    let pair = rsa("RS256", &RSA_PKCS1_SHA256);
    let keys = key_set(std::slice::from_ref(&pair.public));
    for algorithm in [
        "none", "None", "", "HS256", "HS512", "RS1", "ES512", "rs256",
    ] {
        // The public key as a secret, which is what HMAC would be tricked with.
        let token = sign(
            &json!({ "alg": algorithm, "kid": "RS256" }),
            &claims(),
            |text| {
                let secret = pair.public["n"].as_str().unwrap().as_bytes();
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                ring::hmac::sign(&key, text).as_ref().to_vec()
            },
        );
        refused(&token, &keys, "are taken");
    }
    let token = sign(&json!({ "kid": "RS256" }), &claims(), &pair.sign);
    refused(&token, &keys, "are taken");
    // A secret among the keys is none.
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "HS256" });
    let encrypts =
        json!({ "kty": "RSA", "n": pair.public["n"], "e": "AQAB", "use": "enc", "kid": "RS256" });
    let signs = json!({ "kty": "RSA", "n": pair.public["n"], "e": "AQAB", "key_ops": ["sign"], "kid": "RS256" });
    let keys = key_set(&[secret, encrypts, signs, json!("nothing"), json!({})]);
    refused(&pair.token(&claims()), &keys, "has no key");
}

#[test]
fn claims_are_checked() {
    let pair = ed25519();
    let keys = key_set(std::slice::from_ref(&pair.public));
    let leeway = TOKEN_LEEWAY_S as i64;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), value),
        };
        pair.token(&claims)
    };
    for (name, value) in [
        ("aud", json!(["x", "other"])),
        ("exp", json!(NOW_S - leeway + 1)),
        ("exp", json!(NOW_S as f64 + 0.5)),
        ("nbf", json!(NOW_S + leeway)),
        ("nbf", Value::Null),
    ] {
        let shown = format!("{name} {value}");
        assert_eq!(check(&with(name, value), &keys), Ok(()), "{shown}");
    }
    for (name, value, why) in [
        ("iss", json!("https://issuer.test/"), "by the issuer"),
        ("iss", json!(["https://issuer.test"]), "by the issuer"),
        ("iss", Value::Null, "by the issuer"),
        ("aud", json!("someone"), "for the audience \"someone\""),
        ("aud", json!(["Foretell"]), "for the audience"),
        ("aud", json!({ "foretell": 1 }), "for the audience"),
        ("aud", Value::Null, "for the audience"),
        (
            "exp",
            json!(NOW_S - leeway),
            "expired at 2027-01-15T07:59:00Z",
        ),
        ("exp", json!(i64::MIN), "expired"),
        ("exp", json!("never"), "its exp is no number"),
        ("exp", Value::Null, "has no expiry"),
        ("nbf", json!(NOW_S + leeway + 1), "not valid before"),
        ("nbf", json!(1e300), "not valid before"),
        ("nbf", json!([]), "its nbf is no number"),
    ] {
        refused(&with(name, value), &keys, why);
    }
}

#[test]
fn what_can_be_no_token() {
    let keys = key_set(&[]);
    let (header, claims) = (b64(r#"{"alg":"ES256"}"#), b64(claims().to_string()));
    let critical = b64(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#);
    let long = "x".repeat(TOKEN_BYTES);
    for (text, why) in [
        ("", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        ("..", "header is not a JSON object"),
        (&format!("{header}.*.x"), "claims is not base64url"),
        (
            &format!("{header}={header}.{claims}.x"),
            "header is not base64url",
        ),
        (
            &format!("{}.{claims}.AA", b64("[]")),
            "header is not a JSON object",
        ),
        (
            &format!("{}.{claims}.AA", b64(r#"{"alg":"ES256","kid":1}"#)),
            "kid is no text",
        ),
        (&format!("{critical}.{claims}.AA"), "asks for extensions"),
        (
            &format!("{header}.{claims}.A"),
            "signature is not base64url",
        ),
        (&format!("{header}.{claims}.{long}"), "larger than"),
    ] {
        refused(text, &keys, why);
    }
}

#[test]
fn keys_that_are_none() {
    for text in ["", "[]", "{}", r#"{"keys":1}"#] {
        assert!(TokenKeys::from_json(text.as_bytes()).is_err(), "{text}");
    }
    let many = json!({ "keys": vec![json!({}); TOKEN_KEYS + 1] });
    assert!(TokenKeys::from_json(many.to_string().as_bytes()).is_err());
    // Keys of a wrong size verify nothing, and hurt nobody.
    let short = json!({ "kty": "RSA", "n": b64([1; 64]), "e": "AQAB", "kid": "RS256" });
    let token = rsa("RS256", &RSA_PKCS1_SHA256).token(&claims());
    refused(&token, &key_set(&[short]), "signature is wrong");
    let long = json!({ "kty": "EC", "crv": "P-256", "x": b64([1; 33]), "y": b64([1; 32]), "kid": "ES256" });
    let pair = ec("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    refused(&pair.token(&claims()), &key_set(&[long]), "has no key");
    let off = json!({ "kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([1; 32]), "kid": "ES256" });
    refused(
        &pair.token(&claims()),
        &key_set(&[off]),
        "signature is wrong",
    );
}

#[test]
fn roles() {
    let grants = |roles: Value, way: &str| {
        let pair = ed25519();
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("roles");
        claims
            .as_object_mut()
            .unwrap()
            .extend(roles.as_object().unwrap().clone());
        let text = pair.token(&claims);
        let rules = TokenRules {
            roles_claim: way.to_owned(),
            ..rules()
        };
        Token::read(&text).unwrap().grants(&rules)
    };
    let allowed = |roles: Value, way: &str| {
        let grants = grants(roles, way);
        [
            Permission::Publish,
            Permission::Receive,
            Permission::Inspect,
            Permission::Read,
            Permission::Subscribe,
            Permission::Manage,
            Permission::Administer,
            Permission::Erase,
        ]
        .map(|permission| {
            let anywhere = grants.check(permission, None).is_ok();
            let shop = grants.check(permission, Some("Shop")).is_ok();
            let other = grants.check(permission, Some("other")).is_ok();
            match (anywhere, shop, other) {
                (true, true, true) => '*',
                (false, true, false) => 's',
                (false, false, false) => '-',
                odd => panic!("{odd:?}"),
            }
        })
        .iter()
        .collect::<String>()
    };
    for (roles, permits) in [
        (json!(["EventGrid Data Sender"]), "*-------"),
        (json!(["EventGrid Data Receiver"]), "-*------"),
        (json!(["EventGrid Data Contributor"]), "**------"),
        (json!(["EventGrid EventSubscription Reader"]), "--*-----"),
        (
            json!(["EventGrid EventSubscription Contributor"]),
            "--*-*---",
        ),
        (json!(["EventGrid Contributor"]), "--*-**--"),
        (json!(["Foretell Reader"]), "--**----"),
        (json!(["Foretell Administrator"]), "*******-"),
        (json!(["Foretell Eraser"]), "-------*"),
        (
            json!(["EventGrid Data Sender@shop", "ForetellReader@SHOP"]),
            "s-ss----",
        ),
        (
            json!(["EventGridDataSender@shop", "eventgrid-data-sender"]),
            "*-------",
        ),
        (json!(["foretell_reader", "Owner", 7, null, {}]), "--**----"),
        (json!("EventGrid Data Sender"), "*-------"),
        (
            json!("ForetellReader EventGrid.Data.Sender@shop profile"),
            "s-**----",
        ),
        (
            json!(["EventGrid Data Sender@", "@", "Sender", "EventGrid"]),
            "--------",
        ),
        (
            json!(["EventGrid Data Senders", "EventGrid Data"]),
            "--------",
        ),
        (json!({}), "--------"),
        (json!(7), "--------"),
    ] {
        let shown = roles.to_string();
        assert_eq!(
            allowed(json!({ "roles": roles }), "roles"),
            permits,
            "{shown}"
        );
    }
    let nested = json!({ "realm_access": { "roles": ["Foretell Reader"] } });
    assert_eq!(allowed(nested, "realm_access.roles"), "--**----");
    let url = json!({ "https://x.test/roles": ["Foretell Reader"] });
    assert_eq!(allowed(url, "https://x.test/roles"), "--**----");
    assert_eq!(allowed(json!({}), "no.such.claim"), "--------");
    let error = grants(json!({ "roles": ["Foretell Reader@shop"] }), "roles")
        .check(Permission::Publish, Some("shop"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(
        error.message(),
        "publishing in topic \"shop\" needs a role that the token doesn't have: EventGrid Data Sender or EventGrid Data Contributor or Foretell Administrator; it has Foretell Reader@shop"
    );
}

#[test]
fn issuers() {
    for good in [
        "https://login.test/tenant/v2.0",
        "https://[::1]:8443",
        "http://localhost:9/x",
        "http://127.0.0.1:9",
        "http://127.3.2.1",
        "http://[::1]:9/keys",
    ] {
        check_issuer_url(good).unwrap();
    }
    for bad in [
        "",
        "issuer",
        "http://issuer.test",
        "http://10.0.0.1",
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "ftp://localhost",
        "https://",
        "file:///etc/passwd",
        "http://[::2]/",
    ] {
        assert!(check_issuer_url(bad).is_err(), "{bad}");
    }
    assert_eq!(
        discovery_url("https://a.test/b/"),
        "https://a.test/b/.well-known/openid-configuration"
    );
    let describe = |issuer: &str, keys: &str| {
        let text = json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
        keys_url("https://a.test", text.as_bytes())
    };
    assert_eq!(
        describe("https://a.test", "https://a.test/k").unwrap(),
        "https://a.test/k"
    );
    assert!(describe("https://b.test", "https://a.test/k").is_err());
    assert!(describe("https://a.test", "http://a.test/k").is_err());
    assert!(keys_url("https://a.test", b"{").is_err());
    assert!(keys_url("https://a.test", br#"{"issuer":"https://a.test"}"#).is_err());
}

#[test]
fn bearers_are_told_apart() {
    let read = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::try_from(value).unwrap());
        Credentials::from_request(&headers, None).unwrap()
    };
    assert_eq!(read("Bearer a.b.c"), Credentials::Token("a.b.c".to_owned()));
    assert_eq!(
        read("bearer YWJj+/=="),
        Credentials::Key("YWJj+/==".to_owned())
    );
    assert_eq!(
        read("SharedAccessKey a.b.c"),
        Credentials::Key("a.b.c".to_owned())
    );
    assert_eq!(format!("{:?}", read("Bearer a.b.c")), "Token(…)");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,300}") {
        let _ = Token::read(&text);
        let _ = TokenKeys::from_json(text.as_bytes());
        let _ = keys_url(&text, text.as_bytes());
        let _ = check_issuer_url(&text);
    }

    #[test]
    fn any_parts_are_read_or_refused(
        header in prop_oneof![
            Just(r#"{"alg":"ES256"}"#.to_owned()), Just(r#"{"alg":"RS256","kid":"k"}"#.to_owned()),
            r#"\{"alg":"(ES|RS|PS|HS|)[0-9]{0,3}","kid":(1|"k")\}"#,
        ],
        claims in r#"\{"(iss|aud|exp|nbf|roles)":(1|-1|1e99|"a b"|\[1,"x"\]|null|\{\})\}"#,
        signature in proptest::collection::vec(any::<u8>(), 0..200),
        way in "[a-z.]{0,10}",
    ) {
        let text = format!("{}.{}.{}", b64(header), b64(claims), b64(signature));
        if let Ok(token) = Token::read(&text) {
            let _ = token.check_parties(&rules());
            let _ = token.check_times(now());
            let grants = token.grants(&TokenRules { roles_claim: way, ..rules() });
            prop_assert!(grants.check(Permission::Read, Some("shop")).is_err());
        }
    }

    #[test]
    fn no_flipped_bit_is_believed(at in 0usize..400, bit in 0u8..8) {
        let pair = ed25519();
        let keys = key_set(std::slice::from_ref(&pair.public));
        let mut bytes = pair.token(&claims()).into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(check(&text, &keys).is_err());
        }
    }
}
