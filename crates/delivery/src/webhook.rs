use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use foretell_types::limits::{
    DELIVERY_TIMEOUT_MS, RETRY_AFTER_MOST_S, WEBHOOK_ANSWER_BYTES, WEBHOOK_IDLE, WEBHOOK_IDLE_MS,
};
use foretell_types::{Data, Error, RecordedEvent, Result, cloudevents, eventgrid};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::attributes::{HeaderSource, Headers, values};
use crate::batch::{Batch, BatchHandler};
use crate::handler::{Failure, FailureKind, Handler, Invocation, Outcome};
use crate::reach;

/// Who sends, as Event Grid names itself to endpoints of CloudEvents.
pub(crate) const ORIGIN: &str = "eventgrid.azure.net";
/// How long the answer of a success is read.
const DRAIN: Duration = Duration::from_millis(500);

/// The schema in which a webhook gets its events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum WebhookSchema {
    /// A JSON array with one event.
    #[default]
    EventGrid,
    /// One CloudEvent, structured.
    CloudEvents,
    /// A JSON array with the event's data: what was sent to a topic of a custom schema.
    Custom,
    /// Each event in the schema that it came in: those with this source (the topic's resource id)
    /// in Event Grid's, others as CloudEvents.
    AsSent { topic_id: String },
}

impl WebhookSchema {
    /// Whether an event goes out as a CloudEvent.
    pub(crate) fn is_cloud_events(&self, event: &RecordedEvent) -> bool {
        match self {
            WebhookSchema::EventGrid | WebhookSchema::Custom => false,
            WebhookSchema::CloudEvents => true,
            WebhookSchema::AsSent { topic_id } => event.source != *topic_id,
        }
    }
}

/// Delivers events to a URL as Event Grid does; success is 200 to 204.
/// Source: "Azure Event Grid delivery and retry", "Receive events to an HTTP endpoint",
/// "CloudEvents v1.0 schema with Azure Event Grid".
pub struct Webhook {
    pub(crate) url: reqwest::Url,
    pub(crate) client: reqwest::Client,
    pub(crate) schema: WebhookSchema,
    batch: Batch,
    pub(crate) headers: Headers,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may hold a secret.
        write!(
            f,
            "webhook {}{}",
            self.url.host_str().unwrap_or(""),
            self.url.path()
        )
    }
}

impl Webhook {
    /// Not at a link-local address.
    pub fn new(url: &str) -> Result<Webhook> {
        Webhook::build(url, |url, client| {
            reach::check(url)?;
            Ok(client.dns_resolver(reach::Resolver))
        })
    }

    /// At any address.
    pub fn anywhere(url: &str) -> Result<Webhook> {
        Webhook::build(url, |_, client| Ok(client))
    }

    fn build(
        url: &str,
        reach: impl FnOnce(&reqwest::Url, reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder>,
    ) -> Result<Webhook> {
        let parsed = reqwest::Url::parse(url)
            .map_err(|error| Error::invalid(format!("{url:?} is not a URL: {error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(Error::invalid(format!(
                "{url:?} is not an http or https URL"
            )));
        }
        let client = reqwest::Client::builder().tls_backend_preconfigured(crate::tls::config()?);
        let client = reach(&parsed, client)?
            .timeout(Duration::from_millis(DELIVERY_TIMEOUT_MS as u64))
            .pool_max_idle_per_host(WEBHOOK_IDLE)
            .pool_idle_timeout(Duration::from_millis(WEBHOOK_IDLE_MS as u64))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("foretell/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::unavailable(format!("can't make an HTTP client: {error}")))?;
        Ok(Webhook {
            url: parsed,
            client,
            schema: WebhookSchema::default(),
            batch: Batch::default(),
            headers: Headers::new(),
        })
    }

    /// The same, with events in another schema than Event Grid's.
    #[must_use]
    pub fn with_schema(mut self, schema: WebhookSchema) -> Webhook {
        self.schema = schema;
        self
    }

    /// The same, with several events in a request.
    #[must_use]
    pub fn with_batch(mut self, batch: Batch) -> Webhook {
        self.batch = batch;
        self
    }

    /// The same, with more headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, HeaderSource)>) -> Webhook {
        self.headers = headers;
        self
    }

