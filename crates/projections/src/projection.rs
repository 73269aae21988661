use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foretell_log::{EventLog, ReadOptions};
use foretell_state::{Definition, KeyState, Output, Scalar, Stamp};
use foretell_types::{Error, ErrorKind, Position, Result};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::Options;
use crate::ask::{self, Ask, answer};
use crate::folded::Folded;
use crate::folders;
use crate::store::{Meta, Store, TopicMeta};
use crate::turn::Turn;

/// How long a follower sleeps if nothing wakes it: until what isn't stored is due.
const SLEEP: Duration = Duration::from_secs(1);

/// A projection at work: it follows its topics in a thread of its own, and answers meanwhile.
pub struct Projection {
    pub(crate) definition: Definition,
    /// All that it keeps.
    pub(crate) folder: PathBuf,
    log: EventLog,
    folded: Mutex<Folded>,
    /// How far each topic is folded.
    positions: watch::Sender<Vec<u64>>,
    trouble: Mutex<Option<Error>>,
    stop: AtomicBool,
    /// What it keeps is dropped: nothing is answered out of it any more.
    discarded: AtomicBool,
    wake: Notify,
    stage: watch::Sender<Stage>,
}

/// How far the life of a projection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    BeingBuilt,
    /// It has been up to date.
    Built,
    /// It follows its topics no longer.
    Ended,
}

impl std::fmt::Debug for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Projection({})", self.definition.name)
    }
}

/// How far a projection is.
#[derive(Clone, Debug)]
pub struct Status {
    /// By topic: its name, how far it is folded, and its head.
    pub topics: Vec<(String, u64, u64)>,
    /// Events that were read.
    pub events: u64,
    /// Events that touched no key since theirs was too large.
    pub too_large: u64,
    /// It has been up to date since it was built.
    pub complete: bool,
    /// Why it doesn't go on.
    pub trouble: Option<String>,
    pub disk_bytes: u64,
}

/// The events that a column comes from, and what its aggregates take of each.
pub type Reasons = BTreeMap<Stamp, Vec<Scalar<'static>>>;

/// A state, and at which instant its windows end.
#[derive(Clone, Debug)]
pub struct Found {
    pub key: String,
    pub state: KeyState,
    /// Nanoseconds since the epoch.
    pub as_of: i64,
}

