//! The handshake with the endpoint of a webhook, before anything is delivered to it: Event Grid's
//! for events in its schema and in a custom one, CloudEvents' for CloudEvents.
//! Sources: "Endpoint validation with Event Grid event schema"; "HTTP 1.1 Web Hooks for Event
//! Delivery", version 1.0, section 4.

use std::num::NonZeroU32;
use std::time::Duration;

use foretell_types::{
    Data, Error, ExtensionValue, Instant, NewEvent, Result, Timestamp, eventgrid,
};
use serde_json::{Value, json};

use crate::attributes::HeaderSource;
use crate::webhook::{ORIGIN, Webhook, WebhookSchema, not_sent, read_bytes, shown};

/// As many deliveries a minute as the endpoint likes; it answers with those that it allows.
const RATE: &str = "*";

/// What an endpoint is asked with.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The secret that the endpoint gives back.
    pub code: String,
    /// Where a GET confirms the subscription by hand.
    pub url: String,
    /// The resource id of the topic.
    pub topic_id: String,
    pub subscription: String,
    pub id: uuid::Uuid,
    pub now: Instant,
}

/// What an endpoint that took the handshake said to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Validated {
    /// It wants the events; so many requests a minute, if it said so.
    Yes { rate: Option<NonZeroU32> },
    /// It answered 200, and did not say yes: someone has to confirm by hand. What it answered.
    ByHand(String),
}

impl Webhook {
    /// Asks the endpoint whether it wants the events; once more after `again` if it refuses. An
    /// error says what it answered, and what is expected.
    pub async fn validate(&self, handshake: &Handshake, again: Duration) -> Result<Validated> {
        if let Ok(validated) = self.ask(handshake).await {
            return Ok(validated);
        }
        tokio::time::sleep(again).await;
        self.ask(handshake).await
    }

    async fn ask(&self, handshake: &Handshake) -> Result<Validated> {
        match self.schema {
            WebhookSchema::CloudEvents => self.ask_by_options(handshake).await,
            _ => self.ask_by_event(handshake).await,
        }
    }

    async fn ask_by_event(&self, handshake: &Handshake) -> Result<Validated> {
        const EXPECTED: &str = "expected 200 and {\"validationResponse\": CODE}, with data.validationCode of the event that was sent";
        let data = json!({ "validationCode": handshake.code, "validationUrl": handshake.url });
        let mut event = NewEvent {
            id: handshake.id.to_string(),
            source: handshake.topic_id.clone(),
            event_type: "Microsoft.EventGrid.SubscriptionValidationEvent".to_owned(),
            time: Some(Timestamp::from_instant(handshake.now)),
            data: Data::Json(data.to_string()),
            ..NewEvent::default()
        };
        event.set_extension(
            eventgrid::DATA_VERSION,
            ExtensionValue::String("1".to_owned()),
        );
        let request = self.about_itself("SubscriptionValidation", &handshake.subscription, &event);
        let (answer, _) = answer_to(request, EXPECTED).await?;
        let said = shown(&answer);
        match validation_response(&answer) {
            Some(code) if code == handshake.code => Ok(Validated::Yes { rate: None }),
            Some(_) => Err(refused("200 and another validationResponse", EXPECTED)),
            None => Ok(Validated::ByHand(format!(
                "the endpoint answered 200 and {}, {EXPECTED}",
                if said.is_empty() { "no body" } else { &said }
            ))),
        }
    }

    async fn ask_by_options(&self, handshake: &Handshake) -> Result<Validated> {
        const EXPECTED: &str =
            "expected 200 and the header WebHook-Allowed-Origin: eventgrid.azure.net, or *";
        let request = self
            .client
            .request(reqwest::Method::OPTIONS, self.url.clone())
            .header("webhook-request-origin", ORIGIN)
            .header("webhook-request-callback", &handshake.url)
            .header("webhook-request-rate", RATE);
        let (_, headers) = answer_to(self.with_static_headers(request), EXPECTED).await?;
        match headers.get("webhook-allowed-origin") {
            None => Ok(Validated::ByHand(format!(
                "the endpoint answered 200 without that header, {EXPECTED}"
            ))),
            Some(allowed) => {
                let allowed = String::from_utf8_lossy(allowed.as_bytes());
                let mut origins = allowed.split(',').map(str::trim);
                if origins.any(|origin| origin == "*" || origin.eq_ignore_ascii_case(ORIGIN)) {
                    let rate = allowed_rate(&headers);
                    return Ok(Validated::Yes { rate });
                }
                let answered = format!("200 and WebHook-Allowed-Origin: {}", shown(&allowed));
                Err(refused(&answered, EXPECTED))
            }
        }
    }
}

impl Webhook {
    /// A request with an event of the subscription's own rather than one of its topic.
    pub(crate) fn about_itself(
        &self,
        event_type: &str,
        subscription: &str,
        event: &NewEvent,
    ) -> reqwest::RequestBuilder {
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json; charset=utf-8")
            .header("aeg-event-type", event_type)
            .header("aeg-subscription-name", subscription.to_uppercase())
            .header("aeg-delivery-count", "0")
            .header("aeg-metadata-version", "1")
            .header("aeg-data-version", "1")
            .body(format!("[{}]", eventgrid::to_json(event, None)));
        self.with_static_headers(request)
    }

    /// An endpoint may let nobody in without them.
    fn with_static_headers(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        self.headers
            .iter()
            .fold(request, |request, (name, source)| match source {
                HeaderSource::Static(value) => request.header(name, value),
                HeaderSource::Dynamic(_) => request,
            })
    }
}

/// The requests a minute that an endpoint allows by its headers; none if any rate will do.
pub fn allowed_rate(headers: &reqwest::header::HeaderMap) -> Option<NonZeroU32> {
    let rate = headers.get("webhook-allowed-rate")?;
    rate.to_str().ok()?.trim().parse().ok()
}

/// The body and headers of an answer with status 200; any other is an error.
async fn answer_to(
    request: reqwest::RequestBuilder,
    expected: &str,
) -> Result<(String, reqwest::header::HeaderMap)> {
    let answer = request.send().await.map_err(|error| {
        let failure = not_sent(error);
        Error::invalid(format!("the endpoint did not answer: {failure}"))
    })?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = String::from_utf8_lossy(&read_bytes(answer).await).into_owned();
    if status != 200 {
        let answered = format!("{status} {}", shown(&body));
        return Err(refused(answered.trim_end(), expected));
    }
    Ok((body, headers))
}

fn refused(answered: &str, expected: &str) -> Error {
    Error::invalid(format!("the endpoint answered {answered}, {expected}"))
}

/// The code in an answer. Azure's own library for C# writes the name with a capital.
fn validation_response(body: &str) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(body) else {
        return None;
    };
    let mut fields = fields.into_iter();
    let found = fields.find(|(name, _)| name.eq_ignore_ascii_case("validationResponse"));
    match found {
        Some((_, Value::String(code))) => Some(code),
        _ => None,
    }
}
