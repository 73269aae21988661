use foretell_delivery::{create, forget};
use foretell_log::Append;
use foretell_protocol::{KeySlot, SubscriptionDefinition, TopicDefinition};
use foretell_types::limits::SUBSCRIPTIONS_PER_TOPIC;
use foretell_types::{
    Error, ErrorKind, Position, Result, SubscriptionName, TopicName, is_system_topic,
};

use super::config::CONFIG;
use super::{Node, Owner, SubscriptionConfig, TopicConfig};

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
    /// Makes a topic, or changes its definition. Gives whether it was made.
    pub async fn put_topic(
        &self,
        name: &str,
        definition: TopicDefinition,
        owner: Owner,
    ) -> Result<bool> {
        let _one_at_a_time = self.changes.lock().await;
        let name: TopicName = name.parse()?;
        if is_system_topic(name.as_str()) {
            let message =
                format!("topic {name:?} can't be made: names with foretell. are the product's own");
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        definition.check()?;
        let key = name.as_str().to_lowercase();
        let known = self.config.read().topics.get(&key).cloned();
        let topic = match &known {
            Some(known) => {
                check_owner(known.owner, owner, "topic", &known.name)?;
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
            append = append.create_topic(name, self.new_id(), false);
        }
        append = append.events(CONFIG, [topic.event(self.new_id(), false)?]);
        self.log.append(append)?.await?;
        self.config.write().topics.insert(key, topic);
        self.refresh_topics();
        Ok(known.is_none())
    }

    /// Deletes a topic for good: its events, subscriptions and keys.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.changes.lock().await;
        let entry = self.topic(name)?;
        let topic = &entry.config;
        check_owner(topic.owner, Owner::Api, "topic", &topic.name)?;
        let subscriptions: Vec<SubscriptionConfig> =
            self.config.read().subscriptions_of(name).cloned().collect();
        let mut append = Append::new();
        for subscription in &subscriptions {
            check_owner(
                subscription.owner,
                Owner::Api,
                "subscription",
                &subscription.name,
            )?;
            self.stop_subscription(&subscription.topic, &subscription.name)
                .await;
            append = forget(append, &self.log, &subscription.topic, &subscription.name)
                .events(CONFIG, [subscription.event(self.new_id(), true)?]);
        }
        for (key, _) in self.log.registers(&format!("import/{}/", topic.name)) {
            append = append.register(key, None);
        }
        append = append
            .events(CONFIG, [topic.event(self.new_id(), true)?])
            .delete_topic(&topic.name);
        self.log.append(append)?.await?;
        {
            let mut config = self.config.write();
            config.topics.remove(&name.to_lowercase());
            config
                .subscriptions
                .retain(|(of, _), _| *of != name.to_lowercase());
        }
        self.refresh_topics();
        Ok(())
    }

    /// Makes one of a topic's keys anew.
    pub async fn regenerate_key(&self, name: &str, slot: KeySlot) -> Result<()> {
        let _one_at_a_time = self.changes.lock().await;
        let mut topic = self.topic(name)?.config.clone();
        let index = usize::from(slot == KeySlot::Key2);
        topic.key_generations[index] += 1;
        let event = topic.event(self.new_id(), false)?;
        self.log
            .append(Append::new().events(CONFIG, [event]))?
            .await?;
        self.config
            .write()
            .topics
            .insert(name.to_lowercase(), topic);
        self.refresh_topics();
        Ok(())
    }

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
        let _one_at_a_time = self.changes.lock().await;
        let name: SubscriptionName = name.parse()?;
        let entry = self.topic(topic)?;
        let topic = entry.config.name.clone();
        definition.check(entry.config.definition.input_schema)?;
        let key = (topic.to_lowercase(), name.as_str().to_lowercase());
        let known = self.config.read().subscriptions.get(&key).cloned();
        let subscription = SubscriptionConfig {
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
        let mut append = Append::new().events(CONFIG, [subscription.event(self.new_id(), false)?]);
        if known.is_none() {
            let head = Position::as_count(self.log.head(&topic)?);
            let after = match start {
                StartAt::Beginning => 0,
                StartAt::Now => head,
                StartAt::Position(position) => (position.get() - 1).min(head),
            };
            append = create(append, &topic, &subscription.name, after);
        }
        self.log.append(append)?.await?;
        self.config
            .write()
            .subscriptions
            .insert(key, subscription.clone());
        if self.options.deliver {
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
        let _one_at_a_time = self.changes.lock().await;
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
        self.log.append(append)?.await?;
        let key = (
            subscription.topic.to_lowercase(),
            subscription.name.to_lowercase(),
        );
        self.config.write().subscriptions.remove(&key);
        Ok(())
    }
}

/// What `foretell.toml` names it owns; an edit from elsewhere would be undone at the next start.
fn check_owner(owner: Owner, editor: Owner, what: &str, name: &str) -> Result<()> {
    if owner == Owner::File && editor == Owner::Api {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("{what} {name:?} is defined in foretell.toml: change it there"),
        ));
    }
    Ok(())
}

impl Node {
    /// A topic that `foretell.toml` names no more can be edited by the API again.
    pub(super) async fn disown_topic(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.changes.lock().await;
        let mut topic = self.topic(name)?.config.clone();
        topic.owner = Owner::Api;
        let event = topic.event(self.new_id(), false)?;
        self.log
            .append(Append::new().events(CONFIG, [event]))?
            .await?;
        self.config
            .write()
            .topics
            .insert(name.to_lowercase(), topic);
        self.refresh_topics();
        Ok(())
    }
}
