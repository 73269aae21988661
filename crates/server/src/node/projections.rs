//! Projections that answer: defined by the API or by the application's files.

use std::collections::BTreeSet;

use foretell_projections::Projection;
use foretell_state::Definition;
use foretell_types::{Error, Result};
use serde_json::{Value, json};

use super::config::{Change, Definition as _, ProjectionConfig};
use super::topics::check_owner;
use super::{Node, Owner};

impl Node {
    pub(super) async fn start_projections(&self) {
        let configured: Vec<ProjectionConfig> =
            self.config.read().projections.values().cloned().collect();
        for projection in configured {
            let file = format!("{}.sql", projection.name);
            let started = match Definition::parse(&projection.text, &file) {
                Ok(definition) => self.projections.define(definition).await,
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                tracing::error!(projection = projection.name, %error, "a projection does not run");
            }
        }
    }

    /// Brings the projections to what the application's files say. One whose file is gone goes.
    pub(super) async fn apply_projections(&self) -> Result<()> {
        let mut named = BTreeSet::new();
        for (file, text) in self.options.application.projections()? {
            let definition = Definition::parse(&text, &file)?;
            if !named.insert(definition.name.clone()) {
                return Err(Error::invalid(format!(
                    "{file}: projection {} is there twice",
                    definition.name
                )));
            }
            self.put_projection(definition, Owner::File).await?;
        }
        let known: Vec<ProjectionConfig> =
            self.config.read().projections.values().cloned().collect();
        for projection in known {
            if projection.owner == Owner::File && !named.contains(&projection.name) {
                self.delete_projection(&projection.name, Owner::File)
                    .await?;
            }
        }
        Ok(())
    }

    /// Defines a projection, or changes its definition. Gives whether it was made.
    pub async fn put_projection(&self, definition: Definition, owner: Owner) -> Result<bool> {
        let _phase = self.change().await?;
        for topic in &definition.topics {
            self.readable_topic(topic)?;
        }
        let projection = ProjectionConfig {
            name: definition.name.clone(),
            text: definition.text.clone(),
            owner,
        };
        let known = self
            .config
            .read()
            .projections
            .get(&projection.name)
            .cloned();
        if let Some(known) = &known {
            check_owner(known.owner, owner, "projection", &known.name)?;
        }
        self.projections.define(definition).await?;
        if known.as_ref() != Some(&projection) {
            let change = known.as_ref().map_or(Change::Created, Change::Updated);
            let event = projection.event(self.new_id(), change)?;
            self.journal(event).await?;
            let name = projection.name.clone();
            self.config.write().projections.insert(name, projection);
        }
        Ok(known.is_none())
    }

    pub async fn delete_projection(&self, name: &str, owner: Owner) -> Result<()> {
        let _phase = self.change().await?;
        self.projections.get(name)?;
        let known = self.config.read().projections.get(name).cloned();
        if let Some(known) = known {
            check_owner(known.owner, owner, "projection", name)?;
            let event = known.event(self.new_id(), Change::Deleted)?;
            self.journal(event).await?;
            self.config.write().projections.remove(name);
        }
        self.projections.remove(name).await
    }

    /// A projection and how far it is, as JSON.
    pub fn projection_json(&self, name: &str) -> Result<Value> {
        let (projection, next) = self.projections.get(name)?;
        let definition = projection.definition();
        let columns: Vec<Value> = definition
            .outputs
            .iter()
            .zip(definition.types())
            .map(|(output, of)| {
                let arrow = foretell_lake::arrow_type(of).to_string();
                json!({ "name": output.name, "type": of, "arrow": arrow })
            })
            .collect();
        let status = |projection: &Projection| {
            let status = projection.status();
            let topics = status.topics.iter().map(
                |(name, folded, head)| json!({ "name": name, "position": folded, "head": head }),
            );
            json!({
                "topics": topics.collect::<Vec<_>>(),
                "events": status.events,
                "events_with_too_large_keys": status.too_large,
                "complete": status.complete,
                "trouble": status.trouble,
                "disk_bytes": status.disk_bytes,
            })
        };
        Ok(json!({
            "name": definition.name,
            "definition": definition.text,
            "columns": columns,
            "status": status(&projection),
            "rebuilding": next.map(|next| status(&next)),
        }))
    }

    pub async fn rebuild_projection(&self, name: &str) -> Result<()> {
        self.projections.rebuild(name).await
    }
}
