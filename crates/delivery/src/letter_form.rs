//! Dead letters as Event Grid writes them into a container: where, and in which form.
//! Sources: "Dead-letter and retry policies", "Dead lettering for event subscriptions" of
//! namespaces.

use foretell_types::{Instant, RecordedEvent, Timestamp, cloudevents, eventgrid, in_namespace};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::checkpoint::Pending;
use crate::context::Context;
use crate::dead_letter::DeadLetter;
use crate::webhook::WebhookSchema;

/// The namespace that a topic of none is in where a path has one.
const NAMESPACE: &str = "foretell";

/// The attributes that a CloudEvent gets as a dead letter.
const ADDED: [&str; 5] = [
    "deadletterreason",
    "deliveryattempts",
    "lastdeliveryoutcome",
    "publishtime",
    "lastdeliveryattempttime",
];

/// The form of dead letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LetterForm {
    /// Of a subscription that pushes, by the schema in which it does.
    Pushed(WebhookSchema),
    /// Of one whose events are pulled: that of Event Grid namespaces.
    Pulled,
}

impl LetterForm {
    /// `SUBSCRIPTION/Y/M/D/H/ID.json`, or `NAMESPACE/TOPIC/SUBSCRIPTION/…`; UTC, without leading
    /// zeros.
    pub(crate) fn blob_name(&self, context: &Context, now: Instant, id: Uuid) -> String {
        let (year, month, day, hour, ..) = Timestamp::from_instant(now).utc_parts();
        let (topic, name) = (&context.options.topic, &context.options.name);
        let folder = match self {
            LetterForm::Pushed(_) => name.to_uppercase(),
            LetterForm::Pulled => {
                let (namespace, topic) = in_namespace(topic).unwrap_or((NAMESPACE, topic));
                format!("{namespace}/{topic}/{name}")
            }
        };
        format!("{folder}/{year}/{month}/{day}/{hour}/{id}.json")
    }

    /// The blob's content: an array with the event and why it is here, or an object with both.
    pub(crate) fn blob_content(
        &self,
        event: &RecordedEvent,
        letter: &DeadLetter,
        pending: &Pending,
    ) -> Vec<u8> {
        let published = Timestamp::from_instant(event.recorded_time).to_string();
        let attempted = Instant::from_nanos(pending.last_attempt as i64);
        let attempted = Timestamp::from_instant(attempted).to_string();
        let why = [
            Value::from(letter.reason.as_str()),
            letter.attempts.into(),
            letter.last_outcome.as_str().into(),
            published.into(),
            attempted.into(),
        ];
        match self {
            LetterForm::Pulled => {
                let [reason, attempts, outcome, published, attempted] = why;
                let properties = json!({
                    "deadletterreason": reason,
                    "deliveryattempts": attempts,
                    "deliveryresult": outcome,
                    "publishutc": published,
                    "deliveryattemptutc": attempted,
                });
                let event = cloudevents::to_json(event);
                format!(
                    "{{\"event\":{event},\"customDeliveryProperties\":{{}},\"deadletterProperties\":{properties}}}"
                )
                .into_bytes()
            }
            LetterForm::Pushed(schema) if schema.is_cloud_events(event) => {
                let mut event = event.event.clone();
                // It may have been a dead letter before, and been published again.
                event
                    .extensions
                    .retain(|(name, _)| !ADDED.contains(&name.as_str()));
                let json = cloudevents::to_json(&event);
                with_more(&json, ADDED, why)
            }
            LetterForm::Pushed(_) => {
                let names = [
                    "deadLetterReason",
                    "deliveryAttempts",
                    "lastDeliveryOutcome",
                    "publishTime",
                    "lastDeliveryAttemptTime",
                ];
                let json = eventgrid::to_json(event, Some(event.recorded_time));
                with_more(&json, names, why)
            }
        }
    }
}

/// An array with an object that gets more properties.
fn with_more(object: &str, names: [&str; 5], values: [Value; 5]) -> Vec<u8> {
    let more: Vec<String> = names
        .iter()
        .zip(values)
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    let open = object.strip_suffix('}').unwrap_or(object);
    format!("[{open},{}}}]", more.join(",")).into_bytes()
}
