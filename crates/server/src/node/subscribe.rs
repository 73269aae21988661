use foretell_delivery::{create, forget};
use foretell_log::Append;
use foretell_protocol::{Provisioning, SubscriptionDefinition, SubscriptionFacts};
use foretell_types::limits::SUBSCRIPTIONS_PER_TOPIC;
use foretell_types::{Error, ErrorKind, Result, SubscriptionName};
use serde_json::Value;

use super::config::{CONFIG, Change, Definition};
use super::course::StartAt;
use super::notice::spawn_notice;
use super::topics::check_owner;
use super::{Node, Owner, Phase, SubscriptionConfig};

/// Makes a definition from the one that is there.
type Define<'a> =
    &'a (dyn Fn(Option<&SubscriptionConfig>) -> Result<SubscriptionDefinition> + Sync);

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
        let define = |_: Option<&SubscriptionConfig>| Ok(definition.clone());
        self.define_subscription(topic, name, &define, start, owner)
            .await
    }

    /// Changes some of a subscription's definition, by a merge patch over its JSON; its progress
    /// stays.
    pub async fn update_subscription(&self, topic: &str, name: &str, update: &Value) -> Result<()> {
        let subscription = self.subscription(topic, name)?;
        let entry = self.topic(topic)?;
        let define = |known: Option<&SubscriptionConfig>| {
            let gone = || Error::not_found(format!("subscription {name:?} is gone"));
            let facts = SubscriptionFacts {
                name: &subscription.name,
                topic_resource_id: &entry.resource_id,
                topic_schema: entry.config.definition.input_schema,
                provisioning: &Provisioning::Succeeded,
            };
            known.ok_or_else(gone)?.definition.updated(update, &facts)
        };
        self.define_subscription(topic, name, &define, StartAt::Now, Owner::Api)
            .await
            .map(|_| ())
    }

    async fn define_subscription(
        &self,
        topic: &str,
        name: &str,
        define: Define<'_>,
        start: StartAt,
        owner: Owner,
    ) -> Result<bool> {
        let (asked, known) = self.proposed(topic, name, define, owner)?;
        let said = self.provisioned(&asked, known.as_ref()).await?;
        let phase = self.change().await?;
        // It may have changed while the endpoint was asked.
        let (proposed, known) = self.proposed(topic, name, define, owner)?;
        if proposed.definition.target != asked.definition.target {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("subscription {name:?} was changed in the meantime"),
            ));
        }
        let subscription = proposed.with(said);
        if known.as_ref() == Some(&subscription) {
            return Ok(false);
        }
        let key = subscription.key();
        let topic = subscription.topic.clone();
        let change = known.as_ref().map_or(Change::Created, Change::Updated);
        let mut append = Append::new().events(CONFIG, [subscription.event(self.new_id(), change)?]);
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
        self.expiries.notify_one();
        Ok(known.is_none())
    }

    /// Journals a change of a subscription that is there, and takes it in.
    pub(super) async fn journal_update(
        &self,
        known: &SubscriptionConfig,
        changed: &SubscriptionConfig,
    ) -> Result<()> {
        let event = changed.event(self.new_id(), Change::Updated(known))?;
        self.journal(event).await?;
        self.config
            .write()
            .subscriptions
            .insert(changed.key(), changed.clone());
        Ok(())
    }

    /// A definition as it is to be put, checked, and the one that is there.
    fn proposed(
        &self,
        topic: &str,
        name: &str,
        define: Define<'_>,
        owner: Owner,
    ) -> Result<(SubscriptionConfig, Option<SubscriptionConfig>)> {
        let name: SubscriptionName = name.parse()?;
        let entry = self.topic(topic)?;
        let topic = &entry.config.name;
        let key = (topic.to_lowercase(), name.as_str().to_lowercase());
        let known = self.config.read().subscriptions.get(&key).cloned();
        if let Some(known) = &known {
            check_owner(known.owner, owner, "subscription", &known.name)?;
        }
        let mut definition = define(known.as_ref())?;
        definition.dead_letter = definition
            .dead_letter
            .map(|container| self.container_here(container));
        definition.check(entry.config.definition.input_schema)?;
        let is_new = |end| {
            known
                .as_ref()
                .is_none_or(|known| known.definition.expires_ms != end)
        };
        let end = definition.expires_ms;
        if owner == Owner::Api && is_new(end) && definition.is_expired(self.now()) {
            return Err(Error::invalid(
                "expirationTimeUtc is in the past: give a time to come, or leave it out",
            ));
        }
        for attribute in &mut definition.attributes {
            attribute.value = attribute.value.clone().sealed(&self.master)?;
        }
        let mut subscription = SubscriptionConfig {
            topic: topic.clone(),
            name: name.to_string(),
            definition,
            owner,
            provisioning: Provisioning::Succeeded,
            paused: false,
            rate: None,
        };
        let config = self.config.read();
        if let Some(known) = &known {
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
        .events(
            CONFIG,
            [subscription.event(self.new_id(), Change::Deleted)?],
        );
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
