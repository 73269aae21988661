use foretell_delivery::{create, forget};
use foretell_log::Append;
use foretell_protocol::SubscriptionDefinition;
use foretell_types::limits::SUBSCRIPTIONS_PER_TOPIC;
use foretell_types::{Error, Position, Result, SubscriptionName};

use super::config::{CONFIG, Version};
use super::topics::check_owner;
use super::{Node, Owner, Phase, SubscriptionConfig};

/// Where a new subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StartAt {
    /// At the topic's first event.
    Beginning,
    /// With what is published from now on, as in Event Grid.
    #[default]
    Now,
    /// At a position.
    Position(Position),
}

impl std::str::FromStr for StartAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<StartAt> {
        match text {
            "beginning" => Ok(StartAt::Beginning),
            "now" => Ok(StartAt::Now),
            _ => text.parse().map(StartAt::Position).map_err(|_| {
                Error::invalid(format!(
                    "{text:?} is not where to begin: expected beginning, now or a position"
                ))
            }),
        }
    }
}

impl Node {
    /// Makes a subscription, or changes its definition; its progress stays. Gives whether it was
    /// made.
    pub async fn put_subscription(
        &self,
        topic: &str,
        name: &str,
        definition: SubscriptionDefinition,
        start: StartAt,
        owner: Owner,
    ) -> Result<bool> {
        let phase = self.change().await?;
        let name: SubscriptionName = name.parse()?;
        let entry = self.topic(topic)?;
        let topic = entry.config.name.clone();
        definition.check(entry.config.definition.input_schema)?;
        let key = (topic.to_lowercase(), name.as_str().to_lowercase());
        let known = self.config.read().subscriptions.get(&key).cloned();
        let subscription = SubscriptionConfig {
            version: Version::default(),
            topic: topic.clone(),
            name: known
                .as_ref()
                .map_or_else(|| name.to_string(), |known| known.name.clone()),
            definition,
            owner,
        };
        if let Some(known) = &known {
            check_owner(known.owner, owner, "subscription", &known.name)?;
            if *known == subscription {
                return Ok(false);
            }
        } else if self.config.read().subscriptions_of(&topic).count() >= SUBSCRIPTIONS_PER_TOPIC {
            return Err(Error::invalid(format!(
                "topic {topic:?} has {SUBSCRIPTIONS_PER_TOPIC} subscriptions: no more are allowed"
            )));
        }
        // What can't be started isn't defined either.
        self.startable(&subscription)?;
        let mut append = Append::new().events(CONFIG, [subscription.event(self.new_id(), false)?]);
        if known.is_none() {
            let head = Position::as_count(self.log.head(&topic)?);
            let after = match start {
                StartAt::Beginning => 0,
                StartAt::Now => head,
                StartAt::Position(position) => (position.get() - 1).min(head),
            };
            append = create(append, &topic, &subscription.name, after, self.new_id());
        }
        self.log.append(append)?.await?;
        self.config
            .write()
            .subscriptions
            .insert(key, subscription.clone());
        // A node that opens starts all of them at its end.
        if self.options.deliver && *phase == Phase::Running {
            self.stop_subscription(&topic, &subscription.name).await;
            self.start_subscription(&subscription)?;
        }
        Ok(known.is_none())
    }

    /// A subscription's definition.
    pub fn subscription(&self, topic: &str, name: &str) -> Result<SubscriptionConfig> {
        let topic = self.topic(topic)?;
        let key = (topic.config.name.to_lowercase(), name.to_lowercase());
        self.config
            .read()
            .subscriptions
            .get(&key)
            .cloned()
            .ok_or_else(|| {
                Error::not_found(format!(
                    "topic {:?} has no subscription {name:?}",
                    topic.config.name
                ))
            })
    }

    /// Deletes a subscription and its progress.
    pub async fn delete_subscription(&self, topic: &str, name: &str, owner: Owner) -> Result<()> {
        let phase = self.change().await?;
        let subscription = self.subscription(topic, name)?;
        check_owner(
            subscription.owner,
            owner,
            "subscription",
            &subscription.name,
        )?;
        self.stop_subscription(&subscription.topic, &subscription.name)
            .await;
        let append = forget(
            Append::new(),
            &self.log,
            &subscription.topic,
            &subscription.name,
        )
        .events(CONFIG, [subscription.event(self.new_id(), true)?]);
        let appended = match self.log.append(append) {
            Ok(ticket) => ticket.await,
            Err(error) => Err(error),
        };
        if let Err(error) = appended {
            self.restart(*phase, std::slice::from_ref(&subscription));
            return Err(error);
        }
        let key = (
            subscription.topic.to_lowercase(),
            subscription.name.to_lowercase(),
        );
        self.config.write().subscriptions.remove(&key);
        Ok(())
    }
}
