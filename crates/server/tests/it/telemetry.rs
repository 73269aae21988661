//! Traces, as a collector gets them.

use std::sync::Arc;

use crate::support::http::Hook;
use crate::support::{World, application, cloud, wait_for};
use axum::extract::{Request, State};
use foretell_server::Application;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use parking_lot::Mutex;
use prost::Message;
use serde_json::{Value, json};

type Spans = Arc<Mutex<Vec<Span>>>;

/// A collector on the loopback.
async fn collector() -> (String, Spans) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let spans = Spans::default();
    let app = axum::Router::new()
        .route("/v1/traces", axum::routing::post(take))
        .with_state(spans.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, spans)
}

async fn take(State(spans): State<Spans>, request: Request) -> &'static str {
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap();
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let of = resource.resource.unwrap().attributes;
        let service = of
            .iter()
            .find(|attribute| attribute.key == "service.name")
            .unwrap();
        assert_eq!(
            service.value.clone().unwrap().value,
            Some(Any::StringValue("foretell".to_owned()))
        );
        let found = resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        spans.lock().extend(found);
    }
    ""
}

fn attribute(span: &Span, name: &str) -> Option<Any> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == name)?;
    found.value.clone()?.value
}

fn text(value: &str) -> Option<Any> {
    Some(Any::StringValue(value.to_owned()))
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_traced() {
    let (url, spans) = collector().await;
    let world = World::with(&format!("[telemetry]\notlp_endpoint = \"{url}\"\n")).await;
    world.put("/topics/shop", json!({})).await.is(201);
    let hook = Hook::start().await;
    let to = |url: &str, batch: u32| {
        json!({"properties": {"destination": {"endpointType": "WebHook",
            "properties": {"endpointUrl": url, "maxEventsPerBatch": batch}}}})
    };
    let path = "/topics/shop/eventSubscriptions";
    world
        .put(&format!("{path}/good"), to(&hook.url, 1))
        .await
        .is(201);
    world
        .put(&format!("{path}/batched"), to(&hook.url, 10))
        .await
        .is(201);
    world
        .put(&format!("{path}/dead"), to("http://127.0.0.1:1/", 1))
        .await
        .is(201);
    let mut sent = cloud("1", "s");
    let of_event = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    sent["traceparent"] = json!(of_event);
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [
        ("content-type", "application/cloudevents+json"),
        ("traceparent", &*parent),
    ];
    let endpoint = "/topics/shop/api/events";
    world
        .call("POST", endpoint, &headers, sent.to_string())
        .await
        .is(200);
    world.call("POST", endpoint, &headers, "{").await.is(400);
    wait_for("deliveries", || hook.ids().len() == 2).await;
    let failed = || {
        world
            .node
            .subscription_stats("shop", "dead")
            .unwrap()
            .failed
    };
    wait_for("a failure", || failed() > 0).await;
    // What wasn't sent yet is sent at the end.
    world.node.close().await;
    let spans = spans.lock();
    let named = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .collect::<Vec<_>>()
    };
    let publishes = named("publish");
    assert_eq!(publishes.len(), 2, "{spans:?}");
    for publish in &publishes {
        assert_eq!(publish.kind(), SpanKind::Server);
        assert_eq!(
            (hex(&publish.trace_id), hex(&publish.parent_span_id)),
            (TRACE.to_owned(), PARENT.to_owned())
        );
        assert_eq!(
            attribute(publish, "messaging.destination.name"),
            text("shop")
        );
    }
    let refused = publishes
        .iter()
        .find(|span| attribute(span, "error.type").is_some());
    assert_eq!(
        attribute(refused.unwrap(), "error.type"),
        text("BadRequest")
    );
    let accepted = publishes
        .iter()
        .find(|span| attribute(span, "error.type").is_none())
        .unwrap();
    let [append] = named("append")[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(
        (&append.trace_id, &append.parent_span_id),
        (&accepted.trace_id, &accepted.span_id)
    );
    assert_eq!(
        attribute(append, "messaging.batch.message_count"),
        Some(Any::IntValue(1))
    );
    let deliveries = named("deliver");
    let mut to = Vec::new();
    for deliver in &deliveries {
        assert_eq!(deliver.kind(), SpanKind::Consumer);
        let [link] = &deliver.links[..] else {
            panic!("{deliver:?}")
        };
        let linked = format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id));
        assert_eq!(linked, of_event);
        assert_eq!(attribute(deliver, "messaging.message.id"), text("1"));
        let Some(Any::StringValue(name)) =
            attribute(deliver, "messaging.destination.subscription.name")
        else {
            panic!("{deliver:?}")
        };
        let failed = attribute(deliver, "error.type");
        assert_eq!(
            failed,
            (name == "shop/dead").then(|| Any::StringValue("SocketError".to_owned()))
        );
        to.push(name);
    }
    to.sort();
    assert_eq!(to, ["shop/batched", "shop/dead", "shop/good"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up() {
    let toml = "[topics.shop]\n[telemetry]\notlp_endpoint = \"http://127.0.0.1:1\"\n";
    let world = World::with(toml).await;
    let body: Value = json!([cloud("1", "s")]);
    world.publish(body).await.is(200);
    let world = world.reopen(Application::none()).await;
    assert_eq!(world.read("").await.len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["nothing", "ftp://127.0.0.1", "http://"] {
        let toml = format!("[telemetry]\notlp_endpoint = \"{wrong}\"\n");
        let application = application(folder.path(), &toml).unwrap();
        let opened = crate::support::open(&folder.path().join("data"), application).await;
        let error = opened.unwrap_err();
        assert!(
            error.message().contains("otlp_endpoint"),
            "{wrong}: {error}"
        );
    }
}
