//! Traces over OTLP: a span for each publish request, append and call of a handler. Without an
//! endpoint there is no tracer, and nothing is done for one.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_delivery::{BatchHandler, Failure, Handler, Invocation, Outcome};
use foretell_types::{Error, ExtensionValue, NewEvent, Result};
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    FutureExt, Link, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// Time that a collector has to take in a batch of spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
const NAME: &str = "foretell";

/// Where spans go; by default nowhere.
#[derive(Clone, Default)]
pub struct Telemetry(Option<Arc<Exporting>>);

struct Exporting {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Telemetry(on: {})", self.0.is_some())
    }
}

impl Telemetry {
    /// Sends spans to a collector's OTLP endpoint, in the background, as protobuf over HTTP. One
    /// that can't be reached costs spans, and nothing else. Called within a tokio runtime.
    pub fn start(endpoint: Option<&str>) -> Result<Telemetry> {
        let Some(endpoint) = endpoint else {
            return Ok(Telemetry::default());
        };
        let here = |error: &dyn fmt::Display| {
            Error::invalid(format!("otlp_endpoint {endpoint:?} can't be used: {error}"))
        };
        let parsed = endpoint
            .parse::<http::Uri>()
            .map_err(|error| here(&error))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(here(&"expected a URL such as http://127.0.0.1:4318"));
        }
        // A provider that is installed already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(EXPORT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| here(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client {
                client,
                runtime: tokio::runtime::Handle::current(),
            })
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| here(&error))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(NAME).build())
            .build();
        let tracer = provider.tracer(NAME);
        Ok(Telemetry(Some(Arc::new(Exporting { tracer, provider }))))
    }

    /// Sends what wasn't sent yet.
    pub async fn stop(&self) {
        let Some(exporting) = self.0.clone() else {
            return;
        };
        let stopped = tokio::task::spawn_blocking(move || {
            exporting.provider.shutdown_with_timeout(EXPORT_TIMEOUT)
        });
        match stopped.await {
            Ok(Ok(()) | Err(OTelSdkError::AlreadyShutdown)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
            Err(error) => tracing::warn!(%error, "the last spans could not be sent"),
        }
    }

    /// The span of a publish request, which goes on from the request's `traceparent`.
    pub async fn publish<T, E>(
        &self,
        topic: &str,
        headers: &HeaderMap,
        why: impl Fn(&E) -> &Error,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(exporting) = &self.0 else {
            return work.await;
        };
        let parent = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let attributes = vec![
            KeyValue::new("messaging.system", NAME),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", topic.to_owned()),
        ];
        exporting
            .within(
                "publish",
                SpanKind::Server,
                parent,
                attributes,
                Vec::new(),
                work,
                |error| {
                    let error = why(error);
                    (error.kind().code().to_owned(), error.message().to_owned())
                },
            )
            .await
    }

    /// The span of an append, within the one of the request.
    pub async fn append<T>(
        &self,
        topic: &str,
        events: usize,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(exporting) = &self.0 else {
            return work.await;
        };
        let attributes = vec![
            KeyValue::new("messaging.destination.name", topic.to_owned()),
            KeyValue::new("messaging.batch.message_count", events as i64),
        ];
        let kind = SpanKind::Internal;
        exporting
            .within(
                "append",
                kind,
                Context::current(),
                attributes,
                Vec::new(),
                work,
                |error| (error.kind().code().to_owned(), error.message().to_owned()),
            )
            .await
    }

    /// A handler whose calls have spans; `name` is what they are called.
    pub fn trace(&self, handler: Arc<dyn Handler>, name: &'static str) -> Arc<dyn Handler> {
        match &self.0 {
            None => handler,
            Some(exporting) => Arc::new(Traced {
                handler,
                name,
                exporting: exporting.clone(),
            }),
        }
    }
}

