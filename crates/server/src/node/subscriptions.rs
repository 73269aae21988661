use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_delivery::{
    Batch, DeadLetter, DeadLetterFilter, Failure, FailureKind, Handler, HeaderSource, Invocation,
    Outcome, RetryPolicy, StatsSnapshot, Subscription, SubscriptionOptions, Webhook, WebhookSchema,
    dead_letter,
};
use foretell_protocol::{Attribute, AttributeValue, DeliverySchema, Target};
use foretell_types::Result;
use foretell_types::limits::DELIVERIES_IN_FLIGHT;

use super::{Node, SubscriptionConfig};

/// Where the dead letters of a subscription without a container of its own go.
const DEAD_LETTER_CONTAINER: &str = "dead-letters";

impl Node {
    /// Starts all subscriptions that push. One that can't be started is logged; the others go on.
    pub(super) fn start_subscriptions(&self) {
        for subscription in self.config().subscriptions.values() {
            if let Err(error) = self.start_subscription(subscription) {
                tracing::error!(
                    topic = subscription.topic, subscription = subscription.name, %error,
                    "the subscription can't be started"
                );
            }
        }
    }

    pub(super) fn start_subscription(&self, config: &SubscriptionConfig) -> Result<()> {
        let Some(options) = self.subscription_options(config)? else {
            return Ok(());
        };
        // Nothing goes to an endpoint that didn't say yes.
        if !config.provisioning.is_succeeded() {
            return Ok(());
        }
        let mut running = self.running.lock();
        let key = key(&config.topic, &config.name);
        // Two at once would deliver everything twice.
        if running.contains_key(&key) {
            return Ok(());
        }
        let started = Subscription::start(options, self.log.clone(), self.storage.clone())?;
        running.insert(key, started);
        Ok(())
    }

    /// What a subscription is started with; `None` for one that is pulled.
    pub(super) fn subscription_options(
        &self,
        config: &SubscriptionConfig,
    ) -> Result<Option<SubscriptionOptions>> {
        let definition = &config.definition;
        let handler: Arc<dyn Handler> = match &definition.target {
            Target::Pull => return Ok(None),
            Target::WebHook(url) => Arc::new(self.webhook(config, url)?),
            Target::Function { app, function } => match self.apps.get(app) {
                Some(app) => app.handler(function),
                None => Arc::new(MissingApp { app: app.clone() }),
            },
        };
        let filter = definition.filter.clone();
        let options = SubscriptionOptions {
            topic: config.topic.clone(),
            name: config.name.clone(),
            filter: Arc::new(move |event| filter.matches(event)),
            handler,
            retry: RetryPolicy {
                schedule: self.options.application.retry_schedule(),
                max_attempts: definition.max_delivery_attempts,
                ttl_minutes: definition.event_ttl_minutes,
            },
            dead_letter_container: definition
                .dead_letter
                .clone()
                .unwrap_or_else(|| DEAD_LETTER_CONTAINER.to_owned()),
            ordered_by_subject: true,
            concurrency: DELIVERIES_IN_FLIGHT,
        };
        options.retry.check()?;
        foretell_storage::check_container(&options.dead_letter_container)?;
        Ok(Some(options))
    }

    pub(super) fn webhook(&self, config: &SubscriptionConfig, url: &str) -> Result<Webhook> {
        let batch = Batch {
            max_events: config.definition.max_events_per_batch,
            preferred_kilobytes: config.definition.preferred_batch_kilobytes,
        };
        let webhook = Webhook::new(url)?.with_schema(self.webhook_schema(config)?);
        let headers = config.definition.attributes.iter();
        let headers = headers.map(|Attribute { name, value }| {
            let source = match value {
                AttributeValue::Static(value) | AttributeValue::Secret(value) => {
                    HeaderSource::Static(value.clone())
                }
                AttributeValue::Sealed(sealed) => HeaderSource::Static(self.master.unseal(sealed)?),
                AttributeValue::Dynamic(field) => HeaderSource::Dynamic(field.clone()),
            };
            Ok((name.clone(), source))
        });
        let headers = headers.collect::<Result<_>>()?;
        Ok(webhook.with_batch(batch).with_headers(headers))
    }

    fn webhook_schema(&self, config: &SubscriptionConfig) -> Result<WebhookSchema> {
        let topic = self.topic(&config.topic)?;
        let default = DeliverySchema::default_for(topic.config.definition.input_schema);
        Ok(match config.definition.schema.or(default) {
            Some(DeliverySchema::EventGrid) => WebhookSchema::EventGrid,
            Some(DeliverySchema::CloudEvents) => WebhookSchema::CloudEvents,
            Some(DeliverySchema::Custom) => WebhookSchema::Custom,
            None => WebhookSchema::AsSent {
                topic_id: topic.resource_id.clone(),
            },
        })
    }

    pub(super) async fn stop_subscription(&self, topic: &str, name: &str) {
        let running = self.running.lock().remove(&key(topic, name));
        if let Some(subscription) = running {
            subscription.stop().await;
        }
    }

    /// The counts of a running subscription.
    pub fn subscription_stats(&self, topic: &str, name: &str) -> Option<StatsSnapshot> {
        self.running
            .lock()
            .get(&key(topic, name))
            .map(Subscription::stats)
    }

    /// Sends dead letters through their subscriptions again, one request at a time: two at once
    /// would send a letter twice.
    pub async fn replay_dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>> {
        let _one_at_a_time = self.change().await?;
        let replayed = dead_letter::replay(&self.log, filter).await?;
        self.wake_subscriptions();
        Ok(replayed)
    }

    /// Tells the running subscriptions that dead letters were replayed.
    fn wake_subscriptions(&self) {
        self.running.lock().values().for_each(Subscription::wake);
    }
}

fn key(topic: &str, name: &str) -> (String, String) {
    (topic.to_lowercase(), name.to_lowercase())
}

/// Stands for a function app that the server was started without.
struct MissingApp {
    app: String,
}

impl fmt::Debug for MissingApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing function app {}", self.app)
    }
}

#[async_trait]
impl Handler for MissingApp {
    async fn handle(&self, _: Invocation) -> Result<Outcome, Failure> {
        let message = format!(
            "there is no function app {:?}: put it into functions/{} of the application directory and start the server with that directory",
            self.app, self.app
        );
        Err(Failure::new(
            FailureKind::InvalidAzureFunctionDestination,
            message,
        ))
    }
}
