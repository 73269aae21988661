//! One build: what it reads is settled, then it runs on a thread of its own and its bytes are
//! handed on as they are made.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use foretell_lake::{Chain, LogBuild, LogColumns, Manifest, Text, TopicHead};
use foretell_state::{Dataset, Definition as Projection};
use foretell_types::limits::DATASET_BUILDS;
use foretell_types::{Error, ErrorKind, Instant, Result};
use tempfile::TempPath;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

use super::topic::LogTopic;
use super::{Status, borrowed};
use crate::node::Node;

/// Pieces of a dataset that wait to be sent.
const PIECES: usize = 8;

/// What is to be built.
#[derive(Debug, Default)]
pub struct BuildRequest {
    pub name: String,
    /// Names the build to who asks how far it is.
    pub id: Option<Uuid>,
    /// Positions of topics up to which events are read; of its only topic if none is named.
    pub heads: Vec<(Option<String>, u64)>,
    /// How far time has gone, in place of the frontier.
    pub as_of: Option<Instant>,
    /// The manifest of a dataset that is to be built again.
    pub manifest: Option<Manifest>,
    pub labels: Option<LabelTable>,
}

/// A label table in a file of its own, which is removed with it.
#[derive(Debug)]
pub struct LabelTable {
    /// As the one who sent it calls it.
    pub name: String,
    pub path: TempPath,
    /// BLAKE3 of its bytes, in hexadecimal digits.
    pub hash: String,
}

impl Node {
    /// Builds a dataset: its bytes as Parquet, in pieces. What is wrong with the request is told
    /// before the first; a piece that is an error ends them. Who lets go of them ends the build.
    pub async fn build_dataset(
        self: &Arc<Self>,
        request: BuildRequest,
    ) -> Result<(Bytes, Receiver<Result<Bytes>>)> {
        let id = request.id.unwrap_or_else(|| self.new_id());
        let running = self.begin_build(id, &request.name)?;
        let (sender, mut receiver) = channel(PIECES);
        let node = self.clone();
        tokio::task::spawn_blocking(move || {
            let _running = running;
            let mut pipe = Pipe {
                sender: sender.clone(),
            };
            if let Err(error) = node.run_build(&request, id, &mut pipe) {
                let error = named(error, request.labels.as_ref());
                let _ = sender.blocking_send(Err(error));
            }
        });
        match receiver.recv().await {
            Some(first) => Ok((first?, receiver)),
            None => Err(Error::unavailable("the build was cut off")),
        }
    }

    fn begin_build(self: &Arc<Self>, id: Uuid, name: &str) -> Result<Running> {
        let mut builds = self.datasets.builds.lock();
        if builds.len() >= DATASET_BUILDS {
            let message = format!("{DATASET_BUILDS} datasets are being built: try again later");
            return Err(Error::new(ErrorKind::Busy, message).with_retry_after(5));
        }
        if builds.contains_key(&id) {
            return Err(Error::invalid(format!("there is a build {id} already")));
        }
        let status = Status {
            dataset: name.to_owned(),
            step: "beginning".to_owned(),
            done: 0,
            total: 0,
        };
        builds.insert(id, status);
        Ok(Running {
            node: self.clone(),
            id,
        })
    }

