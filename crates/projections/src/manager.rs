use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foretell_log::EventLog;
use foretell_state::Definition;
use foretell_types::limits::PROJECTIONS;
use foretell_types::{Error, Result};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::Projection;
use crate::store::Store;

/// The form of what is kept: another one is built anew.
const FORMAT: u64 = 1;
/// The text that a folder was built for.
const TEXT: &str = "projection.sql";
const STORE: &str = "store";
/// How often a projection that is built beside another is looked after.
const LOOK: Duration = Duration::from_millis(200);

/// The projections of a data directory at work.
#[derive(Debug)]
pub struct Projections {
    folder: PathBuf,
    log: EventLog,
    runtime: tokio::runtime::Handle,
    running: Mutex<BTreeMap<String, Running>>,
}

/// A projection that answers, and the one that takes its place once it is as far.
#[derive(Clone, Debug)]
struct Running {
    answers: Arc<Projection>,
    next: Option<Arc<Projection>>,
}

impl Projections {
    /// Nothing runs before it is defined.
    pub fn new(
        folder: PathBuf,
        log: EventLog,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Projections> {
        Arc::new(Projections {
            folder,
            log,
            runtime,
            running: Mutex::default(),
        })
    }

    /// Defines a projection. If one of that name answers already, it goes on answering until the
    /// new one is as far. Blocks on files.
    pub fn define(self: &Arc<Self>, definition: Definition) -> Result<()> {
        let name = definition.name.clone();
        let known = self.running.lock().get(&name).cloned();
        if let Some(known) = &known
            && known
                .next
                .as_ref()
                .unwrap_or(&known.answers)
                .definition
                .text
                == definition.text
        {
            return Ok(());
        }
        if known.is_none() && self.running.lock().len() >= PROJECTIONS {
            return Err(Error::invalid(format!(
                "there are {PROJECTIONS} projections, the most that are allowed"
            )));
        }
        let folder = self.folder_of(&definition);
        let answering = match known {
            Some(known) => Some(known.answers),
            None => self.left_behind(&definition, &folder),
        };
        let next = self.start(definition, folder)?;
        if next.status().complete || answering.is_none() {
            self.put(
                &name,
                Running {
                    answers: next,
                    next: None,
                },
            );
        } else if let Some(answers) = answering {
            self.put(
                &name,
                Running {
                    answers,
                    next: Some(next.clone()),
                },
            );
            self.switch_when_built(name, next);
        }
        Ok(())
    }

    /// Builds a projection anew, beside the one that answers.
    pub fn rebuild(self: &Arc<Self>, name: &str) -> Result<()> {
        let Running { answers, .. } = self.find(name)?;
        let mut folder = answers
            .folder
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        let other = folder
            .extension()
            .map_or("b", |which| if which == "b" { "a" } else { "b" });
        folder.set_extension(other);
        remove(&folder)?;
        let next = self.start(answers.definition.clone(), folder)?;
        self.put(
            name,
            Running {
                answers,
                next: Some(next.clone()),
            },
        );
        self.switch_when_built(name.to_owned(), next);
        Ok(())
    }

    /// Ends a projection and drops what it keeps.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let removed = self.running.lock().remove(name);
        if let Some(Running { answers, next }) = removed {
            answers.stop().await;
            if let Some(next) = next {
                next.stop().await;
            }
        }
        remove(&self.folder.join(name))
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
        let running = std::mem::take(&mut *self.running.lock());
        for Running { answers, next } in running.into_values() {
            answers.stop().await;
            if let Some(next) = next {
                next.stop().await;
            }
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

    fn put(&self, name: &str, running: Running) {
        self.running.lock().insert(name.to_owned(), running);
    }

    fn folder_of(&self, definition: &Definition) -> PathBuf {
        let hash = xxh3_64(definition.text.as_bytes()) ^ FORMAT;
        let first = self
            .folder
            .join(&definition.name)
            .join(format!("{hash:016x}.a"));
        // A rebuild took the other.
        let second = first.with_extension("b");
        if second.exists() && !first.exists() {
            second
        } else {
            first
        }
    }

    fn start(&self, definition: Definition, folder: PathBuf) -> Result<Arc<Projection>> {
        let here = |error| Error::io(format_args!("writing {}", folder.display()), error);
        std::fs::create_dir_all(&folder).map_err(here)?;
        std::fs::write(folder.join(TEXT), &definition.text).map_err(here)?;
        Projection::start(
            definition,
            folder.join(STORE),
            self.log.clone(),
            &self.runtime,
        )
    }

    /// What an earlier process built for a former definition: it answers until the new one is
    /// built. What can't be read any more is dropped.
    fn left_behind(&self, definition: &Definition, folder: &Path) -> Option<Arc<Projection>> {
        let entries = std::fs::read_dir(self.folder.join(&definition.name)).ok()?;
        for other in entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path != folder)
        {
            let former = std::fs::read_to_string(other.join(TEXT)).ok();
            let former = former.and_then(|text| Definition::parse(&text, TEXT).ok());
            if let Some(former) = former
                && is_complete(&other)
                && let Ok(projection) = self.start(former, other.clone())
            {
                return Some(projection);
            }
            let _ = remove(&other);
        }
        None
    }

    /// Lets the new projection answer once it is built, and drops the former.
    fn switch_when_built(self: &Arc<Self>, name: String, next: Arc<Projection>) {
        let all = self.clone();
        self.runtime.spawn(async move {
            while !next.status().complete {
                tokio::time::sleep(LOOK).await;
            }
            let former = {
                let mut running = all.running.lock();
                match running.get_mut(&name) {
                    Some(found)
                        if found
                            .next
                            .as_ref()
                            .is_some_and(|waiting| Arc::ptr_eq(waiting, &next)) =>
                    {
                        found.next = None;
                        std::mem::replace(&mut found.answers, next)
                    }
                    _ => return,
                }
            };
            former.stop().await;
            if let Some(folder) = former.folder.parent()
                && let Err(error) = remove(folder)
            {
                tracing::warn!(%error, "what a former projection kept is left");
            }
        });
    }
}

fn is_complete(folder: &Path) -> bool {
    let meta = Store::open(&folder.join(STORE)).and_then(|store| store.meta());
    matches!(meta, Ok(Some(meta)) if meta.complete)
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(
            format_args!("removing {}", folder.display()),
            error,
        )),
        _ => Ok(()),
    }
}
