//! The handshake, against endpoints that say yes, no and nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::support::http::{Answer, Server, serve};
use foretell_delivery::{Handshake, Validated, Webhook, WebhookSchema};
use foretell_types::{Instant, Result};
use serde_json::json;

fn handshake() -> Handshake {
    Handshake {
        code: "c0de".into(),
        url: "http://127.0.0.1:4077/validate?code=c0de".into(),
        topic_id: "/topics/shop".into(),
        subscription: "mail".into(),
        id: uuid::Uuid::nil(),
        now: Instant::from_nanos(1_700_000_000_000_000_000),
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

async fn ask(schema: WebhookSchema, answers: Vec<String>) -> (Result<Validated>, Server) {
    let server = serve(Answer::InTurn(answers)).await;
    let webhook = Webhook::new(&server.url).unwrap().with_schema(schema);
    let validated = webhook.validate(&handshake(), Duration::ZERO).await;
    (validated, server)
}

#[tokio::test]
async fn an_endpoint_of_event_grid_gives_the_code_back() {
    for schema in [
        WebhookSchema::EventGrid,
        WebhookSchema::Custom,
        WebhookSchema::AsSent {
            topic_id: "/topics/shop".into(),
        },
    ] {
        let yes = answer("200 OK", "", r#"{"validationResponse":"c0de"}"#);
        let (validated, server) = ask(schema, vec![yes]).await;
        assert_eq!(validated.unwrap(), Validated::Yes { rate: None });
        let requests = server.requests.lock().unwrap().clone();
        assert_eq!(requests.len(), 1);
        let request = &requests[0];
        assert_eq!(request.line, "POST /hook?code=secret HTTP/1.1");
        for (name, value) in [
            ("aeg-event-type", "SubscriptionValidation"),
            ("aeg-subscription-name", "MAIL"),
            ("content-type", "application/json; charset=utf-8"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let expected = json!([{
            "id": uuid::Uuid::nil(), "topic": "/topics/shop", "subject": "",
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": "2023-11-14T22:13:20Z", "metadataVersion": "1", "dataVersion": "1",
            "data": {"validationCode": "c0de",
                "validationUrl": "http://127.0.0.1:4077/validate?code=c0de"},
        }]);
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn an_endpoint_of_cloudevents_allows_the_origin() {
    for (allowed, says, rate) in [
        ("eventgrid.azure.net", "yes", "*"),
        ("*", "yes", "90"),
        ("example.com, EventGrid.Azure.NET", "yes", "0"),
        ("example.com", "no", "1"),
    ] {
        let headers =
            format!("WebHook-Allowed-Origin: {allowed}\r\nWebHook-Allowed-Rate: {rate}\r\n");
        let answers = vec![answer("200 OK", &headers, "")];
        let (validated, server) = ask(WebhookSchema::CloudEvents, answers).await;
        match says {
            "yes" => {
                let rate = NonZeroU32::new(rate.parse().unwrap_or(0));
                assert_eq!(validated.unwrap(), Validated::Yes { rate });
            }
            _ => {
                let message = validated.unwrap_err().to_string();
                assert!(message.contains("WebHook-Allowed-Origin: example.com, expected"));
            }
        }
        let requests = server.requests.lock().unwrap().clone();
        let request = &requests[0];
        assert_eq!(request.line, "OPTIONS /hook?code=secret HTTP/1.1");
        for (name, value) in [
            ("webhook-request-origin", "eventgrid.azure.net"),
            (
                "webhook-request-callback",
                "http://127.0.0.1:4077/validate?code=c0de",
            ),
            ("webhook-request-rate", "*"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
    }
}

#[tokio::test]
async fn who_says_nothing_is_left_to_a_human() {
    let forms = [
        (WebhookSchema::EventGrid, "", "200 and no body, expected"),
        (
            WebhookSchema::EventGrid,
            "thanks",
            "200 and thanks, expected",
        ),
        (WebhookSchema::EventGrid, "[1]", "200 and [1], expected"),
        (
            WebhookSchema::EventGrid,
            r#"{"validationResponse":1}"#,
            "200 and {",
        ),
        (WebhookSchema::CloudEvents, "x", "WebHook-Allowed-Origin"),
    ];
    for (schema, body, word) in forms {
        let (validated, _) = ask(schema, vec![answer("200 OK", "", body)]).await;
        match validated.unwrap() {
            Validated::ByHand(why) => assert!(why.contains(word), "{why}"),
            Validated::Yes { .. } => panic!("{body} is no yes"),
        }
    }
}

#[tokio::test]
async fn a_refusal_is_asked_once_more_and_told() {
    let no = answer("404 Not Found", "", "no such page");
    let yes = answer("200 OK", "", r#"{"ValidationResponse":"c0de"}"#);
    let (validated, server) = ask(WebhookSchema::EventGrid, vec![no.clone(), yes.clone()]).await;
    assert_eq!(validated.unwrap(), Validated::Yes { rate: None });
    assert_eq!(server.requests.lock().unwrap().len(), 2);
    let (validated, server) = ask(WebhookSchema::EventGrid, vec![no.clone(), no, yes]).await;
    let message = validated.unwrap_err().to_string();
    assert!(
        message.contains("answered 404 no such page, expected 200 and {\"validationResponse\""),
        "{message}"
    );
    assert_eq!(server.requests.lock().unwrap().len(), 2);
    for (status, body, word) in [
        ("202 Accepted", r#"{"validationResponse":"c0de"}"#, "202"),
        ("204 No Content", "", "204"),
        ("200 OK", r#"{"validationResponse":"other"}"#, "another"),
    ] {
        let (validated, _) = ask(WebhookSchema::EventGrid, vec![answer(status, "", body)]).await;
        let message = validated.unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn nobody_there_is_a_refusal() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?code=secret", listener.local_addr().unwrap());
    drop(listener);
    let webhook = Webhook::new(&url).unwrap();
    let refused = webhook.validate(&handshake(), Duration::ZERO).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("did not answer: SocketError"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}
