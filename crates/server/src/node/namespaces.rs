//! Event Grid namespaces: topics named `NAMESPACE.TOPIC`, which share the namespace's keys.

use foretell_protocol::{Key, KeySlot};
use foretell_types::limits::NAMESPACES;
use foretell_types::{Error, ErrorKind, NamespaceName, Result, in_namespace};

use super::config::{Change, Definition};
use super::definitions::NamespaceConfig;
use super::{Node, keys};

impl Node {
    /// Makes a namespace, if it isn't there. Gives whether it was made.
    pub async fn put_namespace(&self, name: &str) -> Result<bool> {
        let name: NamespaceName = name.parse()?;
        let _one_at_a_time = self.change().await?;
        if self.namespace(name.as_str()).is_ok() {
            return Ok(false);
        }
        if self.config.read().namespaces.len() >= NAMESPACES {
            return Err(Error::invalid(format!(
                "there are {NAMESPACES} namespaces: no more are allowed"
            )));
        }
        let namespace = NamespaceConfig {
            name: name.to_string(),
            id: self.new_id(),
            key_generations: [0, 0],
        };
        self.change_namespace(namespace, Change::Created).await?;
        Ok(true)
    }

    /// Deletes a namespace that has no topics.
    pub async fn delete_namespace(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let namespace = self.namespace(name)?;
        let topics = self.topics_of_namespace(&namespace.name);
        if !topics.is_empty() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "namespace {:?} has topics, delete them first: {}",
                    namespace.name,
                    topics.join(", ")
                ),
            ));
        }
        let event = namespace.event(self.new_id(), Change::Deleted)?;
        self.journal(event).await?;
        let key = namespace.name.to_lowercase();
        self.config.write().namespaces.remove(&key);
        Ok(())
    }

    /// A namespace by its name, without regard to case.
    pub fn namespace(&self, name: &str) -> Result<NamespaceConfig> {
        let config = self.config.read();
        let found = config.namespaces.get(&name.to_lowercase()).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!(
                "there is no namespace {name:?}: make it with PUT /namespaces/{name}"
            ))
        })
    }

    /// The names that its topics have in it.
    pub fn topics_of_namespace(&self, name: &str) -> Vec<String> {
        let config = self.config.read();
        let names = config.topics.values().filter_map(|topic| {
            let (namespace, topic) = in_namespace(&topic.name)?;
            namespace
                .eq_ignore_ascii_case(name)
                .then(|| topic.to_owned())
        });
        names.collect()
    }

    pub fn namespace_keys(&self, namespace: &NamespaceConfig) -> [Key; 2] {
        let [one, two] = namespace.key_generations;
        [
            self.master.namespace_key(namespace.id, KeySlot::Key1, one),
            self.master.namespace_key(namespace.id, KeySlot::Key2, two),
        ]
    }

    /// Makes one of a namespace's keys anew: that of all its topics.
    pub async fn regenerate_namespace_key(&self, name: &str, slot: KeySlot) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        let known = self.namespace(name)?;
        let mut changed = known.clone();
        changed.key_generations[keys::index(slot)] += 1;
        self.change_namespace(changed, Change::KeyRegenerated(&known))
            .await
    }

    async fn change_namespace(
        &self,
        namespace: NamespaceConfig,
        change: Change<'_, NamespaceConfig>,
    ) -> Result<()> {
        let event = namespace.event(self.new_id(), change)?;
        self.journal(event).await?;
        let key = namespace.name.to_lowercase();
        self.config.write().namespaces.insert(key, namespace);
        self.refresh_topics();
        Ok(())
    }
}