    fn in_cloud_events(&self, event: &RecordedEvent) -> bool {
        self.schema.is_cloud_events(event)
    }

    fn write_json(&self, out: &mut Vec<u8>, event: &RecordedEvent) {
        match (&self.schema, &event.data) {
            (WebhookSchema::Custom, Data::Json(sent)) => out.extend_from_slice(sent.as_bytes()),
            _ if self.in_cloud_events(event) => cloudevents::write(out, event),
            _ => eventgrid::write(out, event, Some(event.recorded_time)),
        }
    }

    /// One event as it is, several in an array. Who gets batches gets an array always, also of
    /// one; so does who gets another schema than CloudEvents.
    fn body(&self, batch: &[Invocation], first: &RecordedEvent) -> Vec<u8> {
        let bytes = |one: &Invocation| 512 + one.event.data.len();
        let mut body = Vec::with_capacity(batch.iter().map(bytes).sum());
        let is_array = self.batch.max_events > 1 || !self.in_cloud_events(first);
        for one in batch {
            match (body.is_empty(), is_array) {
                (true, true) => body.push(b'['),
                (true, false) => {}
                (false, _) => body.push(b','),
            }
            self.write_json(&mut body, &one.event);
        }
        if is_array {
            body.push(b']');
        }
        body
    }

    /// The headers about the schema.
    fn add_schema(&self, headers: &mut HeaderMap, batch: &[Invocation], first: &RecordedEvent) {
        let text = HeaderValue::from_static;
        if self.in_cloud_events(first) {
            headers.insert("origin", HeaderValue::from_static(ORIGIN));
            headers.insert("aeg-metadata-version", HeaderValue::from_static("1.0"));
            let content_type = match self.batch.max_events {
                1 => text("application/cloudevents+json; charset=utf-8"),
                _ => text("application/cloudevents-batch+json; charset=utf-8"),
            };
            headers.insert(CONTENT_TYPE, content_type);
            return;
        }
        headers.insert(CONTENT_TYPE, text("application/json; charset=utf-8"));
        headers.insert("aeg-metadata-version", HeaderValue::from_static("1"));
        let version = first.extension_str(eventgrid::DATA_VERSION);
        let is_same =
            |one: &Invocation| one.event.extension_str(eventgrid::DATA_VERSION) == version;
        if batch.iter().all(is_same) {
            headers.insert("aeg-data-version", header(version));
        }
    }

    fn headers(&self, batch: &[Invocation], first: &Invocation) -> HeaderMap {
        let name = first.subscription.rsplit('/').next().unwrap_or("");
        let attempts = batch.iter().map(|one| one.attempts).max().unwrap_or(0);
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert("aeg-event-type", HeaderValue::from_static("Notification"));
        let name = header(Some(&name.to_uppercase()));
        headers.insert("aeg-subscription-name", name);
        headers.insert("aeg-delivery-count", attempts.into());
        for (name, value) in values(&self.headers, &first.event) {
            // Names were checked when they were given.
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                headers.append(name, header(Some(&value)));
            }
        }
        // What is about one event alone.
        if let [Invocation { event, .. }] = batch {
            headers.insert("aeg-output-event-id", header(Some(&event.id)));
            for name in ["traceparent", "tracestate"] {
                if let Some(value) = event.extension_str(name) {
                    headers.append(name, header(Some(value)));
                }
            }
        }
        self.add_schema(&mut headers, batch, &first.event);
        if first.replayed {
            headers.insert("foretell-replayed", HeaderValue::from_static("true"));
        }
        headers
    }

    /// Made by hand: a builder looks at each header's name and value again.
    fn request(&self, batch: &[Invocation], first: &Invocation) -> reqwest::Request {
        let mut request = reqwest::Request::new(reqwest::Method::POST, self.url.clone());
        *request.headers_mut() = self.headers(batch, first);
        *request.body_mut() = Some(self.body(batch, &first.event).into());
        request
    }

    /// Delivers all of them in one request.
    async fn deliver(&self, batch: &[Invocation]) -> Result<(), Failure> {
        let Some(first) = batch.first() else {
            return Ok(());
        };
        let request = self.request(batch, first);
        let answer = self.client.execute(request).await.map_err(not_sent)?;
        let status = answer.status().as_u16();
        if (200..=204).contains(&status) {
            // It is a success already; read so that the connection can be used again.
            if answer.content_length() != Some(0) {
                let _ = tokio::time::timeout(DRAIN, read_bytes(answer)).await;
            }
            return Ok(());
        }
        let asked = retry_after(answer.headers());
        let text = shown(&String::from_utf8_lossy(&read_bytes(answer).await));
        let failure = by_status(status, &text);
        Err(Failure {
            wait: failure.wait.max(asked),
            ..failure
        })
    }
}

