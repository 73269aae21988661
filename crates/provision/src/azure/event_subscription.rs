use async_trait::async_trait;
use foretell_types::Result;
use serde_json::{Value as Json, json};

use super::arm::{AutoName, segment, text};
use super::native::{encode, is_unknown};
use super::resource::{Checked, Kind, Of};
use super::schema::failure;
use super::subscription;
use crate::{CheckFailure, Properties};

/// An event subscription of a custom topic.
pub struct EventSubscription;

fn topic(inputs: &Properties) -> Option<&str> {
    let scope = text(inputs, "scope");
    let is_custom = segment(scope, "providers")
        .is_some_and(|name| name.eq_ignore_ascii_case("Microsoft.EventGrid"));
    segment(scope, "topics").filter(|_| is_custom && segment(scope, "namespaces").is_none())
}

fn path(inputs: &Properties) -> String {
    let topic = format!("/topics/{}", encode(topic(inputs).unwrap_or("")));
    subscription::path(&topic, inputs)
}

/// What the resource manager would get.
fn body(inputs: &Properties) -> Json {
    let mut properties = subscription::properties(inputs, &["scope", "eventSubscriptionName"]);
    if let Some(destination) = inputs.get("destination") {
        properties.insert(
            "destination".to_owned(),
            subscription::destination(destination),
        );
    }
    if let Some(letters) = inputs.get("deadLetterDestination") {
        let letters = subscription::dead_letter(letters);
        properties.insert("deadLetterDestination".to_owned(), letters);
    }
    json!({ "properties": properties })
}

#[async_trait]
impl Kind for EventSubscription {
    fn token(&self) -> &'static str {
        "azure-native:eventgrid:EventSubscription"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.EventGrid/eventSubscriptions"
    }

    fn id(&self) -> &'static str {
        "{scope}/providers/Microsoft.EventGrid/eventSubscriptions/{eventSubscriptionName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("eventSubscriptionName", AutoName::Random(64))
    }

    fn is_placed(&self) -> bool {
        false
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        subscription::check_name(inputs, failures);
        if !is_unknown(inputs, "scope") && topic(inputs).is_none() {
            failures.push(failure(
                "scope",
                format!(
                    "{:?} is no topic: expected the id of an eventgrid.Topic, such as …/providers/Microsoft.EventGrid/topics/NAME; a topic of a namespace has NamespaceTopicEventSubscription, and there are no events of other resources here",
                    text(inputs, "scope")
                ),
            ));
        }
        subscription::check_destination("destination", inputs.get("destination"), failures);
        subscription::check(&body(inputs), inputs, failures);
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        let body = body(inputs);
        subscription::check_function(of.server, &body["properties"]["destination"]).await?;
        of.server.put(&path(inputs), body).await.map(|_| ())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let found = of.server.get(&path(inputs)).await?;
        let scope = text(inputs, "scope");
        Ok(found.map(|found| subscription::facts(&found, scope)))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        of.server.delete(&path(inputs)).await
    }
}
