use foretell_protocol::{
    Credentials, Key, KeySlot, MasterKey, check_admin, check_topic, parse_expiry, sas_token,
};
use foretell_types::{ErrorKind, Instant, Timestamp};
use uuid::Uuid;

use crate::capture::{NOW, headers, titled};

/// The key of the captures.
const KEY: &str = "c2VjcmV0a2V5c2VjcmV0a2V5c2VjcmV0a2V5c2VjcmV0a2V5";

fn at(text: &str) -> Instant {
    text.parse::<Timestamp>().unwrap().instant()
}

fn other() -> Key {
    Key::from_text("b3RoZXI=")
}

fn check(credentials: &Credentials, path: &str, now: Instant) -> Result<(), String> {
    let key = Key::from_text(KEY);
    let first = check_topic(credentials, [&key, &other()], path, now);
    let second = check_topic(credentials, [&other(), &key], path, now);
    assert_eq!(first.is_ok(), second.is_ok());
    first.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(!error.message().contains(KEY));
        error.message().to_owned()
    })
}

#[test]
fn signatures_of_the_sdks() {
    for (title, expired) in [
        ("py publisher SAS cred", "2024-01-02T03:04:05.678901Z"),
        ("js SAS", "2024-01-02T03:04:05Z"),
    ] {
        let request = titled(title);
        let credentials = Credentials::from_request(&request.headers, None).unwrap();
        assert!(matches!(credentials, Credentials::Signature(_)));
        let before = at("2024-01-02T03:04:04Z");
        assert_eq!(
            check(&credentials, "/api/events", before),
            Ok(()),
            "{title}"
        );
        let after = at("2024-01-02T03:04:06Z");
        let message = check(&credentials, "/api/events", after).unwrap_err();
        assert_eq!(
            message,
            format!("the shared access signature expired at {expired}")
        );
        let message = check(&credentials, "/topics/shop", before).unwrap_err();
        assert!(
            message.contains("must begin with /topics/shop"),
            "{message}"
        );
    }
}

#[test]
fn dotnet_writes_lower_case_hex_and_plus() {
    // Signed with Python's hmac over the text that .NET's HttpUtility gives.
    let signed = "r=https%3a%2f%2fh%2fTopics%2fShop%2fapi%2fevents&e=6%2f15%2f2027+6%3a20%3a15+PM";
    let token = format!("{signed}&s={}", DOTNET_SIGNATURE);
    let credentials = Credentials::Signature(token.clone());
    assert_eq!(
        check(&credentials, "/topics/shop", at("2027-06-15T18:20:14Z")),
        Ok(())
    );
    assert!(check(&credentials, "/topics/shop", at("2027-06-15T18:20:15Z")).is_err());
    // One character of the text more, and it isn't what was signed.
    let credentials = Credentials::Signature(token.replace("&e=6", "&e=7"));
    let message = check(&credentials, "/topics/shop", NOW).unwrap_err();
    assert!(
        message.contains("was not made with a key of this topic"),
        "{message}"
    );
}

const DOTNET_SIGNATURE: &str = "5W3PUXCTy8X4oWgvgBj3zBIm2pJwO45Ugesg74QVv80%3d";