/// A header can't hold every character that an attribute can.
fn header(value: Option<&str>) -> HeaderValue {
    let text = value.unwrap_or("");
    let fits = |c: &char| (' '..='~').contains(c);
    match text.chars().all(|c| fits(&c)) {
        true => HeaderValue::from_str(text),
        false => HeaderValue::from_str(&text.chars().filter(fits).collect::<String>()),
    }
    .unwrap_or(HeaderValue::from_static(""))
}

#[async_trait]
impl Handler for Webhook {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        self.deliver(&[invocation]).await?;
        Ok(Outcome::default())
    }

    fn batches(&self) -> Option<&dyn BatchHandler> {
        (self.batch.max_events > 1).then_some(self)
    }
}

#[async_trait]
impl BatchHandler for Webhook {
    fn batch(&self) -> Batch {
        self.batch
    }

    fn fit(&self, one: &RecordedEvent, other: &RecordedEvent) -> bool {
        self.in_cloud_events(one) == self.in_cloud_events(other)
            && values(&self.headers, one).eq(values(&self.headers, other))
    }

    async fn handle_batch(&self, batch: Vec<Invocation>) -> Result<(), Failure> {
        self.deliver(&batch).await
    }
}

/// A request without an answer, as a failed attempt.
pub(crate) fn not_sent(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let message = with_causes(&error);
    let kind = match () {
        () if error.is_timeout() => FailureKind::TimedOut,
        () if error.is_connect() && message.contains("dns error") => FailureKind::ResolutionError,
        () if error.is_connect() => FailureKind::SocketError,
        () => FailureKind::Aborted,
    };
    Failure::new(kind, message)
}

/// An error with what caused it, on one line.
fn with_causes(error: &reqwest::Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message.chars().take(500).collect()
}

/// The beginning of an answer.
pub(crate) async fn read_bytes(mut answer: reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < WEBHOOK_ANSWER_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// As much of an answer as a message holds.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(300).collect()
}

/// How long an endpoint asks to be left alone: in seconds, or until a time by its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    use reqwest::header::{DATE, RETRY_AFTER};
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
            until.duration_since(date).ok()?
        }
    };
    Some(wait.min(Duration::from_secs(RETRY_AFTER_MOST_S as u64)))
}

/// What a status means: its name, whether it is final, the least wait.
fn by_status(status: u16, text: &str) -> Failure {
    let (kind, permanent, wait) = match status {
        400 => (FailureKind::BadRequest, true, 10),
        401 => (FailureKind::Unauthorized, true, 10),
        403 => (FailureKind::Forbidden, true, 10),
        404 => (FailureKind::NotFound, false, 300),
        408 => (FailureKind::TimedOut, false, 120),
        413 => (FailureKind::PayloadTooLarge, true, 10),
        429 => (FailureKind::Busy, false, 10),
        503 => (FailureKind::Busy, false, 30),
        _ => (FailureKind::Aborted, false, 10),
    };
    // The schedule's own first wait is 10 s: only longer ones are asked for here.
    let wait = (wait > 10).then(|| Duration::from_secs(wait));
    Failure {
        kind,
        message: format!("the endpoint answered {status} {text}"),
        permanent,
        wait,
    }
}
