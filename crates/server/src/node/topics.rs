use foretell_delivery::forget;
use foretell_log::Append;
use foretell_protocol::{KeySlot, TopicDefinition, TopicFacts};
use foretell_types::{Error, ErrorKind, Result, TopicName, in_namespace, is_system_topic};
use serde_json::Value;

use super::config::{CONFIG, Change, Definition};
use super::lookup::own;
use super::notice::spawn_notice;
use super::{Node, Owner, Phase, SubscriptionConfig, TopicConfig, keys};

impl Node {
    /// Makes a topic, or changes its definition. Gives whether it was made.
    pub async fn put_topic(
        &self,
        name: &str,
        definition: TopicDefinition,
        owner: Owner,
    ) -> Result<bool> {
        self.define_topic(name, owner, |_| Ok(definition)).await
    }

    /// Changes some of a topic's definition, by a merge patch over its JSON.
    pub async fn update_topic(&self, name: &str, update: &Value) -> Result<()> {
        self.topic(name)?;
        let made = self.define_topic(name, Owner::Api, |known| {
            let known = known.ok_or_else(|| self.no_topic(name))?;
            let facts = TopicFacts {
                name: &known.name,
                resource_id: "",
                endpoint: "",
                metric_resource_id: "",
            };
            known.definition.updated(update, &facts)
        });
        made.await.map(|_| ())
    }

    async fn define_topic(
        &self,
        name: &str,
        owner: Owner,
        define: impl FnOnce(Option<&TopicConfig>) -> Result<TopicDefinition>,
    ) -> Result<bool> {
        let phase = self.change().await?;
        let name: TopicName = name.parse()?;
        if is_system_topic(&name.as_str().to_lowercase()) {
            return Err(own(name.as_str()));
        }
        let key = name.as_str().to_lowercase();
        let known = self.config.read().topics.get(&key).cloned();
        if let Some(known) = &known {
            check_owner(known.owner, owner, "topic", &known.name)?;
        }
        if known.is_none()
            && let Some((namespace, _)) = in_namespace(name.as_str())
        {
            self.namespace(namespace)?;
        }
        let mut definition = define(known.as_ref())?;
        definition.check()?;
        let topic = match &known {
            Some(known) => {
                if definition.erasable && !known.definition.erasable {
                    let message = format!(
                        "topic {:?} was made without being erasable, and can't become it: its events are not encrypted",
                        known.name
                    );
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                definition.erasable = known.definition.erasable;
                self.check_subscriptions(&known.name, &definition)?;
                TopicConfig {
                    definition,
                    owner,
                    ..known.clone()
                }
            }
            None => TopicConfig {
                name: name.to_string(),
                definition,
                key_generations: [0, 0],
                owner,
            },
        };
        if known.as_ref() == Some(&topic) {
            return Ok(false);
        }
        let mut append = Append::new();
        if known.is_none() {
            let id = self.new_id();
            append = match topic.definition.erasable {
                true => append.create_erasable_topic(name, id),
                false => append.create_topic(name, id, false),
            };
        }
        let change = known.as_ref().map_or(Change::Created, Change::Updated);
        append = append.events(CONFIG, [topic.event(self.new_id(), change)?]);
        self.log.append(append)?.await?;
        let schema = topic.definition.input_schema;
        self.config.write().topics.insert(key, topic);
        self.refresh_topics();
        let takes = |topic: &TopicConfig| topic.definition.input_schema;
        if let Some(known) = known.as_ref().filter(|known| takes(known) != schema) {
            // What they deliver may depend on what the topic takes.
            let subscriptions = self.subscriptions_of(&known.name);
            if *phase == Phase::Running {
                self.stop_all(&subscriptions).await;
            }
            self.restart(*phase, &subscriptions);
        }
        Ok(known.is_none())
    }

    /// Deletes a topic for good: its events, subscriptions and keys.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let phase = self.change().await?;
        let entry = self.topic(name)?;
        let topic = &entry.config;
        check_owner(topic.owner, Owner::Api, "topic", &topic.name)?;
        let subscriptions = self.subscriptions_of(&topic.name);
        for subscription in &subscriptions {
            let (owner, name) = (subscription.owner, &subscription.name);
            check_owner(owner, Owner::Api, "subscription", name)?;
        }
        let notices = subscriptions
            .iter()
            .filter_map(|subscription| self.deletion_notice(subscription));
        let notices: Vec<_> = notices.collect();
        self.stop_all(&subscriptions).await;
        if let Err(error) = self.append_deleted(topic, &subscriptions).await {
            self.restart(*phase, &subscriptions);
            return Err(error);
        }
        let key = topic.name.to_lowercase();
        {
            let mut config = self.config.write();
            config.topics.remove(&key);
            config.subscriptions.retain(|(of, _), _| *of != key);
        }
        self.quotas.forget(&key);
        self.refresh_topics();
        self.deletions.send_modify(|count| *count += 1);
        notices.into_iter().for_each(spawn_notice);
        Ok(())
    }

