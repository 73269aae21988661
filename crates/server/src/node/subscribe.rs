use foretell_delivery::{create, forget};
use foretell_log::Append;
use foretell_protocol::{Provisioning, SubscriptionDefinition};
use foretell_types::limits::SUBSCRIPTIONS_PER_TOPIC;
use foretell_types::{Error, Result, SubscriptionName};

use super::config::{CONFIG, Version};
use super::course::StartAt;
use super::notice::spawn_notice;
use super::topics::check_owner;
use super::{Node, Owner, Phase, SubscriptionConfig};

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
        let (proposed, known) = self.proposed(topic, name, definition.clone(), owner)?;
        let asked = self.provisioned(&proposed, known.as_ref()).await?;
        let phase = self.change().await?;
        // It may have changed while the endpoint was asked.
        let (proposed, known) = self.proposed(topic, name, definition, owner)?;
        let subscription = proposed.with(asked);
        if known.as_ref() == Some(&subscription) {
            return Ok(false);
        }
        let key = subscription.key();
        let topic = subscription.topic.clone();
        let mut append = Append::new().events(CONFIG, [subscription.event(self.new_id(), false)?]);
        if known.is_none() {
            let (after, head) = self.events_before(&topic, start).await?;
            let (name, id) = (&subscription.name, self.new_id());
            append = create(append, &topic, name, after, head, id);
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

    /// A definition as it is to be put, checked, and the one that is there.
    fn proposed(
        &self,
        topic: &str,
        name: &str,
        mut definition: SubscriptionDefinition,
        owner: Owner,
    ) -> Result<(SubscriptionConfig, Option<SubscriptionConfig>)> {
        let name: SubscriptionName = name.parse()?;
        let entry = self.topic(topic)?;
        let topic = &entry.config.name;
        definition.check(entry.config.definition.input_schema)?;
        for attribute in &mut definition.attributes {
            attribute.value = attribute.value.clone().sealed(&self.master)?;
        }
        let mut subscription = SubscriptionConfig {
            version: Version::default(),
            topic: topic.clone(),
            name: name.to_string(),
            definition,
            owner,
            provisioning: Provisioning::Succeeded,
            paused: false,
            rate: None,
        };
        let config = self.config.read();
        let known = config.subscriptions.get(&subscription.key()).cloned();
        if let Some(known) = &known {
            check_owner(known.owner, owner, "subscription", &known.name)?;
            subscription.name.clone_from(&known.name);
            subscription.paused = known.paused;
        } else if config.subscriptions_of(topic).count() >= SUBSCRIPTIONS_PER_TOPIC {
            return Err(Error::invalid(format!(
                "topic {topic:?} has {SUBSCRIPTIONS_PER_TOPIC} subscriptions: no more are allowed"
            )));
        }
        drop(config);
        // What can't be started isn't defined either.
        self.subscription_options(&subscription)?;
        Ok((subscription, known))
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
        let notice = self.deletion_notice(&subscription);
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
        notice.into_iter().for_each(spawn_notice);
        Ok(())
    }
}
