//! Webhooks against a small server that behaves and misbehaves.

use std::sync::Arc;
use std::time::Duration;

use crate::support::http::{Answer, serve};
use crate::support::{World, event, options};
use foretell_delivery::{
    BatchHandler, Failure, FailureKind, Handler, HeaderSource, Invocation, Outcome, Webhook,
    WebhookSchema,
};
use foretell_types::{ExtensionValue, Instant, Position, RecordedEvent, eventgrid};

fn invocation() -> Invocation {
    let mut event = event(7, Some("küche/1".into()));
    event.id = "id-ü7".into();
    event.set_extension(
        eventgrid::DATA_VERSION,
        ExtensionValue::String("2.0".into()),
    );
    for (name, value) in [("traceparent", "00-ab-cd-01"), ("tracestate", "a=1,b=2")] {
        event.set_extension(name, ExtensionValue::String(value.into()));
    }
    Invocation {
        subscription: "shop/hook-1".into(),
        topic: "shop".into(),
        event: Arc::new(RecordedEvent {
            event,
            position: Position::FIRST,
            revision: None,
            recorded_time: Instant::from_nanos(1_700_000_000_000_000_000),
            erased: false,
        }),
        id: uuid::Uuid::nil(),
        attempts: 3,
        first_attempt: Instant::from_nanos(0),
        replayed: true,
    }
}

async fn call(answer: Answer) -> Result<Outcome, Failure> {
    let server = serve(answer).await;
    let webhook = Webhook::new(&server.url).unwrap();
    let result = webhook.handle(invocation()).await;
    if let Err(failure) = &result {
        assert!(!failure.message.contains("secret"), "{}", failure.message);
    }
    result
}