impl Projection {
    /// Opens what is kept in a folder, or begins anew there, and follows the topics from there on.
    pub(crate) fn start(
        definition: Definition,
        folder: &Path,
        log: EventLog,
        runtime: &tokio::runtime::Handle,
        options: Options,
    ) -> Result<Arc<Projection>> {
        let store = folders::make(folder, &definition)?;
        let (store, meta) = open(&definition, &store, &log)?;
        let positions = positions(&meta);
        let stage = match meta.complete {
            true => Stage::Built,
            false => Stage::BeingBuilt,
        };
        let projection = Arc::new(Projection {
            folded: Mutex::new(Folded::new(&definition, store, meta, options)),
            definition,
            folder: folder.to_owned(),
            log,
            positions: watch::Sender::new(positions),
            trouble: Mutex::default(),
            stop: AtomicBool::new(false),
            discarded: AtomicBool::new(false),
            wake: Notify::new(),
            stage: watch::Sender::new(stage),
        });
        let (follower, runtime) = (projection.clone(), runtime.clone());
        std::thread::Builder::new()
            .name(format!("projection {}", follower.definition.name))
            .spawn(move || {
                if let Err(error) = follower.follow(&runtime) {
                    tracing::error!(projection = follower.definition.name, %error, "a projection stopped");
                    *follower.trouble.lock() = Some(error);
                    // Those who wait learn of it.
                    follower.positions.send_modify(|_| {});
                }
                follower.stage.send_replace(Stage::Ended);
            })
            .map_err(|error| Error::io("starting a projection", error))?;
        Ok(projection)
    }

    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Stops following, and stores what isn't stored yet.
    pub async fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.notify_one();
        let ended = |stage: &Stage| *stage == Stage::Ended;
        let _ = self.stage.subscribe().wait_for(ended).await;
    }

    /// Stops for good: what is kept is about to be dropped, and questions fail.
    pub(crate) async fn discard(&self) {
        self.discarded.store(true, Ordering::Release);
        // Those who wait learn of it.
        self.positions.send_modify(|_| {});
        self.stop().await;
    }

    /// Whether another has taken its place: that is to be asked.
    pub fn is_discarded(&self) -> bool {
        self.discarded.load(Ordering::Acquire)
    }

    fn check_kept(&self) -> Result<()> {
        if self.is_discarded() {
            let message = format!(
                "projection {} was replaced while it answered: ask again",
                self.definition.name
            );
            return Err(Error::unavailable(message).with_retry_after(1));
        }
        Ok(())
    }

    /// Ready once it has been up to date; false if it ended before.
    pub async fn built(&self) -> bool {
        let passed = |stage: &Stage| *stage != Stage::BeingBuilt;
        let mut stage = self.stage.subscribe();
        stage
            .wait_for(passed)
            .await
            .is_ok_and(|stage| *stage == Stage::Built)
    }

    fn follow(self: &Arc<Self>, runtime: &tokio::runtime::Handle) -> Result<()> {
        loop {
            let mut any = false;
            for topic in 0..self.definition.topics.len() {
                any |= self.catch_up(topic)?;
            }
            if self.stop.load(Ordering::Acquire) {
                if self.is_discarded() {
                    return Ok(());
                }
                let mut folded = self.folded.lock();
                folded.store(&self.definition)?;
                return folded.store.persist();
            }
            if any {
                continue;
            }
            let mut folded = self.folded.lock();
            if !folded.meta.complete {
                folded.meta.complete = true;
                folded.store(&self.definition)?;
                self.stage.send_replace(Stage::Built);
            } else if folded.is_due() {
                folded.store(&self.definition)?;
            }
            drop(folded);
            let waiting = runtime.spawn(self.clone().wait());
            if runtime.block_on(waiting).is_err() {
                // The runtime is gone: so is whoever could ask.
                self.stop.store(true, Ordering::Release);
            }
        }
    }

    /// Ready once a topic has more, or something else is to be done.
    async fn wait(self: Arc<Self>) {
        let mut heads = tokio::task::JoinSet::new();
        for (name, position) in self
            .definition
            .topics
            .iter()
            .zip(self.positions.borrow().iter())
        {
            if let Ok(mut head) = self.log.watch(name) {
                let position = *position;
                heads.spawn(async move {
                    // A topic that is deleted ends its watch.
                    if head.wait_for(|head| *head > position).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                });
            }
        }
        tokio::select! {
            Some(_) = heads.join_next() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(SLEEP) => {}
        }
    }

    /// Folds what a topic has by now; gives whether there was anything.
    fn catch_up(&self, topic: usize) -> Result<bool> {
        let name = &self.definition.topics[topic];
        let after = self.folded.lock().meta.topics[topic].position;
        let options = ReadOptions::after(Position::new(after));
        let mut reader = match self.log.read(name, options) {
            Ok(reader) => reader,
            // It isn't there yet, or was deleted: what is folded stays until it is made anew.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let kept = self.folded.lock().kept().to_vec();
        // Gives whether there may be more.
        let mut read = |turn: &mut Turn| {
            turn.clear();
            while !turn.is_full() {
                match reader.next_event()? {
                    Some(event) => turn.take(&self.definition, &kept, topic, &event),
                    None => return Ok(false),
                }
            }
            Ok::<bool, Error>(true)
        };
        let (mut now, mut next) = (Turn::default(), Turn::default());
        let mut more = read(&mut now)?;
        let any = !now.events.is_empty();
        loop {
            // Taken here: no thread of the pool waits for a lock whose holder waits for the pool.
            let mut locked = self.folded.lock();
            let folded = &mut *locked;
            let mut fold = || folded.fold(&self.definition, topic, &now);
            // Where there is much to catch up with, the next turn is read meanwhile.
            let (done, ahead) = match more {
                true => rayon::join(fold, || read(&mut next)),
                false => (fold(), Ok(false)),
            };
            done?;
            if folded.is_due() {
                folded.store(&self.definition)?;
            }
            let position = folded.meta.topics[topic].position;
            drop(locked);
            self.positions.send_if_modified(|positions| {
                std::mem::replace(&mut positions[topic], position) != position
            });
            let stops = self.stop.load(Ordering::Acquire);
            if !more || stops {
                return Ok(any && !stops);
            }
            more = ahead?;
            std::mem::swap(&mut now, &mut next);
        }
    }

    /// Ready once so much is folded: by topic, as the definition orders them. Fails if that takes
    /// longer than `patience`.
    pub async fn reached(&self, wanted: &[u64], patience: Duration) -> Result<()> {
        let mut watch = self.positions.subscribe();
        let there = |positions: &Vec<u64>| {
            self.trouble.lock().is_some()
                || self.is_discarded()
                || positions.iter().zip(wanted).all(|(is, want)| is >= want)
        };
        let reached = tokio::time::timeout(patience, watch.wait_for(there))
            .await
            .is_ok();
        self.check_kept()?;
        if let Some(error) = &*self.trouble.lock() {
            return Err(Error::unavailable(format!(
                "projection {} stopped: {error}",
                self.definition.name
            )));
        }
        if reached {
            return Ok(());
        }
        let status = self.status();
        let far: Vec<String> = status
            .topics
            .iter()
            .map(|(name, folded, head)| format!("{name}: {folded} of {head}"))
            .collect();
        let message = format!(
            "projection {} is not that far yet ({}): ask again, or with after= for an older position",
            self.definition.name,
            far.join(", ")
        );
        Err(Error::unavailable(message).with_retry_after(1))
    }

    /// The heads of the topics now, as the definition orders them.
    pub fn heads(&self) -> Vec<u64> {
        let head = |name: &String| self.log.head(name).ok().flatten();
        self.definition
            .topics
            .iter()
            .map(|name| Position::as_count(head(name)))
            .collect()
    }

    /// The state of a key; `None` if nothing about it was known. `clock` is the present time: the
    /// instant of a question without a time, where events come as they happen.
    pub fn state(&self, key: &str, ask: &Ask, clock: i64) -> Result<Option<Found>> {
        let asks = std::slice::from_ref(ask);
        let mut found = self.states(key, asks, clock, None)?;
        Ok(found.pop().flatten().map(|(found, _)| found))
    }

    /// The states of a key for several questions, out of one and the same history; with a column,
    /// what its values come from.
    pub fn states(
        &self,
        key: &str,
        asks: &[Ask],
        clock: i64,
        column: Option<&Output>,
    ) -> Result<Vec<Option<(Found, Reasons)>>> {
        let mut folded = self.folded.lock();
        let entry = folded.entry(&self.definition, key)?;
        let (view, frontier) = (folded.store.view(), frontier(&folded.meta, clock));
        let kept = folded.kept().to_vec();
        drop(folded);
        let Some(entry) = entry else {
            return Ok(vec![None; asks.len()]);
        };
        let states = asks.iter().map(|ask| {
            let (state, known) = answer(&self.definition, &kept, &view, key, &entry, ask)?;
            if !known {
                return Ok(None);
            }
            let found = found(key.to_owned(), state, ask, frontier);
            let reasons = match column {
                None => Reasons::new(),
                Some(column) => {
                    let rows = ask::rows(&view, key, &entry, ask)?;
                    self.definition.reasons(column, &rows, found.as_of)
                }
            };
            Ok(Some((found, reasons)))
        });
        let states = states.collect();
        self.check_kept()?;
        states
    }

    /// The states of all keys about which anything was known, in the order of the keys, until
    /// `visit` says stop.
    pub fn each(
        &self,
        ask: &Ask,
        clock: i64,
        visit: &mut dyn FnMut(Found) -> Result<bool>,
    ) -> Result<()> {
        let mut folded = self.folded.lock();
        folded.store(&self.definition)?;
        let (view, frontier) = (folded.store.view(), frontier(&folded.meta, clock));
        let kept = folded.kept().to_vec();
        drop(folded);
        view.each(&self.definition, &mut |key, entry| {
            self.check_kept()?;
            let (state, known) = answer(&self.definition, &kept, &view, &key, &entry, ask)?;
            if !known {
                return Ok(true);
            }
            visit(found(key, state, ask, frontier))
        })
    }

    pub fn status(&self) -> Status {
        let folded = self.folded.lock();
        let heads = self.heads();
        let topics = self
            .definition
            .topics
            .iter()
            .zip(&folded.meta.topics)
            .zip(heads);
        Status {
            topics: topics
                .map(|((name, meta), head)| (name.clone(), meta.position, head))
                .collect(),
            events: folded.meta.events,
            too_large: folded.meta.too_large,
            complete: folded.meta.complete,
            trouble: self.trouble.lock().as_ref().map(ToString::to_string),
            disk_bytes: folded.store.disk_bytes(),
        }
    }
}

