use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use foretell_types::limits::{APPENDS_WAITING, APPENDS_WAITING_BYTES};
use foretell_types::{Error, ErrorKind, Instant, Position, Result, Revision};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use crate::append::{Append, Encoded, Ticket};
use crate::codec::{Frame, leaf};
use crate::environment::Environment;
use crate::index::Index;
use crate::journal::{DiskJournal, Group, GroupMeta, Journal, JournalReader, Seq};
use crate::merkle::MountainRange;
use crate::read::{ReadOptions, Reader};
use crate::writer::{Request, Writer};

/// The event log: topics over one journal. Clones share it; the writer stops, after what it has
/// taken, when the last one is dropped.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What writer and readers share.
pub(crate) struct Shared {
    pub environment: Environment,
    pub index: RwLock<Index>,
    pub journal: Arc<dyn JournalReader>,
    pub waiting: Waiting,
    /// Seeds the hashes of identities: nobody outside can make them collide.
    pub seed: u64,
    heads: Mutex<Vec<watch::Sender<u64>>>,
}

/// Counts the appends that wait for the writer.
#[derive(Default)]
pub(crate) struct Waiting {
    appends: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    fn enter(&self, bytes: usize) -> Result<()> {
        let appends = self.appends.fetch_add(1, Ordering::Relaxed);
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if appends < APPENDS_WAITING && (waiting == 0 || waiting + bytes <= APPENDS_WAITING_BYTES) {
            return Ok(());
        }
        self.leave(bytes);
        Err(Error::new(
            ErrorKind::Busy,
            format!("{appends} appends with {waiting} bytes are waiting already: try again later"),
        ))
    }

    pub fn leave(&self, bytes: usize) {
        self.appends.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Shared {
    /// Tells the followers of topics about their new heads.
    pub fn announce(&self, topics: impl Iterator<Item = u32>) {
        let index = self.index.read();
        let mut heads = self.heads.lock();
        for id in topics {
            if let Some(topic) = index.topics.get(id as usize) {
                sender(&mut heads, id).send_replace(topic.head());
            }
        }
    }
}

fn sender(heads: &mut Vec<watch::Sender<u64>>, id: u32) -> &watch::Sender<u64> {
    while heads.len() <= id as usize {
        heads.push(watch::Sender::new(0));
    }
    &heads[id as usize]
}

/// A topic as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicInfo {
    pub name: String,
    /// Differs from that of an earlier topic of the same name.
    pub uuid: uuid::Uuid,
    /// Position of the last event; `None` if there is none.
    pub head: Option<Position>,
    /// Number of streams.
    pub streams: u64,
    pub created: Instant,
    pub reuse_ids: bool,
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EventLog(last commit {})",
            self.inner.shared.index.read().last.0
        )
    }
}

impl EventLog {
    /// Opens a log in a folder (made if it isn't there). The caller holds the folder's lock.
    pub fn open_folder(folder: &Path, environment: &Environment) -> Result<EventLog> {
        let journal = DiskJournal::open(folder, environment)?;
        EventLog::open(Box::new(journal), environment, &mut |_, _| {})
    }