/// The body and content type of a delivery in a schema; the trace context goes along in each.
async fn delivered(schema: WebhookSchema) -> (String, String) {
    let server = serve(Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let webhook = Webhook::new(&server.url).unwrap().with_schema(schema);
    webhook.handle(invocation()).await.unwrap();
    let requests = server.requests.lock().unwrap().clone();
    let request = &requests[0];
    assert_eq!(request.header("traceparent"), Some("00-ab-cd-01"));
    assert_eq!(request.header("tracestate"), Some("a=1,b=2"));
    (
        request.header("content-type").unwrap().to_owned(),
        request.body.clone(),
    )
}

#[tokio::test]
async fn each_schema_has_its_form() {
    let source = invocation().event.source.clone();
    let (content_type, body) = delivered(WebhookSchema::CloudEvents).await;
    assert_eq!(content_type, "application/cloudevents+json; charset=utf-8");
    assert!(body.starts_with("{\"specversion\":\"1.0\""), "{body}");
    let (content_type, body) = delivered(WebhookSchema::Custom).await;
    assert_eq!(content_type, "application/json; charset=utf-8");
    assert!(!body.contains("eventType"), "{body}");
    let (_, body) = delivered(WebhookSchema::AsSent { topic_id: source }).await;
    assert!(body.starts_with("[{\"id\""), "{body}");
    let (_, body) = delivered(WebhookSchema::AsSent {
        topic_id: "/other".into(),
    })
    .await;
    assert!(body.starts_with("{\"specversion\""), "{body}");
}

#[tokio::test]
async fn the_request_is_as_event_grid_makes_it() {
    let server = serve(Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let webhook = Webhook::new(&server.url).unwrap();
    assert!(!format!("{webhook:?}").contains("secret"));
    webhook.handle(invocation()).await.unwrap();
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.line, "POST /hook?code=secret HTTP/1.1");
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("aeg-event-type", "Notification"),
        ("aeg-subscription-name", "HOOK-1"),
        ("aeg-delivery-count", "3"),
        ("aeg-metadata-version", "1"),
        ("aeg-data-version", "2.0"),
        ("aeg-output-event-id", "id-7"),
        ("traceparent", "00-ab-cd-01"),
        ("foretell-replayed", "true"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let expected = serde_json::json!([{
        "id": "id-ü7", "topic": "/test", "subject": "küche/1", "eventType": "thing.happened",
        "eventTime": "2023-11-14T22:13:20Z", "data": {"number": 7}, "dataVersion": "2.0",
        "metadataVersion": "1",
    }]);
    assert_eq!(body, expected);
}

#[tokio::test]
async fn headers_of_a_subscription_go_along() {
    let server = serve(Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let from = |field: &str| HeaderSource::Dynamic(field.into());
    let headers = vec![
        ("X-Tenant".into(), HeaderSource::Static("acme".into())),
        ("x-number".into(), from("data.number")),
        ("x-subject".into(), from("subject")),
        ("x-nothing".into(), from("data.nothing")),
    ];
    let webhook = Webhook::new(&server.url).unwrap().with_headers(headers);
    webhook.handle(invocation()).await.unwrap();
    let request = server.requests.lock().unwrap()[0].clone();
    assert_eq!(request.header("x-tenant"), Some("acme"));
    assert_eq!(request.header("x-number"), Some("7"));
    assert_eq!(request.header("x-subject"), None, "a header can't hold it");
    assert_eq!(request.header("x-nothing"), None);
    // Only events of which they say the same go together.
    let other = |number: u64| RecordedEvent {
        event: event(number, None),
        ..(*invocation().event).clone()
    };
    assert!(webhook.fit(&other(7), &invocation().event));
    assert!(!webhook.fit(&other(8), &invocation().event));
}

#[tokio::test]
async fn what_each_status_means() {
    use FailureKind::{
        Aborted, BadRequest, Busy, Forbidden, NotFound, PayloadTooLarge, TimedOut, Unauthorized,
    };
    for status in [200, 201, 202, 203, 204] {
        let head = format!("HTTP/1.1 {status} Fine\r\ncontent-length: 0\r\n\r\n");
        call(Answer::Bytes(head.leak().as_bytes())).await.unwrap();
    }
    for (status, kind, permanent, wait) in [
        (205, Aborted, false, None),
        (206, Aborted, false, None),
        (400, BadRequest, true, None),
        (401, Unauthorized, true, None),
        (403, Forbidden, true, None),
        (404, NotFound, false, Some(300)),
        (408, TimedOut, false, Some(120)),
        (413, PayloadTooLarge, true, None),
        (429, Busy, false, None),
        (500, Aborted, false, None),
        (503, Busy, false, Some(30)),
    ] {
        let head = format!("HTTP/1.1 {status} Oh\r\ncontent-length: 4\r\n\r\nwhy?");
        let failure = call(Answer::Bytes(head.leak().as_bytes()))
            .await
            .unwrap_err();
        let wait = wait.map(Duration::from_secs);
        assert_eq!(
            (failure.kind, failure.permanent, failure.wait),
            (kind, permanent, wait)
        );
        let expected = match status {
            205 => "the endpoint answered 205",
            _ => &format!("the endpoint answered {status} why?"),
        };
        assert!(failure.message.starts_with(expected), "{}", failure.message);
    }
}

#[tokio::test]
async fn an_endpoint_can_ask_for_a_longer_wait() {
    for (status, headers, wait) in [
        (429, "retry-after: 90", Some(90)),
        (503, "retry-after: 7", Some(30)),
        (500, "Retry-After: 999999999", Some(3_600)),
        (500, "Retry-After: soon", None),
        (500, "retry-after: -1", None),
        (
            429,
            "date: Tue, 24 Nov 2026 10:00:00 GMT\r\nretry-after: Tue, 24 Nov 2026 10:02:00 GMT",
            Some(120),
        ),
        (
            429,
            "date: Tue, 24 Nov 2026 10:00:00 GMT\r\nretry-after: Tue, 24 Nov 2026 09:00:00 GMT",
            None,
        ),
    ] {
        let head = format!("HTTP/1.1 {status} Oh\r\n{headers}\r\ncontent-length: 0\r\n\r\n");
        let failure = call(Answer::Bytes(head.leak().as_bytes()))
            .await
            .unwrap_err();
        assert_eq!(failure.wait, wait.map(Duration::from_secs), "{headers}");
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let other = serve(Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let head = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        other.url
    );
    let failure = call(Answer::Bytes(head.leak().as_bytes()))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.kind, failure.permanent),
        (FailureKind::Aborted, false)
    );
    assert!(other.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn garbage_is_a_failure() {
    for bytes in [
        &b"\0\x01\xff no HTTP at all\r\n\r\n"[..],
        b"",
        b"HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: \u{fc}\u{fc}\r\n\r\n".as_bytes(),
    ] {
        let failure = call(Answer::Bytes(bytes)).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.permanent),
            (FailureKind::Aborted, false)
        );
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let head = b"HTTP/1.1 500 Oh\r\n\r\n";
    let failure = call(Answer::Endless(head)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Aborted);
    assert!(failure.message.chars().count() < 400);
    call(Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\n"))
        .await
        .unwrap();
    // A head without end.
    let failure = call(Answer::Endless(b"HTTP/1.1 200 OK\r\nx-"))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Aborted);
}

#[tokio::test]
async fn refused_and_unknown_hosts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?code=secret", listener.local_addr().unwrap());
    drop(listener);
    for (url, kind) in [
        (url.as_str(), FailureKind::SocketError),
        ("http://nobody.invalid/", FailureKind::ResolutionError),
    ] {
        let webhook = Webhook::new(url).unwrap();
        let failure = webhook.handle(invocation()).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.permanent),
            (kind, false),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("secret"));
    }
}