    /// One commit: the topic, its subscriptions' progress, its imports'.
    async fn append_deleted(
        &self,
        topic: &TopicConfig,
        subscriptions: &[SubscriptionConfig],
    ) -> Result<()> {
        let mut append = Append::new();
        for subscription in subscriptions {
            append = forget(append, &self.log, &subscription.topic, &subscription.name).events(
                CONFIG,
                [subscription.event(self.new_id(), Change::Deleted)?],
            );
        }
        for (key, _) in self.log.registers(&format!("import/{}/", topic.name)) {
            append = append.register(key, None);
        }
        append = append
            .events(CONFIG, [topic.event(self.new_id(), Change::Deleted)?])
            .delete_topic(&topic.name);
        self.log.append(append)?.await?;
        Ok(())
    }

    fn subscriptions_of(&self, topic: &str) -> Vec<SubscriptionConfig> {
        let config = self.config.read();
        config.subscriptions_of(topic).cloned().collect()
    }

    async fn stop_all(&self, subscriptions: &[SubscriptionConfig]) {
        let stops = subscriptions
            .iter()
            .map(|found| self.stop_subscription(&found.topic, &found.name));
        futures::future::join_all(stops).await;
    }

    /// Subscriptions that were stopped for a change go on after it, or after its failure.
    pub(super) fn restart(&self, phase: Phase, subscriptions: &[SubscriptionConfig]) {
        if phase != Phase::Running || !self.options.deliver {
            return;
        }
        for subscription in subscriptions {
            if let Err(error) = self.start_subscription(subscription) {
                tracing::error!(
                    topic = subscription.topic, subscription = subscription.name, %error,
                    "the subscription can't be started again"
                );
            }
        }
    }

    /// A topic's subscriptions must be able to deliver what it takes.
    fn check_subscriptions(&self, topic: &str, definition: &TopicDefinition) -> Result<()> {
        let config = self.config.read();
        for subscription in config.subscriptions_of(topic) {
            let check = subscription.definition.check(definition.input_schema);
            check.map_err(|error| {
                Error::new(
                    ErrorKind::Conflict,
                    format!("subscription {:?}: {}", subscription.name, error.message()),
                )
            })?;
        }
        Ok(())
    }

    /// Makes one of a topic's keys anew.
    pub async fn regenerate_key(&self, name: &str, slot: KeySlot) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let known = self.topic(name)?;
        let mut topic = known.config.clone();
        if let Some((namespace, _)) = in_namespace(&topic.name) {
            return Err(Error::invalid(format!(
                "topic {:?} has the keys of its namespace: regenerate those of {namespace:?}",
                topic.name
            )));
        }
        topic.key_generations[keys::index(slot)] += 1;
        let event = topic.event(self.new_id(), Change::KeyRegenerated(&known.config))?;
        self.journal(event).await?;
        let key = topic.name.to_lowercase();
        self.config.write().topics.insert(key, topic);
        self.refresh_topics();
        Ok(())
    }

    /// A topic that `foretell.toml` names no more can be edited by the API again.
    pub(super) async fn disown_topic(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let known = self.topic(name)?;
        let mut topic = known.config.clone();
        topic.owner = Owner::Api;
        let event = topic.event(self.new_id(), Change::Updated(&known.config))?;
        self.journal(event).await?;
        let key = topic.name.to_lowercase();
        self.config.write().topics.insert(key, topic);
        self.refresh_topics();
        Ok(())
    }
}

/// What `foretell.toml` names it owns; an edit from elsewhere would be undone at the next start.
pub(super) fn check_owner(owner: Owner, editor: Owner, what: &str, name: &str) -> Result<()> {
    if owner == Owner::File && editor == Owner::Api {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("{what} {name:?} is defined in foretell.toml: change it there"),
        ));
    }
    Ok(())
}
