use std::sync::Arc;
use std::time::Duration;

use foretell_delivery::{
    Batch, DeadLetter, DeadLetterFilter, DeadLetterPolicy, Handler, HeaderSource, LetterForm,
    PullPolicy, Receiver, RetryPolicy, StatsSnapshot, Subscription, SubscriptionOptions, Webhook,
    WebhookSchema, Work, dead_letter,
};
use foretell_protocol::{
    Attribute, AttributeValue, DeliverySchema, SubscriptionDefinition, Target,
};
use foretell_types::limits::{DELIVERIES_IN_FLIGHT, PULL_DELIVERIES, RECEIVE_LOCK_LEAST_S};
use foretell_types::{Error, ErrorKind, Result};

use super::{Node, SubscriptionConfig};

/// Where the dead letters of a subscription without a container of its own go.
const DEAD_LETTER_CONTAINER: &str = "dead-letters";

impl Node {
    /// Starts all subscriptions. One that can't be started is logged; the others go on.
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
        let options = self.subscription_options(config)?;
        // Nothing goes to an endpoint that didn't say yes.
        if !config.provisioning.is_succeeded() || config.definition.is_expired(self.now()) {
            return Ok(());
        }
        let mut running = self.running.lock();
        let key = key(&config.topic, &config.name);
        // Two at once would deliver everything twice.
        if running.contains_key(&key) {
            return Ok(());
        }
        let (log, storage) = (self.log.clone(), self.storage.clone());
        running.insert(key, Subscription::start(options, log, storage)?);
        Ok(())
    }

    /// What a subscription is started with.
    pub(super) fn subscription_options(
        &self,
        config: &SubscriptionConfig,
    ) -> Result<SubscriptionOptions> {
        let definition = &config.definition;
        let (filter, own) = (definition.filter.clone(), definition.dead_letter.clone());
        let options = SubscriptionOptions {
            topic: config.topic.clone(),
            name: config.name.clone(),
            filter: Arc::new(move |event| filter.matches(event)),
            work: self.work(config)?,
            dead_letters: DeadLetterPolicy {
                container: own.unwrap_or_else(|| DEAD_LETTER_CONTAINER.to_owned()),
                form: match definition.target {
                    Target::Pull => LetterForm::Pulled,
                    _ => LetterForm::Pushed(self.webhook_schema(config)?),
                },
                delay: self.options.application.dead_letter_delay(),
            },
            ordered_by_subject: definition.is_ordered(),
            concurrency: DELIVERIES_IN_FLIGHT,
            paused: config.paused,
        };
        options.check()?;
        Ok(options)
    }

    fn work(&self, config: &SubscriptionConfig) -> Result<Work> {
        let definition = &config.definition;
        let handler: Arc<dyn Handler> = match &definition.target {
            Target::Pull => return Ok(Work::Pull(pull_policy(definition))),
            Target::WebHook(url) => {
                let webhook = Arc::new(self.webhook(config, url)?);
                self.telemetry.trace(webhook, "deliver")
            }
            Target::Function { app, function } => {
                let handler = self.apps.handler(app, function);
                self.telemetry.trace(handler, "invoke")
            }
        };
        let retry = RetryPolicy {
            schedule: self.options.application.retry_schedule(),
            max_attempts: definition.max_delivery_attempts,
            ttl_minutes: definition.event_ttl_minutes,
            ..RetryPolicy::default()
        };
        let rate = config.rate;
        Ok(Work::Push {
            handler,
            retry,
            rate,
        })
    }

    pub(super) fn webhook(&self, config: &SubscriptionConfig, url: &str) -> Result<Webhook> {
        let batch = Batch {
            max_events: config.definition.max_events_per_batch,
            preferred_kilobytes: config.definition.preferred_batch_kilobytes,
        };
        let webhook = match self.options.application.allows_internal_addresses() {
            true => Webhook::anywhere(url)?,
            false => {
                self.check_own(url)?;
                Webhook::new(url)?
            }
        };
        let webhook = webhook.with_schema(self.webhook_schema(config)?);
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

    /// Refuses this server's own address but for publishing. What is behind another name, or was
    /// defined before the server listened, is refused when it is delivered.
    fn check_own(&self, url: &str) -> Result<()> {
        let parse = |url: &str| url.parse::<http::Uri>().ok();
        let (Some(own), Some(url)) = (self.url().and_then(|url| parse(&url)), parse(url)) else {
            return Ok(());
        };
        let is_local = |host: Option<&str>| {
            host.is_some_and(|host| {
                host == "localhost" || host.starts_with("127.") || host == "[::1]"
            })
        };
        let same_host = url.host() == own.host() || is_local(url.host());
        let port = |url: &http::Uri| match url.scheme_str() {
            Some("https") => url.port_u16().unwrap_or(443),
            _ => url.port_u16().unwrap_or(80),
        };
        let same_port = port(&url) == port(&own);
        if same_host && same_port && !takes_deliveries(url.path()) {
            return Err(internal());
        }
        Ok(())
    }

    /// Refuses a delivery, by its path, that the server sent to itself or was sent by another.
    pub fn check_delivery(&self, path: &str) -> Result<()> {
        if takes_deliveries(path) || self.options.application.allows_internal_addresses() {
            return Ok(());
        }
        Err(internal())
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

    /// Where the events of a subscription are received.
    pub fn receiver(&self, topic: &str, name: &str) -> Result<Receiver> {
        let subscription = self.subscription(topic, name)?;
        let target = &subscription.definition.target;
        if *target != Target::Pull {
            return Err(Error::invalid(format!(
                "subscription {:?} pushes its events to {target}: only from one with the delivery mode Queue can be received",
                subscription.name
            )));
        }
        if subscription.definition.is_expired(self.now()) {
            return Err(Error::not_found(format!(
                "subscription {:?} has expired: set properties.expirationTimeUtc anew to receive from it",
                subscription.name
            )));
        }
        let running = self.running.lock();
        let found = running.get(&key(&subscription.topic, &subscription.name));
        found.and_then(Subscription::receiver).ok_or_else(|| {
            Error::unavailable(format!(
                "subscription {:?} does not run at the moment: try again",
                subscription.name
            ))
        })
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

/// `/topics/TOPIC/api/events`, `/topics/TOPIC:publish`.
fn takes_deliveries(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let is = |part: &str, name: &str| part.eq_ignore_ascii_case(name);
    match parts[..] {
        ["", topics, _, api, events] => {
            is(topics, "topics") && is(api, "api") && is(events, "events")
        }
        ["", topics, topic] => {
            is(topics, "topics")
                && topic
                    .rsplit_once(':')
                    .is_some_and(|(_, verb)| is(verb, "publish"))
        }
        _ => false,
    }
}

fn internal() -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "a webhook can be pointed at this server's /topics/TOPIC/api/events only, not at its administration; `allow_internal_addresses = true` below [delivery] in foretell.toml allows it",
    )
}

fn pull_policy(definition: &SubscriptionDefinition) -> PullPolicy {
    let seconds = |given: u32| Duration::from_secs(given.into());
    let lock = definition.lock_seconds;
    PullPolicy {
        lock: seconds(lock.unwrap_or(RECEIVE_LOCK_LEAST_S as u32)),
        // Earlier versions took more, and delivered nothing.
        max_deliveries: definition.max_delivery_attempts.min(PULL_DELIVERIES as u32),
        ttl: seconds(60) * definition.event_ttl_minutes,
    }
}

fn key(topic: &str, name: &str) -> (String, String) {
    (topic.to_lowercase(), name.to_lowercase())
}