impl Exporting {
    #[allow(clippy::too_many_arguments, reason = "all that a span has")]
    async fn within<T, E>(
        &self,
        name: &'static str,
        kind: SpanKind,
        parent: Context,
        attributes: Vec<KeyValue>,
        links: Vec<Link>,
        work: impl Future<Output = Result<T, E>>,
        why: impl Fn(&E) -> (String, String),
    ) -> Result<T, E> {
        let builder = self.tracer.span_builder(name).with_kind(kind);
        let builder = builder.with_attributes(attributes).with_links(links);
        let context = parent.with_span(builder.start_with_context(&self.tracer, &parent));
        let done = work.with_context(context.clone()).await;
        if let Err(error) = &done {
            let (code, message) = why(error);
            context
                .span()
                .set_attribute(KeyValue::new("error.type", code));
            context.span().set_status(Status::error(message));
        }
        context.span().end();
        done
    }
}

/// A handler whose calls have spans, each linked to the trace that its event is of.
struct Traced {
    handler: Arc<dyn Handler>,
    name: &'static str,
    exporting: Arc<Exporting>,
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.fmt(f)
    }
}

impl Traced {
    async fn call<T>(
        &self,
        about: Vec<KeyValue>,
        links: Vec<Link>,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let why = |failure: &Failure| (format!("{:?}", failure.kind), failure.message.clone());
        let (kind, parent) = (SpanKind::Consumer, Context::new());
        self.exporting
            .within(self.name, kind, parent, about, links, work, why)
            .await
    }
}

fn about(invocation: &Invocation, events: usize) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", NAME),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.destination.name", invocation.topic.to_string()),
        KeyValue::new(
            "messaging.destination.subscription.name",
            invocation.subscription.to_string(),
        ),
        KeyValue::new("messaging.message.id", invocation.event.id.clone()),
        KeyValue::new("messaging.batch.message_count", events as i64),
        KeyValue::new("foretell.position", invocation.event.position.get() as i64),
        KeyValue::new("foretell.attempts", i64::from(invocation.attempts)),
    ]
}

#[async_trait]
impl Handler for Traced {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        let about = about(&invocation, 1);
        let links = link(&invocation.event).into_iter().collect();
        self.call(about, links, self.handler.handle(invocation))
            .await
    }

    fn batches(&self) -> Option<&dyn BatchHandler> {
        self.handler
            .batches()
            .is_some()
            .then_some(self as &dyn BatchHandler)
    }
}

#[async_trait]
impl BatchHandler for Traced {
    fn batch(&self) -> foretell_delivery::Batch {
        self.handler
            .batches()
            .map(BatchHandler::batch)
            .unwrap_or_default()
    }

    fn fit(
        &self,
        one: &foretell_types::RecordedEvent,
        other: &foretell_types::RecordedEvent,
    ) -> bool {
        self.handler
            .batches()
            .is_some_and(|handler| handler.fit(one, other))
    }

    async fn handle_batch(&self, batch: Vec<Invocation>) -> Result<(), Failure> {
        let (Some(handler), Some(first)) = (self.handler.batches(), batch.first()) else {
            return Ok(());
        };
        let about = about(first, batch.len());
        let links = batch
            .iter()
            .filter_map(|invocation| link(&invocation.event))
            .collect();
        self.call(about, links, handler.handle_batch(batch)).await
    }
}

/// The trace that an event is of, by its extension attributes.
/// Source: CloudEvents, "Distributed Tracing Extension".
fn link(event: &NewEvent) -> Option<Link> {
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &EventExtractor(event));
    let span = context.span().span_context().clone();
    span.is_valid().then(|| Link::with_context(span))
}

struct HeaderExtractor<'a>(&'a HeaderMap);

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct EventExtractor<'a>(&'a NewEvent);

impl Extractor for EventExtractor<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match self.0.extension(key)? {
            ExtensionValue::String(text) => Some(text),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.extensions.iter().map(|(name, _)| &**name).collect()
    }
}

/// Sends what the exporter's own thread has, on the server's runtime.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let status = answer.status();
            // What it says is of no use, and may be without end.
            Ok::<_, reqwest::Error>(status)
        });
        let status = sent.await??;
        Ok(http::Response::builder()
            .status(status)
            .body(Bytes::new())?)
    }
}