#[test]
fn own_signatures() {
    let key = Key::from_text(KEY);
    let expiry = at("2030-01-01T00:00:00Z");
    for (resource, path, good) in [
        (
            "http://h:4077/topics/shop/api/events?api-version=2018-01-01",
            "/topics/shop",
            true,
        ),
        ("https://proxy/topics/SHOP", "/topics/shop", true),
        ("/topics/shop:publish", "/topics/shop", true),
        ("http://h/topics/shop2/api/events", "/topics/shop", false),
        ("http://h/topics", "/topics/shop", false),
        ("http://h", "/topics/shop", false),
        ("http://h?/topics/shop", "/topics/shop", false),
        ("http://h/x/topics/shop", "/topics/shop", false),
    ] {
        let token = sas_token(resource, expiry, &key).unwrap();
        let credentials = Credentials::Signature(token);
        assert_eq!(check(&credentials, path, NOW).is_ok(), good, "{resource}");
        assert!(check(&credentials, path, expiry).is_err());
    }
    let error = sas_token("/", expiry, &Key::from_text("no base64!")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for token in ["", "r=/topics/shop", "&s=", "r=a&e=b&s=%%%", "&s=AA=="] {
        check(
            &Credentials::Signature(token.to_owned()),
            "/topics/shop",
            NOW,
        )
        .unwrap_err();
    }
}

#[test]
fn expiries() {
    for (text, expected) in [
        (
            "2024-01-02 03:04:05.678901+00:00",
            "2024-01-02T03:04:05.678901Z",
        ),
        ("2024-01-02 03:04:05+01:30", "2024-01-02T01:34:05Z"),
        ("2024-01-02T03:04:05.678901", "2024-01-02T03:04:05.678901Z"),
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05Z"),
        (
            "2024-01-02T03:04:05.1234567Z",
            "2024-01-02T03:04:05.123456700Z",
        ),
        ("2024-01-02", "2024-01-02T00:00:00Z"),
        ("1/2/2024 3:04:05 AM", "2024-01-02T03:04:05Z"),
        ("6/15/2017 6:20:15 PM", "2017-06-15T18:20:15Z"),
        ("12/31/2024 12:00:00 AM", "2024-12-31T00:00:00Z"),
        ("12/31/2024 12:00:00 PM", "2024-12-31T12:00:00Z"),
        ("06/15/2017, 6:20:15\u{202f}pm", "2017-06-15T18:20:15Z"),
        ("6/15/2017 18:20", "2017-06-15T18:20:00Z"),
    ] {
        let read = parse_expiry(text).unwrap();
        assert_eq!(
            Timestamp::from_instant(read).to_string(),
            expected,
            "{text}"
        );
    }
    for text in [
        "",
        "soon",
        "15/6/2017 6:20:15 PM",
        "6/15/2017 13:20:15 PM",
        "6/15/2017 0:20:15 AM",
        "2/30/2024 1:00:00 AM",
        "1/2/3/2024",
        "1/2/2024 1:2:3:4",
        "1/2/2024 1:02:03 AM UTC",
        "//",
        "1/2/+024 1:02",
    ] {
        assert!(parse_expiry(text).is_err(), "{text}");
    }
}

#[test]
fn how_requests_carry_credentials() {
    let key = || Credentials::Key("k+/=".to_owned());
    let token = || Credentials::Signature("r=a&e=b&s=c".to_owned());
    for (lines, query, expected) in [
        (&[][..], None, Credentials::None),
        (&[], Some("api-version=1"), Credentials::None),
        (&[("aeg-sas-key", "k+/=")], None, key()),
        (&[], Some("api-version=1&aeg-sas-key=k%2B%2F%3D"), key()),
        (&[], Some("aeg-sas-key=k+/="), key()),
        (&[("aeg-sas-token", "r=a&e=b&s=c")], None, token()),
        (
            &[("Authorization", "SharedAccessSignature r=a&e=b&s=c")],
            None,
            token(),
        ),
        (&[("Authorization", "SharedAccessKey k+/=")], None, key()),
        (&[("Authorization", "bearer  k+/=")], None, key()),
        (
            &[("aeg-sas-key", "k+/="), ("Authorization", "Basic x")],
            None,
            key(),
        ),
    ] {
        let found = Credentials::from_request(&headers(lines.iter().copied()), query).unwrap();
        assert!(found == expected, "{lines:?} {query:?}: {found:?}");
    }
    let basic = headers([("authorization", "Basic secret")]);
    let error = Credentials::from_request(&basic, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(!error.message().contains("secret"));
    assert!(!format!("{:?}{:?}{:?}", key(), token(), Key::from_text(KEY)).contains("k+"));
}

#[test]
fn keys() {
    let good = Credentials::Key(KEY.to_owned());
    assert_eq!(check(&good, "/topics/shop", NOW), Ok(()));
    for wrong in [KEY.to_lowercase(), String::new(), KEY[1..].to_owned()] {
        let message = check(&Credentials::Key(wrong), "/topics/shop", NOW).unwrap_err();
        assert!(message.contains("is not authorized"), "{message}");
    }
    let message = check(&Credentials::None, "/topics/shop", NOW).unwrap_err();
    for header in ["aeg-sas-key", "aeg-sas-token", "Authorization"] {
        assert!(message.contains(header), "{message}");
    }
    let admin = Key::from_text(KEY);
    assert!(check_admin(&good, &admin).is_ok());
    for credentials in [
        Credentials::None,
        Credentials::Key("x".to_owned()),
        Credentials::Signature("x".to_owned()),
    ] {
        let error = check_admin(&credentials, &admin).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
}

#[test]
fn derived_keys() {
    let master = MasterKey::new([7; 32]);
    let topic = Uuid::from_u128(1);
    let keys = [
        master.topic_key(topic, KeySlot::Key1, 0),
        master.topic_key(topic, KeySlot::Key2, 0),
        master.topic_key(topic, KeySlot::Key1, 1),
        master.topic_key(Uuid::from_u128(2), KeySlot::Key1, 0),
        master.admin_key(0),
        MasterKey::new([8; 32]).admin_key(0),
    ];
    // A key that changed would lock every client out: python3 hmac gave the first one.
    assert_eq!(keys[0].as_str(), FIRST_KEY);
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(key.as_str().len(), 44);
        assert!(
            keys[..index]
                .iter()
                .all(|other| other.as_str() != key.as_str())
        );
    }
    assert_eq!(format!("{master:?}"), "MasterKey(…)");
}

const FIRST_KEY: &str = "jDXLKw1+UotyIPzXH7MLaSBJmktSgSbRPbCWf0k5ySY=";
