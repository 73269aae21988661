use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_log::EventLog;
use foretell_state::Definition;
use foretell_types::limits::PROJECTIONS;
use foretell_types::{Error, Result};
use parking_lot::Mutex;

use crate::folders::{self, Folders};
use crate::{Options, Projection};

/// The projections of a data directory at work.
#[derive(Debug)]
pub struct Projections {
    folders: Folders,
    log: EventLog,
    runtime: tokio::runtime::Handle,
    options: Options,
    running: Mutex<BTreeMap<String, Running>>,
    /// Changes go one after the other.
    changes: tokio::sync::Mutex<()>,
}

/// A projection that answers, and the one that takes its place once it is as far.
#[derive(Clone, Debug)]
struct Running {
    answers: Arc<Projection>,
    next: Option<Arc<Projection>>,
}

impl Running {
    fn all(&self) -> impl Iterator<Item = &Arc<Projection>> {
        std::iter::once(&self.answers).chain(&self.next)
    }

    /// The one that is wanted in the end.
    fn wanted(&self) -> &Arc<Projection> {
        self.next.as_ref().unwrap_or(&self.answers)
    }
}

impl Projections {
    /// Nothing runs before it is defined.
    pub fn new(
        folder: PathBuf,
        log: EventLog,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Projections> {
        Projections::with(folder, log, runtime, Options::default())
    }

    pub fn with(
        folder: PathBuf,
        log: EventLog,
        runtime: tokio::runtime::Handle,
        options: Options,
    ) -> Arc<Projections> {
        Arc::new(Projections {
            options,
            folders: Folders(folder),
            log,
            runtime,
            running: Mutex::default(),
            changes: tokio::sync::Mutex::default(),
        })
    }

    /// Defines a projection. If one of that name answers already, it goes on answering until the
    /// new one is as far.
    pub async fn define(self: &Arc<Self>, definition: Definition) -> Result<()> {
        let _one = self.changes.lock().await;
        let name = definition.name.clone();
        let known = self.running.lock().get(&name).cloned();
        if let Some(known) = known {
            if known.wanted().definition.text == definition.text {
                return Ok(());
            }
            let Running { answers, next } = known;
            if answers.definition.text == definition.text {
                // Back to the one that still answers.
                let next = next.clone();
                self.put(name, answers, None);
                return self.discard(next).await;
            }
            let built = self.blocking(move |all| {
                let folder = all.folders.of(&definition);
                all.start(definition, &folder)
            });
            self.build_beside(name, answers, built.await?);
            return self.discard(next).await;
        }
        if self.running.lock().len() >= PROJECTIONS {
            return Err(Error::invalid(format!(
                "there are {PROJECTIONS} projections, the most that are allowed"
            )));
        }
        let (former, built) = self.blocking(move |all| all.resume(definition)).await?;
        match former {
            Some(former) => self.build_beside(name, former, built),
            None => self.put(name, built, None),
        }
        Ok(())
    }

    /// Builds a projection anew, beside the one that answers.
    pub async fn rebuild(self: &Arc<Self>, name: &str) -> Result<()> {
        let _one = self.changes.lock().await;
        let found = self.find(name)?;
        let definition = found.wanted().definition.clone();
        let Running { answers, next } = found;
        let built = self.blocking(move |all| all.start_anew(definition)).await?;
        self.build_beside(name.to_owned(), answers, built);
        self.discard(next).await
    }

    /// Ends a projection and drops what it keeps.
    pub async fn remove(self: &Arc<Self>, name: &str) -> Result<()> {
        let _one = self.changes.lock().await;
        let removed = self.running.lock().remove(name);
        for projection in removed.iter().flat_map(Running::all) {
            projection.discard().await;
        }
        let folder = self.folders.0.join(name);
        self.blocking(move |_| folders::remove(&folder)).await
    }

    /// Drops all that is kept of these topics, since some of them was erased: by projections that
    /// answer, by those that are built beside them, and by former ones. What runs is built anew,
    /// and answers when it is. When this returns nothing that was kept is left, and no question
    /// that is still being answered reads on in it.
    pub async fn forget(self: &Arc<Self>, topics: &[String]) -> Result<()> {
        let _one = self.changes.lock().await;
        let topics: BTreeSet<String> = topics.iter().map(|name| name.to_lowercase()).collect();
        let reads = move |definition: &Definition| {
            let mut names = definition.topics.iter();
            names.any(|name| topics.contains(&name.to_lowercase()))
        };
        let running: Vec<(String, Running)> = {
            let running = self.running.lock();
            let all = running
                .iter()
                .map(|(name, found)| (name.clone(), found.clone()));
            all.filter(|(_, found)| found.all().any(|one| reads(&one.definition)))
                .collect()
        };
        let mut done = Ok(());
        for (name, found) in running {
            let definition = found.wanted().definition.clone();
            let built = self.blocking(move |all| all.start_anew(definition)).await;
            match built {
                Ok(built) => self.put(name, built, None),
                Err(error) => {
                    // Rather no answer than one out of what is to be dropped.
                    self.running.lock().remove(&name);
                    done = Err(error);
                }
            }
            for projection in found.all() {
                let dropped = self.discard(Some(projection.clone())).await;
                done = done.and(dropped);
            }
        }
        let left = self.blocking(move |all| all.drop_left_behind(&reads)).await;
        done.and(left)
    }

    /// The projection of a name, and the one that is built beside it.
    pub fn get(&self, name: &str) -> Result<(Arc<Projection>, Option<Arc<Projection>>)> {
        let Running { answers, next } = self.find(name)?;
        Ok((answers, next))
    }

    pub fn names(&self) -> Vec<String> {
        self.running.lock().keys().cloned().collect()
    }

    /// Stops all, and stores what they have folded.
    pub async fn stop(&self) {
        let _one = self.changes.lock().await;
        let running = std::mem::take(&mut *self.running.lock());
        for projection in running.values().flat_map(Running::all) {
            projection.stop().await;
        }
    }

    fn find(&self, name: &str) -> Result<Running> {
        let running = self.running.lock();
        running.get(name).cloned().ok_or_else(|| {
            let mut names: Vec<&str> = running.keys().map(String::as_str).collect();
            names.insert(0, "merge");
            Error::not_found(format!(
                "there is no projection {name:?}; there are: {}",
                names.join(", ")
            ))
        })
    }

    fn put(&self, name: String, answers: Arc<Projection>, next: Option<Arc<Projection>>) {
        let running = Running { answers, next };
        self.running.lock().insert(name, running);
    }

    fn start(&self, definition: Definition, folder: &Path) -> Result<Arc<Projection>> {
        let log = self.log.clone();
        Projection::start(definition, folder, log, &self.runtime, self.options)
    }

    fn start_anew(&self, definition: Definition) -> Result<Arc<Projection>> {
        let folder = self.folders.anew(&definition);
        self.start(definition, &folder)
    }

    /// Goes on where an earlier process stopped. If it had not built this definition to the end,
    /// what it had built before comes first: that answers until this one is built. What can't be
    /// read any more is dropped.
    fn resume(&self, definition: Definition) -> Result<(Option<Arc<Projection>>, Arc<Projection>)> {
        let folder = self.folders.of(&definition);
        let mut former = None;
        let is_built = folders::is_complete(&folder);
        let others = self.folders.named(&definition.name);
        for other in others.iter().filter(|other| **other != folder) {
            if former.is_none() && !is_built && folders::is_complete(other) {
                former = folders::definition(other)
                    .and_then(|definition| self.start(definition, other).ok());
                if former.is_some() {
                    continue;
                }
            }
            folders::remove(other)?;
        }
        Ok((former, self.start(definition, &folder)?))
    }

    fn drop_left_behind(&self, reads: &dyn Fn(&Definition) -> bool) -> Result<()> {
        let in_use: BTreeSet<PathBuf> = self
            .running
            .lock()
            .values()
            .flat_map(Running::all)
            .map(|projection| projection.folder.clone())
            .collect();
        let all = self.folders.all().into_iter();
        all.filter(|folder| !in_use.contains(folder))
            .filter(|folder| folders::definition(folder).is_none_or(|kept| reads(&kept)))
            .try_for_each(|folder| folders::remove(&folder))
    }

    /// Lets a projection answer once it is built, and drops the former.
    fn build_beside(
        self: &Arc<Self>,
        name: String,
        former: Arc<Projection>,
        next: Arc<Projection>,
    ) {
        self.put(name.clone(), former, Some(next.clone()));
        let all = self.clone();
        self.runtime.spawn(async move {
            if !next.built().await {
                return;
            }
            let _one = all.changes.lock().await;
            let former = {
                let mut running = all.running.lock();
                let waits = |found: &&mut Running| {
                    let waiting = found.next.as_ref();
                    waiting.is_some_and(|waiting| Arc::ptr_eq(waiting, &next))
                };
                let Some(found) = running.get_mut(&name).filter(waits) else {
                    return;
                };
                found.next = None;
                std::mem::replace(&mut found.answers, next)
            };
            if let Err(error) = all.discard(Some(former)).await {
                tracing::warn!(%error, "what a former projection kept is left");
            }
        });
    }

    /// Ends a projection that no longer runs, and drops what it keeps.
    async fn discard(self: &Arc<Self>, projection: Option<Arc<Projection>>) -> Result<()> {
        let Some(projection) = projection else {
            return Ok(());
        };
        projection.discard().await;
        let folder = projection.folder.clone();
        self.blocking(move |_| folders::remove(&folder)).await
    }

    /// Runs what blocks on files.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Projections) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let all = self.clone();
        self.runtime
            .spawn_blocking(move || work(&all))
            .await
            .map_err(|error| Error::unavailable(format!("the work was cut off: {error}")))?
    }
}
