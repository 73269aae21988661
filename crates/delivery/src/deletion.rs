//! What a webhook of the Event Grid schema is told when its subscription is deleted.
//! Source: "System events of Event Grid": SubscriptionDeletedEvent.

use foretell_types::{
    Data, Error, ExtensionValue, Instant, NewEvent, Result, Timestamp, eventgrid,
};
use serde_json::json;

use crate::webhook::{Webhook, WebhookSchema, not_sent};

/// Which subscription is gone.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// The resource id of the topic.
    pub topic_id: String,
    pub subscription: String,
    pub id: uuid::Uuid,
    pub now: Instant,
}

impl Webhook {
    /// Whether it is told: CloudEvents has no word for it.
    pub fn is_told_of_deletion(&self) -> bool {
        self.schema != WebhookSchema::CloudEvents
    }

    /// Tells it once.
    pub async fn tell_deletion(&self, deletion: &Deletion) -> Result<()> {
        let subscription = format!(
            "{}/eventSubscriptions/{}",
            deletion.topic_id, deletion.subscription
        );
        let mut event = NewEvent {
            id: deletion.id.to_string(),
            source: deletion.topic_id.clone(),
            event_type: "Microsoft.EventGrid.SubscriptionDeletedEvent".to_owned(),
            time: Some(Timestamp::from_instant(deletion.now)),
            data: Data::Json(json!({ "eventSubscriptionId": subscription }).to_string()),
            ..NewEvent::default()
        };
        event.set_extension(
            eventgrid::DATA_VERSION,
            ExtensionValue::String("1".to_owned()),
        );
        let request = self.about_itself("SubscriptionDeletion", &deletion.subscription, &event);
        let answer = request
            .send()
            .await
            .map_err(|error| Error::unavailable(not_sent(error).to_string()))?;
        match answer.status().as_u16() {
            200..=204 => Ok(()),
            status => Err(Error::unavailable(format!(
                "the endpoint answered {status}"
            ))),
        }
    }
}