    /// Opens a log over a journal: reads all of it, checking every byte, and builds the index.
    /// `progress` is told the bytes read and the bytes there are.
    pub fn open(
        journal: Box<dyn Journal>,
        environment: &Environment,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<EventLog> {
        let seed = environment.random.next();
        let reader = journal.reader();
        let mut index = Index::default();
        let mut range = MountainRange::default();
        rebuild(&*reader, &mut index, &mut range, seed, progress)?;
        let epoch = index.epoch + 1;
        let heads = index
            .topics
            .iter()
            .map(|topic| watch::Sender::new(topic.head()))
            .collect();
        let shared = Arc::new(Shared {
            environment: environment.clone(),
            index: RwLock::new(index),
            journal: reader,
            waiting: Waiting::default(),
            seed,
            heads: Mutex::new(heads),
        });
        let (requests, receiver) = mpsc::channel();
        let meta = GroupMeta {
            first: Seq(1),
            commits: 0,
            frames: 0,
            epoch,
            nonce: 0,
            root: [0; 32],
        };
        let writer = Writer {
            shared: shared.clone(),
            journal,
            range,
            epoch,
            group: Group::new(meta),
            poison: None,
        };
        let thread = std::thread::Builder::new()
            .name("foretell-log".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| Error::io("can't start the log's writer", error))?;
        let inner = Inner {
            shared,
            requests: Mutex::new(Some(requests)),
            writer: Mutex::new(Some(thread)),
        };
        Ok(EventLog {
            inner: Arc::new(inner),
        })
    }

    /// Hands an append to the writer. The ticket is resolved once it is durable, or has failed.
    pub fn append(&self, append: Append) -> Result<Ticket> {
        let shared = &self.inner.shared;
        let encoded = Encoded::new(append, shared.seed)?;
        let bytes = encoded.bytes.len();
        shared.waiting.enter(bytes)?;
        let (reply, ticket) = oneshot::channel();
        let requests = self.inner.requests.lock();
        let sent = requests
            .as_ref()
            .is_some_and(|r| r.send(Request { encoded, reply }).is_ok());
        if !sent {
            shared.waiting.leave(bytes);
            return Err(Error::unavailable("the log is closed"));
        }
        Ok(Ticket(ticket))
    }

    /// Reads events of a topic; see [`ReadOptions`].
    pub fn read(&self, topic: &str, options: ReadOptions) -> Result<Reader> {
        Reader::new(self.inner.shared.clone(), topic, options)
    }

    /// Position of a topic's last event; `None` if there is none.
    pub fn head(&self, topic: &str) -> Result<Option<Position>> {
        let index = self.inner.shared.index.read();
        Ok(Position::new(index.topic(topic)?.head()))
    }

    /// Watches a topic's head: the number of its events.
    pub fn watch(&self, topic: &str) -> Result<watch::Receiver<u64>> {
        let index = self.inner.shared.index.read();
        let topic = index.topic(topic)?;
        let mut heads = self.inner.shared.heads.lock();
        let sender = sender(&mut heads, topic.id);
        sender.send_if_modified(|head| std::mem::replace(head, topic.head()) != topic.head());
        Ok(sender.subscribe())
    }

    /// The last revision of a stream; `None` if it has no events.
    pub fn revision(&self, topic: &str, subject: &str) -> Result<Option<Revision>> {
        Ok(self
            .inner
            .shared
            .index
            .read()
            .topic(topic)?
            .last_revision(subject))
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Result<TopicInfo> {
        let index = self.inner.shared.index.read();
        let topic = index.topic(name)?;
        Ok(TopicInfo {
            name: topic.name.to_string(),
            uuid: topic.uuid,
            head: Position::new(topic.head()),
            streams: topic.streams() as u64,
            created: Instant::from_nanos(topic.created),
            reuse_ids: topic.reuse_ids,
        })
    }

    /// The topics there are, by name.
    pub fn topics(&self) -> Vec<TopicInfo> {
        let mut names: Vec<String> = self
            .inner
            .shared
            .index
            .read()
            .topic_names()
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
            .iter()
            .filter_map(|name| self.topic(name).ok())
            .collect()
    }

    /// The value of a register.
    pub fn register(&self, key: &str) -> Option<Bytes> {
        self.inner.shared.index.read().registers.get(key).cloned()
    }

    /// The registers whose keys begin with a prefix, in order of their keys.
    pub fn registers(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let index = self.inner.shared.index.read();
        index
            .registers
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Bytes that the journal takes, and the number of its files.
    pub fn size(&self) -> (u64, usize) {
        self.inner.shared.journal.size()
    }

    /// Reads the whole journal again and checks every byte, every link of its hash tree, every
    /// position and revision; see [`Verified`].
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified> {
        let mut index = Index::default();
        let mut range = MountainRange::default();
        let shared = &self.inner.shared;
        rebuild(
            &*shared.journal,
            &mut index,
            &mut range,
            shared.seed,
            progress,
        )?;
        let topics = index.topics.iter().filter(|topic| !topic.deleted);
        Ok(Verified {
            commits: index.last.0,
            frames: range.leaves(),
            events: topics.clone().map(|topic| topic.head()).sum(),
            topics: topics.count() as u64,
            root: range.root(),
        })
    }

    /// The environment that the log was opened with.
    pub fn environment(&self) -> &Environment {
        &self.inner.shared.environment
    }
}

/// What [`EventLog::verify`] found sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    pub commits: u64,
    /// Frames of all kinds: the leaves of the hash tree.
    pub frames: u64,
    /// Events of the topics that aren't deleted.
    pub events: u64,
    pub topics: u64,
    /// Root of the Merkle mountain range over all frames.
    pub root: [u8; 32],
}

/// Reads a whole journal into an index and its hash tree, checking each group's root on the way.
fn rebuild(
    journal: &dyn JournalReader,
    index: &mut Index,
    range: &mut MountainRange,
    seed: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let mut visit = |meta: &GroupMeta, place: crate::journal::Place, body: &[u8]| -> Result<()> {
        let here = |error: Error, at: usize| {
            error.context(format_args!(
                "{}, commits {} to {}",
                journal.describe(place.plus(at)),
                meta.first.0,
                meta.last().0
            ))
        };
        if meta.root != range.root() {
            let error = Error::new(
                ErrorKind::Damaged,
                "the hash of everything before this group is not the one it was written with",
            );
            return Err(here(error, 0));
        }
        let (mut at, mut frames, mut commits) = (0, 0, 0);
        while at < body.len() {
            let frame = Frame::read(&body[at..]).map_err(|error| here(error, at))?;
            range.push(leaf(frame.bytes));
            index
                .apply(&frame, place.plus(at), seed)
                .map_err(|error| here(error, at))?;
            at += frame.bytes.len();
            frames += 1;
            commits += u32::from(frame.last_of_commit);
        }
        if (frames, commits) != (meta.frames, meta.commits) {
            let error = Error::new(ErrorKind::Damaged, "the group has a wrong number of frames");
            return Err(here(error, 0));
        }
        index.last = meta.last();
        index.epoch = index.epoch.max(meta.epoch);
        Ok(())
    };
    journal.walk(&mut visit, progress)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends once it has answered what it has taken.
        self.requests.lock().take();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}