fn positions(meta: &Meta) -> Vec<u64> {
    meta.topics.iter().map(|topic| topic.position).collect()
}

/// Where time stands: at the clock, unless all topics are imported history.
fn frontier(meta: &Meta, clock: i64) -> i64 {
    let last = meta.topics.iter().filter_map(|topic| topic.frontier).max();
    match last {
        Some(last)
            if meta
                .topics
                .iter()
                .all(|topic| topic.imported || topic.position == 0) =>
        {
            last
        }
        _ => clock,
    }
}

fn found(key: String, state: KeyState, ask: &Ask, frontier: i64) -> Found {
    // An event may lie in the future; a window never ends before it.
    let last = state.last().map_or(i64::MIN, |last| last.time);
    let as_of = ask.at.or(ask.as_of).unwrap_or(frontier).max(last);
    Found { key, state, as_of }
}

/// Opens a store; begins anew if a topic is no longer the one that was folded.
fn open(definition: &Definition, folder: &Path, log: &EventLog) -> Result<(Store, Meta)> {
    let uuid = |name: &String| {
        log.topic(name)
            .map_or([0; 16], |topic| topic.uuid.into_bytes())
    };
    let uuids: Vec<[u8; 16]> = definition.topics.iter().map(uuid).collect();
    let store = Store::open(folder)?;
    if let Some(meta) = store.meta()? {
        let known: Vec<[u8; 16]> = meta.topics.iter().map(|topic| topic.uuid).collect();
        let ahead = definition
            .topics
            .iter()
            .zip(&meta.topics)
            .any(|(name, topic)| {
                topic.position > Position::as_count(log.head(name).ok().flatten())
            });
        if known == uuids && !ahead {
            return Ok((store, meta));
        }
        drop(store);
        std::fs::remove_dir_all(folder)
            .map_err(|error| Error::io(format_args!("removing {}", folder.display()), error))?;
        return open(definition, folder, log);
    }
    let topics = uuids.into_iter().map(|uuid| TopicMeta {
        uuid,
        ..TopicMeta::default()
    });
    let meta = Meta {
        topics: topics.collect(),
        ..Meta::default()
    };
    Ok((store, meta))
}