    fn run_build(&self, request: &BuildRequest, id: Uuid, pipe: &mut Pipe) -> Result<()> {
        let dataset = self.dataset_of(request)?;
        let heads = heads(request, &dataset)?;
        let topics = self.log_topics(&dataset, heads.as_deref())?;
        if let Some(manifest) = &request.manifest {
            check(manifest, &topics, request.labels.as_ref())?;
        }
        let progress = |step: &str, done: u64, total: u64| {
            self.check_running()?;
            if pipe.sender.is_closed() {
                return Err(Error::unavailable("who asked for the dataset is gone"));
            }
            if let Some(status) = self.datasets.builds.lock().get_mut(&id) {
                status.step.clear();
                status.step.push_str(step);
                (status.done, status.total) = (done, total);
            }
            Ok(())
        };
        let read = borrowed(&topics);
        let build = LogBuild {
            dataset: &dataset,
            topics: &read,
            cache: &self.datasets.columns,
        };
        let columns = build.columns(&progress)?;
        let manifest = match &request.manifest {
            Some(manifest) => {
                let (_, erased) = columns.events();
                if erased != manifest.counts.erased {
                    let more = erased.saturating_sub(manifest.counts.erased);
                    return Err(Error::invalid(format!(
                        "{more} of the dataset's events were erased since: it can't be built as it was"
                    )));
                }
                manifest.clone()
            }
            None => self.manifest(request, &dataset, &topics, &columns)?,
        };
        let table = request.labels.as_ref().map(|table| &*table.path);
        let again = request.manifest.as_ref().map(|manifest| manifest.counts);
        let pipe = Pipe {
            sender: pipe.sender.clone(),
        };
        let built = columns.write(pipe, table, manifest, &progress)?;
        match again {
            Some(counts) if counts != built.counts => Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "built again, the dataset has {} rows of {} events, and had {} of {}",
                    built.counts.rows, built.counts.events, counts.rows, counts.events
                ),
            )),
            _ => Ok(()),
        }
    }

    fn dataset_of(&self, request: &BuildRequest) -> Result<Dataset> {
        let Some(manifest) = &request.manifest else {
            return self.dataset(&request.name);
        };
        if manifest.dataset.name != request.name {
            return Err(Error::invalid(format!(
                "the manifest is of dataset {}, the path says {}",
                manifest.dataset.name, request.name
            )));
        }
        Dataset::parse(&manifest.dataset.text, "the manifest's dataset", &|_| {
            Projection::parse(&manifest.projection.text, "the manifest's projection")
        })
    }

    fn manifest(
        &self,
        request: &BuildRequest,
        dataset: &Dataset,
        topics: &[LogTopic],
        columns: &LogColumns<'_>,
    ) -> Result<Manifest> {
        let at_head: Vec<bool> = topics.iter().map(LogTopic::is_at_head).collect();
        let as_of = match request.as_of {
            Some(as_of) => as_of.as_nanos(),
            None => columns.frontier(self.now().as_nanos(), &at_head),
        };
        let heads = topics.iter().map(head).collect::<Result<Vec<_>>>()?;
        let (leaves, root) = self.log.root()?;
        let text = |name: &str, text: &str| Text {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        Ok(Manifest::new(
            text(&dataset.name, &dataset.text),
            text(&dataset.features.name, &dataset.features.text),
            heads,
            Chain {
                leaves,
                root: root.to_string(),
            },
            as_of,
            request.labels.as_ref().map(|table| table.hash.clone()),
        ))
    }
}

/// An error that speaks of the label table by its own name.
fn named(error: Error, table: Option<&LabelTable>) -> Error {
    let Some(table) = table else { return error };
    let path = table.path.display().to_string();
    if !error.message().contains(&path) {
        return error;
    }
    Error::new(error.kind(), error.message().replace(&path, &table.name))
}

fn head(topic: &LogTopic) -> Result<TopicHead> {
    use foretell_lake::Topic;
    Ok(TopicHead {
        name: topic.name().to_owned(),
        id: topic.uuid.to_string(),
        head: topic.until(),
        hash: topic.hash()?,
    })
}

/// How far each topic is read, as the projection orders them; `None`: to their heads.
fn heads(request: &BuildRequest, dataset: &Dataset) -> Result<Option<Vec<u64>>> {
    let topics = &dataset.features.topics;
    if let Some(manifest) = &request.manifest {
        if !request.heads.is_empty() || request.as_of.is_some() {
            return Err(Error::invalid(
                "the manifest says up to which position and as of when: leave at_head and as_of out",
            ));
        }
        let head = |name: &String| {
            let found = manifest.topics.iter().find(|topic| topic.name == *name);
            found.map(|topic| topic.head).ok_or_else(|| {
                Error::invalid(format!("the manifest names no head of topic {name:?}"))
            })
        };
        return topics.iter().map(head).collect::<Result<_>>().map(Some);
    }
    match request.heads[..] {
        [] => Ok(None),
        [(None, head)] if topics.len() == 1 => Ok(Some(vec![head])),
        _ => {
            let head = |name: &String| {
                let named = |(of, _): &&(Option<String>, u64)| {
                    of.as_ref().is_some_and(|of| of.eq_ignore_ascii_case(name))
                };
                let found = request.heads.iter().find(named).map(|(_, head)| *head);
                found.ok_or_else(|| {
                    Error::invalid(format!(
                        "at_head says nothing of topic {name:?}: write topic=position for each of {}",
                        topics.join(", ")
                    ))
                })
            };
            topics.iter().map(head).collect::<Result<_>>().map(Some)
        }
    }
}

/// Whether a manifest's log and label table are those that are here.
fn check(manifest: &Manifest, topics: &[LogTopic], table: Option<&LabelTable>) -> Result<()> {
    for topic in topics {
        let here = head(topic)?;
        if !manifest.topics.contains(&here) {
            return Err(Error::invalid(format!(
                "the manifest was made of another topic {:?}, or of another log: event {} differs",
                here.name, here.head
            )));
        }
    }
    match (&manifest.labels, table) {
        (Some(hash), Some(table)) if *hash != table.hash => Err(Error::invalid(format!(
            "the label table is another one: BLAKE3 {}, the manifest's was {hash}",
            table.hash
        ))),
        _ => Ok(()),
    }
}

/// A build under way, in the list of those.
struct Running {
    node: Arc<Node>,
    id: Uuid,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.datasets.builds.lock().remove(&self.id);
    }
}

/// Hands bytes on to who waits for them.
struct Pipe {
    sender: Sender<Result<Bytes>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(piece)).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
