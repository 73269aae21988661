//! Whatever comes is read or refused, and nothing panics.

use foretell_protocol::{
    Credentials, Filter, InputMapping, InputSchema, Key, SubscriptionDefinition, Target,
    TopicDefinition, check_topic, error_from_body, parse_expiry,
};
use foretell_types::{ErrorKind, validate};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

use crate::capture::{NOW, all, read};

fn header() -> impl Strategy<Value = (HeaderName, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "content-type",
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-subject",
        "ce-time",
        "ce-ext",
        "ce-tags",
        "ce-revision",
        "aeg-sas-key",
        "aeg-sas-token",
        "authorization",
    ]);
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "1.0",
            "application/json",
            "application/cloudevents+json",
            "text/plain; charset=",
            "application/cloudevents-batch+json; charset=utf-8",
            "%C3%28",
            "\"a\\",
            "2024-01-01T00:00:00Z",
            "SharedAccessSignature r=%&e=%&s=%",
            "Bearer",
            "r=a&e=1/1/1&s=AAAA",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (name.prop_map(HeaderName::from_static), value)
}

fn header_map() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec(header(), 0..8).prop_map(|pairs| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        headers
    })
}

/// Captured bodies with some bytes changed or cut, JSON-like text, and plain noise.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<Vec<u8>> = all().into_iter().map(|request| request.body).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let mutated = (
        prop::sample::select(bodies),
        changes,
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(mut body, changes, end, cut)| {
            for (at, byte) in changes {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = byte;
                }
            }
            if cut {
                body.truncate(end.index(body.len() + 1));
            }
            body
        });
    prop_oneof![
        mutated,
        "[\\[\\]{}\",:\\\\ \u{e9}a1]{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn schema() -> impl Strategy<Value = InputSchema> {
    prop::sample::select(vec![
        InputSchema::Any,
        InputSchema::EventGrid,
        InputSchema::CloudEvents,
        InputSchema::Custom,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn requests(headers in header_map(), body in body(), schema in schema(), query in ".*") {
        match read(&headers, &body, schema, None) {
            Ok(events) => for event in &events {
                prop_assert!(validate(event).is_ok());
            },
            Err(error) => prop_assert!(
                matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge), "{}", error
            ),
        }
        if let Ok(credentials) = Credentials::from_request(&headers, Some(&query)) {
            let key = Key::from_text("a2V5");
            prop_assert!(check_topic(&credentials, [&key, &key], "/topics/shop", NOW).is_err());
        }
    }

    #[test]
    fn bodies_without_headers(body in body(), schema in schema()) {
        let mapping = InputMapping { id: Some("a.b".to_owned()), ..InputMapping::default() };
        let _ = read(&HeaderMap::new(), &body, schema, Some(&mapping));
        let _ = error_from_body(StatusCode::BAD_REQUEST, &body);
        if let Ok(value) = serde_json::from_slice::<Value>(&body) {
            let _ = Filter::from_json(Some(&value));
            let _ = InputMapping::from_json(&value);
            let _ = TopicDefinition::from_json(&value);
            let _ = SubscriptionDefinition::from_json(&value, schema);
        }
    }

    #[test]
    fn texts(text in ".*", date in "[0-9/: APM,.TZ+-]{0,30}") {
        let _ = parse_expiry(&text);
        let _ = parse_expiry(&date);
        let _ = text.parse::<Target>();
        let _ = format!("function:{text}").parse::<Target>();
        let _ = format!("webhook:http://{text}").parse::<Target>();
    }
}
