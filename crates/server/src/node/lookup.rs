//! Finding topics by name.

use std::sync::Arc;

use foretell_protocol::KeySlot;
use foretell_types::{Error, ErrorKind, Result, in_namespace, is_system_topic};

use super::{Node, TopicEntry};

/// The Azure resource id of a local topic; the source of its Event Grid events.
pub fn resource_id(topic: &str) -> String {
    let path = match in_namespace(topic) {
        Some((namespace, topic)) => format!("namespaces/{namespace}/topics/{topic}"),
        None => format!("topics/{topic}"),
    };
    format!(
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/foretell/providers/Microsoft.EventGrid/{path}"
    )
}

impl Node {
    /// A topic by its name, without regard to case. Those of the product's own can only be read.
    pub fn topic(&self, name: &str) -> Result<Arc<TopicEntry>> {
        let topics = self.topics.read();
        if let Some(entry) = topics.get(name) {
            return Ok(entry.clone());
        }
        let lower = name.to_lowercase();
        if let Some(entry) = topics.get(&lower) {
            return Ok(entry.clone());
        }
        drop(topics);
        if is_system_topic(&lower) && self.log.topic(&lower).is_ok() {
            return Err(own(&lower));
        }
        Err(self.no_topic(name))
    }

    pub(super) fn no_topic(&self, name: &str) -> Error {
        Error::not_found(format!(
            "there is no topic {name:?}: make it with `foretell topic create {name}`"
        ))
    }

    /// The name of a topic that can be read: also one of the product's own.
    pub fn readable_topic(&self, name: &str) -> Result<String> {
        match self.topic(name) {
            Ok(entry) => Ok(entry.config.name.clone()),
            Err(error) => self
                .log
                .topic(&name.to_lowercase())
                .map(|topic| topic.name)
                .map_err(|_| error),
        }
    }

    /// Makes the publishing view of the topics from the configuration. Topics of the product's
    /// own can be read, not published to.
    pub(super) fn refresh_topics(&self) {
        let config = self.config.read();
        let entries = config.topics.iter().filter_map(|(key, topic)| {
            let uuid = self.log.topic(&topic.name).ok()?.uuid;
            let [one, two] = topic.key_generations;
            let namespace = in_namespace(&topic.name)
                .and_then(|(name, _)| config.namespaces.get(&name.to_lowercase()));
            let keys = match namespace {
                Some(namespace) => self.namespace_keys(namespace),
                None => [
                    self.master.topic_key(uuid, KeySlot::Key1, one),
                    self.master.topic_key(uuid, KeySlot::Key2, two),
                ],
            };
            let resource_id = resource_id(&topic.name);
            Some((
                key.clone(),
                Arc::new(TopicEntry {
                    config: topic.clone(),
                    resource_id,
                    keys,
                }),
            ))
        });
        *self.topics.write() = entries.collect();
    }
}

pub(super) fn own(name: &str) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        format!("topic {name:?} is the product's own: it can only be read"),
    )
}
