//! Datasets: defined by the API or by the application's files, built of the log.

mod build;
mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_lake::{ColumnCache, LogBuild, Topic};
use foretell_state::{Dataset, Definition as Projection, Instants};
use foretell_types::limits::DATASETS;
use foretell_types::{Error, Position, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::config::Change;
use super::config::Definition as _;
use super::definitions::{DatasetConfig, change_event};
use super::topics::check_owner;
use super::{Node, Owner, blocking};
use topic::LogTopic;

pub use build::{BuildRequest, LabelTable};

/// Label tables, below the data directory.
const TABLES: &str = "derived/tables";

/// What datasets keep, and which are being built.
#[derive(Debug)]
pub(super) struct Datasets {
    columns: ColumnCache,
    builds: Mutex<BTreeMap<Uuid, Status>>,
}

/// How far a build is.
#[derive(Clone, Debug)]
struct Status {
    dataset: String,
    step: String,
    done: u64,
    total: u64,
}

impl Datasets {
    pub(super) fn new(derived: &Path) -> Datasets {
        Datasets {
            columns: ColumnCache::new(derived.join("columns")),
            builds: Mutex::default(),
        }
    }
}

impl Node {
    /// Brings the datasets to what the application's files say. One whose file is gone goes.
    pub(super) async fn apply_datasets(&self) -> Result<()> {
        let mut named = BTreeSet::new();
        for (file, text) in self.options.application.datasets()? {
            let dataset = self.parse_dataset(&text, &file)?;
            if !named.insert(dataset.name.clone()) {
                let name = dataset.name;
                return Err(Error::invalid(format!(
                    "{file}: dataset {name} is there twice"
                )));
            }
            self.put_dataset(&dataset, Owner::File).await?;
        }
        let known: Vec<DatasetConfig> = self.config.read().datasets.values().cloned().collect();
        for dataset in known {
            if dataset.owner == Owner::File && !named.contains(&dataset.name) {
                self.delete_dataset(&dataset.name, Owner::File).await?;
            }
        }
        Ok(())
    }

    /// Compiles the text of a dataset, over the projections as they are defined now.
    pub fn parse_dataset(&self, text: &str, file: &str) -> Result<Dataset> {
        Dataset::parse(text, file, &|name| {
            let config = self.config.read();
            let Some(found) = config.projections.get(name) else {
                let names: Vec<&str> = config.projections.keys().map(String::as_str).collect();
                let there = match names[..] {
                    [] => "none is defined".to_owned(),
                    _ => format!("there are: {}", names.join(", ")),
                };
                return Err(Error::not_found(format!(
                    "there is no projection {name:?}; {there}"
                )));
            };
            Projection::parse(&found.text, &format!("{name}.sql"))
        })
    }

    /// Defines a dataset, or changes its definition. Gives whether it was made.
    pub async fn put_dataset(&self, dataset: &Dataset, owner: Owner) -> Result<bool> {
        let _phase = self.change().await?;
        let defined = DatasetConfig {
            name: dataset.name.clone(),
            text: dataset.text.clone(),
            owner,
        };
        let (known, count) = {
            let config = self.config.read();
            (
                config.datasets.get(&defined.name).cloned(),
                config.datasets.len(),
            )
        };
        match &known {
            Some(known) => check_owner(known.owner, owner, "dataset", &known.name)?,
            None if count >= DATASETS => {
                return Err(Error::invalid(format!(
                    "there are {DATASETS} datasets, the most that are allowed"
                )));
            }
            None => {}
        }
        if let Some(event) = change_event(self.new_id(), known.as_ref(), &defined)? {
            self.journal(event).await?;
            let name = defined.name.clone();
            self.config.write().datasets.insert(name, defined);
        }
        Ok(known.is_none())
    }

    pub async fn delete_dataset(&self, name: &str, owner: Owner) -> Result<()> {
        let _phase = self.change().await?;
        let known = self.dataset_config(name)?;
        check_owner(known.owner, owner, "dataset", name)?;
        let event = known.event(self.new_id(), Change::Deleted)?;
        self.journal(event).await?;
        self.config.write().datasets.remove(name);
        Ok(())
    }

    fn dataset_config(&self, name: &str) -> Result<DatasetConfig> {
        let config = self.config.read();
        config.datasets.get(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = config.datasets.keys().map(String::as_str).collect();
            let there = match names[..] {
                [] => "none is defined".to_owned(),
                _ => format!("there are: {}", names.join(", ")),
            };
            Error::not_found(format!("there is no dataset {name:?}; {there}"))
        })
    }

    /// A dataset that is defined, compiled.
    fn dataset(&self, name: &str) -> Result<Dataset> {
        let text = self.dataset_config(name)?.text;
        self.parse_dataset(&text, &format!("{name}.sql"))
    }

    /// The datasets, in order of their names.
    pub fn datasets_json(&self) -> Vec<Value> {
        let names: Vec<String> = self.config.read().datasets.keys().cloned().collect();
        let describe = |name: &String| match self.dataset(name) {
            Ok(dataset) => described(&dataset),
            // Its projection was changed, or is gone.
            Err(error) => json!({ "name": name, "trouble": error.message() }),
        };
        names.iter().map(describe).collect()
    }

    /// A dataset with its typed columns. Extracts columns of the log that aren't there yet, whose
    /// values say which types they are.
    pub async fn dataset_json(self: &Arc<Self>, name: &str) -> Result<Value> {
        let dataset = self.dataset(name)?;
        let node = self.clone();
        blocking(move || {
            let topics = node.log_topics(&dataset, None)?;
            let topics = borrowed(&topics);
            let build = LogBuild {
                dataset: &dataset,
                topics: &topics,
                cache: &node.datasets.columns,
            };
            let columns = build.columns(&|_, _, _| node.check_running())?.schema()?;
            let column = |column: &foretell_lake::SchemaColumn| json!({ "name": column.name, "type": column.type_name });
            let mut json = described(&dataset);
            json["columns"] = columns.iter().map(column).collect();
            json["columns_bytes"] = node.datasets.columns.disk_bytes().into();
            Ok(json)
        })
        .await
    }

    /// The builds of a dataset that are under way.
    pub fn builds_json(&self, name: &str) -> Vec<Value> {
        let builds = self.datasets.builds.lock();
        let of_name = builds.iter().filter(|(_, status)| status.dataset == name);
        let json = |(id, status): (&Uuid, &Status)| json!({ "id": id, "step": status.step, "progress": [status.done, status.total] });
        of_name.map(json).collect()
    }

    /// The topics of a dataset, up to these positions or their heads.
    fn log_topics(&self, dataset: &Dataset, heads: Option<&[u64]>) -> Result<Vec<LogTopic>> {
        let names = dataset.features.topics.iter().enumerate();
        let topic = |(index, name): (usize, &String)| {
            let mut topic = LogTopic::open(&self.log, name)?;
            if let Some(head) = heads.and_then(|heads| heads.get(index)) {
                topic.read_until(*head)?;
            }
            Ok(topic)
        };
        names.map(topic).collect()
    }

    /// Where label tables lie while they are built upon.
    pub async fn table_folder(&self) -> Result<PathBuf> {
        let folder = self.data().join(TABLES);
        blocking(move || {
            std::fs::create_dir_all(&folder).map_err(|error| {
                Error::io(format_args!("can't make {}", folder.display()), error)
            })?;
            Ok(folder)
        })
        .await
    }

    /// Drops columns that no dataset reads, and those of topics that are no longer what they were.
    pub(super) async fn drop_unused_columns(&self) -> Result<()> {
        // What a process that was killed had left of label tables.
        let _ = std::fs::remove_dir_all(self.data().join(TABLES));
        let config = self.config();
        let compiled = config
            .datasets
            .keys()
            .filter_map(|name| self.dataset(name).ok());
        let used: BTreeSet<String> = compiled.map(|of| ColumnCache::folder_of(&of)).collect();
        self.datasets
            .columns
            .retain(&self.topic_identities()?, &used)
    }

    /// Drops the columns of topics some of which was erased. Builds that may hold what it was end.
    pub async fn forget_columns(self: &Arc<Self>) -> Result<()> {
        let node = self.clone();
        blocking(move || {
            let topics = node.topic_identities()?;
            node.datasets.columns.forget(&topics)
        })
        .await
    }

    fn topic_identities(&self) -> Result<BTreeSet<String>> {
        let topics = self.log.topics();
        let identity = |topic: &foretell_log::TopicInfo| {
            LogTopic::open(&self.log, &topic.name).map(|topic| topic.identity())
        };
        topics.iter().map(identity).collect()
    }

    fn check_running(&self) -> Result<()> {
        match self.is_stopping() {
            true => Err(Error::unavailable("the server is stopping: build again")),
            false => Ok(()),
        }
    }
}

fn borrowed(topics: &[LogTopic]) -> Vec<(&dyn Topic, u64)> {
    topics
        .iter()
        .map(|topic| (topic as &dyn Topic, topic.until()))
        .collect()
}

/// A dataset as JSON, without its columns.
pub fn described(dataset: &Dataset) -> Value {
    let instants = match &dataset.instants {
        Instants::Every { .. } => "every",
        Instants::Events(_) => "events",
        Instants::Rows { .. } => "rows",
    };
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    json!({
        "name": dataset.name,
        "projection": dataset.features.name,
        "topics": dataset.features.topics,
        "instants": instants,
        "horizon_seconds": dataset.labels.as_ref().map(|labels| seconds(labels.horizon)),
        "parts": dataset.split.parts(),
        "definition": dataset.text,
    })
}

/// The position of a topic as a number; 0 if it is empty.
fn count(head: Option<Position>) -> u64 {
    Position::as_count(head)
}
