//! The application at work: its functions started, its definitions applied.

use std::collections::BTreeSet;

use foretell_functions::App;
use foretell_types::Result;

use super::apps::Place;
use super::{Node, Owner};

impl Node {
    pub(super) fn start_apps(&self) {
        let application = &self.options.application;
        for (name, folder) in application.function_apps() {
            let mut options = self.common_app_options(&name, folder);
            if let Some(table) = application
                .file
                .as_ref()
                .and_then(|file| file.functions.get(&name))
            {
                options.settings.clone_from(&table.settings);
            }
            let place = Place::Running(App::start(options));
            self.apps.set(&name, Owner::File, place);
        }
    }

    /// Brings the configuration to what `foretell.toml` says. A subscription that it named once
    /// and names no more is deleted; a topic stays, with its events, and can be edited again.
    pub(super) async fn apply_application(&self) -> Result<()> {
        let application = self.options.application.clone();
        let mut named = BTreeSet::new();
        for (name, table) in application.topics() {
            self.put_topic(name, table.definition()?, Owner::File)
                .await?;
            for (subscription, table) in &table.subscriptions {
                let (definition, start) = table.definition()?;
                self.put_subscription(name, subscription, definition, start, Owner::File)
                    .await?;
                named.insert((name.to_lowercase(), subscription.to_lowercase()));
            }
        }
        let config = self.config();
        for (key, subscription) in &config.subscriptions {
            if subscription.owner == Owner::File && !named.contains(key) {
                self.delete_subscription(&subscription.topic, &subscription.name, Owner::File)
                    .await?;
            }
        }
        for topic in config.topics.values() {
            let gone = !application
                .topics()
                .any(|(name, _)| name.eq_ignore_ascii_case(&topic.name));
            if topic.owner == Owner::File && gone {
                self.disown_topic(&topic.name).await?;
            }
        }
        Ok(())
    }
}