#[tokio::test]
async fn a_silent_endpoint_times_out() {
    let server = serve(Answer::Never).await;
    let webhook = Webhook::new(&server.url).unwrap();
    let calling = tokio::spawn(async move { webhook.handle(invocation()).await });
    crate::support::until(|| server.requests.lock().unwrap().len() == 1).await;
    // The request is there: only now may time fly.
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(29_000)).await;
    assert!(!calling.is_finished());
    tokio::time::advance(Duration::from_millis(2_000)).await;
    let failure = calling.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.kind, failure.permanent),
        (FailureKind::TimedOut, false)
    );
}

#[tokio::test]
async fn events_reach_a_webhook_by_a_subscription() {
    let server = serve(Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n")).await;
    let world = World::new().await;
    let hook = options(Arc::new(Webhook::new(&server.url).unwrap()));
    let subscription =
        foretell_delivery::Subscription::start(hook, world.log.clone(), world.storage.clone());
    world.publish(50, 5).await;
    world.until_settled(50).await;
    subscription.unwrap().stop().await;
    assert_eq!(server.requests.lock().unwrap().len(), 50);
}

#[test]
fn urls_that_are_none() {
    for url in [
        "",
        "localhost:80",
        "ftp://x/",
        "http://",
        "file:///etc/passwd",
    ] {
        assert!(Webhook::new(url).is_err(), "{url:?}");
    }
}

#[test]
fn link_local_addresses_are_refused() {
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.0.1:8443/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://[fe80::1]/",
        "http://[febf::1]:80/",
        "http://[::ffff:169.254.169.254]/",
    ] {
        let error = Webhook::new(url).unwrap_err();
        assert!(error.message().contains("link-local"), "{url}: {error}");
        assert!(
            error.message().contains("allow_internal_addresses"),
            "{error}"
        );
        Webhook::anywhere(url).unwrap();
    }
    for url in [
        "http://169.253.0.1/",
        "http://[fec0::1]/",
        "http://[::1]/",
        "http://10.0.0.1/",
    ] {
        Webhook::new(url).unwrap();
    }
}

#[tokio::test]
async fn names_are_resolved_as_the_system_does() {
    let server = serve(Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n")).await;
    let url = server.url.replace("127.0.0.1", "localhost");
    let webhook = Webhook::new(&url).unwrap();
    webhook.handle(invocation()).await.unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}
