use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use foretell_types::limits::{
    APPENDS_WAITING, APPENDS_WAITING_BYTES, CACHE_BYTES, COMMIT_BYTES, LARGE_GROUP_BYTES,
    REVISION_CACHE_BYTES, SEGMENT_BYTES,
};
use foretell_types::{Error, ErrorKind, Instant, Position, Result, Revision};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::ahead::AheadThreads;
use crate::append::{Append, Appended, Encoded};
use crate::backup::{self, BackupFile};
use crate::environment::Environment;
use crate::erasure::{self, Erased, ErasedKey, KEY_STORE_REGISTER, KeyStore};
use crate::index::Index;
use crate::journal::{DiskJournal, Journal, JournalReader, Place};
use crate::merkle::{Hash, RootAt};
use crate::open;
use crate::proof::Proof;
use crate::prove;
use crate::read::{ReadOptions, Reader};
use crate::sealed::{self, Archive, Sealer, SegmentStore, Wake};
use crate::verify::{self, Verified};
use crate::writer::{self, Answered, End, Request, Seat, Ticket, Writer, request};

/// What is appended in fewer bytes the writer hashes, side by side with all else of its group and
/// while the disk is at work; more is hashed by who appends it.
const HASHED_BY_WRITER: usize = 4 * 1024;

/// The event log: topics over one journal. Clones share it; the writer stops, after what it has
/// taken, when the last one is dropped.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    requests: RwLock<Option<mpsc::Sender<Request>>>,
    seat: Arc<Seat>,
    /// `None` if the journal has no segments that could be sealed.
    sealer: Option<Arc<Sealer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What writer and readers share.
pub(crate) struct Shared {
    pub environment: Environment,
    pub index: RwLock<Index>,
    pub journal: Arc<dyn JournalReader>,
    /// `None` if the journal has no segments that could be sealed.
    pub store: Option<Arc<SegmentStore>>,
    pub wake: Wake,
    pub preparing: Wake,
    pub merging: Wake,
    pub archiving: Wake,
    pub answered: Arc<Answered>,
    pub waiting: Waiting,
    /// As in the index.
    pub seed: u64,
    /// What a commit may take as encoded, so that a group has room for it.
    pub commit_bytes: usize,
    pub largest_group: usize,
    pub ahead: Arc<AheadThreads>,
    /// How many events were read in whole stretches, not one by one.
    pub scanned: AtomicU64,
    pub keys: OnceLock<KeyStore>,
    pub key_folder: Option<PathBuf>,
    /// A key store is made, or subjects are erased, by one at a time.
    pub erasing: Mutex<()>,
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
        self.leave(1, bytes);
        Err(Error::new(
            ErrorKind::Busy,
            format!("{appends} appends with {waiting} bytes are waiting already: try again later"),
        ))
    }

    pub fn leave(&self, appends: usize, bytes: usize) {
        self.appends.fetch_sub(appends, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How far sealing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealing {
    /// Segments of the journal that hold events and are indexed in memory.
    pub unsealed_segments: u64,
    pub sealed_segments: u64,
    /// Runs of the index over what is sealed.
    pub runs: u64,
    /// Threads seal and merge, and their last try succeeded.
    pub gets_on: bool,
    /// Sealed segments that lie in the archive, and the bytes that they take there.
    pub archived_segments: u64,
    pub archived_bytes: u64,
    /// A thread archives, and its last try succeeded.
    pub archiving_gets_on: bool,
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A segment of the journal takes groups up to this size, in bytes.
    pub segment_bytes: u64,
    /// A group of so many bytes is large. To write zeros where it will go costs more than to have the
    /// file system note that they were written over; and where the writer has a thread, another one
    /// waits for the disk meanwhile.
    pub large_group_bytes: u64,
    /// Memory for pieces of sealed segments and of the index that were read lately, in bytes.
    pub cache_bytes: u64,
    /// Memory for the last revisions of streams that were written to lately, in bytes: 16 a stream,
    /// up to twice that.
    pub revision_cache_bytes: u64,
    /// Threads prepare segments and seal those that are full; otherwise only [`EventLog::seal`]
    /// does.
    pub seal_in_background: bool,
    /// A thread writes what is appended; otherwise only [`EventLog::write`] does, and who waits for
    /// a ticket before waits for ever. For simulations, in which nothing happens by chance.
    pub write_in_background: bool,
    /// Threads read ahead of long scans, at most one less than there are processors.
    pub read_ahead: bool,
    /// The folder of the keys of erasable subjects. It lies outside the log's own folder, and its
    /// backups apart from those of the log.
    pub keys: Option<PathBuf>,
    /// Where sealed segments are archived. Without it those that are can't be read.
    pub archive: Option<Archive>,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: SEGMENT_BYTES as u64,
            large_group_bytes: LARGE_GROUP_BYTES as u64,
            cache_bytes: CACHE_BYTES as u64,
            revision_cache_bytes: REVISION_CACHE_BYTES as u64,
            seal_in_background: true,
            write_in_background: true,
            read_ahead: true,
            keys: None,
            archive: None,
        }
    }
}

impl Shared {
    /// The number of the segment that a place of the journal lies in.
    pub fn segment(&self, place: Place) -> u64 {
        let store = self.store.as_ref();
        store.map_or(0, |store| store.segments.number(place))
    }

    /// Tells the followers of topics about their new heads.
    pub fn announce(&self, topics: impl Iterator<Item = u32>) {
        let index = self.index.read();
        let mut heads = self.heads.lock();
        for id in topics {
            if let Some(topic) = index.catalog.topics.get(id as usize) {
                sender(&mut heads, id).send_replace(topic.head);
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
    /// The data of its events is encrypted under keys of their subjects.
    pub erasable: bool,
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EventLog(last commit {})",
            self.inner.shared.index.read().catalog.last.0
        )
    }
}

impl EventLog {
    /// Opens a log in a folder (made if it isn't there). The caller holds the folder's lock.
    pub fn open_folder(folder: &Path, environment: &Environment) -> Result<EventLog> {
        EventLog::open_folder_with(folder, environment, &LogOptions::default())
    }

    pub fn open_folder_with(
        folder: &Path,
        environment: &Environment,
        options: &LogOptions,
    ) -> Result<EventLog> {
        let journal = DiskJournal::open_with(folder, environment, options)?;
        EventLog::open_with(Box::new(journal), environment, options, &mut |_, _| {})
    }

    /// Opens a log over a journal, see [`EventLog::open_with`].
    pub fn open(
        journal: Box<dyn Journal>,
        environment: &Environment,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<EventLog> {
        EventLog::open_with(journal, environment, &LogOptions::default(), progress)
    }

    /// Opens a log over a journal: reads what of it isn't sealed, checking every byte, and builds
    /// the index of it. `progress` is told the bytes read and the bytes there are.
    pub fn open_with(
        journal: Box<dyn Journal>,
        environment: &Environment,
        options: &LogOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<EventLog> {
        let store = journal.segment_store();
        let opened = open::open(store.as_deref(), environment, options)?;
        let open::Opened {
            mut index,
            mut range,
            manifest,
        } = opened;
        let reader = journal.reader();
        let segment = |place| {
            store
                .as_ref()
                .map_or(0, |store| store.segments.number(place))
        };
        open::rebuild(&*reader, &mut index, &mut range, &segment, progress)?;
        let epoch = index.catalog.epoch + 1;
        let largest_group = journal.capabilities().largest_group;
        let topics = index.catalog.topics.iter();
        let heads = topics.map(|topic| watch::Sender::new(topic.head)).collect();
        let shared = Arc::new(Shared {
            environment: environment.clone(),
            seed: index.seed,
            commit_bytes: COMMIT_BYTES.min(largest_group - writer::soft_bytes(largest_group)),
            largest_group,
            ahead: AheadThreads::new(options.read_ahead),
            scanned: AtomicU64::new(0),
            keys: OnceLock::new(),
            key_folder: options.keys.clone(),
            erasing: Mutex::new(()),
            index: RwLock::new(index),
            journal: reader,
            store: store.clone(),
            wake: Wake::default(),
            preparing: Wake::default(),
            merging: Wake::default(),
            archiving: Wake::default(),
            answered: Arc::default(),
            waiting: Waiting::default(),
            heads: Mutex::new(heads),
        });
        let (requests, receiver) = mpsc::channel();
        let writer = Writer::new(shared.clone(), journal, range, epoch);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)
                .map_err(|error| Error::io(format_args!("can't start the thread {name}"), error))
        };
        let sealer = store.map(|store| Arc::new(Sealer::new(store, shared.clone(), manifest)));
        let end = End(shared.answered.clone());
        let seat = Arc::new(Seat::new(writer, receiver, end));
        // Whatever fails from here on, dropping it ends the threads that were started.
        let inner = Inner {
            shared: shared.clone(),
            requests: RwLock::new(Some(requests)),
            seat: seat.clone(),
            sealer: sealer.clone(),
            threads: Mutex::default(),
        };
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            spawn(name, work).map(|thread| inner.threads.lock().push(thread))
        };
        if options.write_in_background {
            start("foretell-log", Box::new(move || seat.run()))?;
        }
        if let Some(sealer) = sealer.filter(|_| options.seal_in_background) {
            shared.wake.work();
            shared.merging.work();
            let mine = (sealer.clone(), shared.clone());
            let prepare = move || sealed::prepare(&mine.0, &mine.1);
            start("foretell-prepare", Box::new(prepare))?;
            let mine = (sealer.clone(), shared.clone());
            let seal = move || sealed::seal(&mine.0, &mine.1);
            start("foretell-seal", Box::new(seal))?;
            let mine = (sealer.clone(), shared.clone());
            let merge = move || sealed::merge(&mine.0, &mine.1);
            start("foretell-merge", Box::new(merge))?;
            if options.archive.as_ref().is_some_and(|a| a.rule.is_some()) {
                shared.archiving.work();
                let shared = shared.clone();
                let archive = move || sealed::archive(&sealer, &shared);
                start("foretell-archive", Box::new(archive))?;
            }
        }
        shared.open_keys()?;
        Ok(EventLog {
            inner: Arc::new(inner),
        })
    }

    /// Writes one group of what waits; false if nothing does, or if a thread writes.
    pub fn write(&self) -> bool {
        self.inner.seat.step()
    }

    /// Does one piece of the work in the background: seals the oldest full segment, merges runs of
    /// the index, archives a sealed segment, or prepares the next one. False if there is none. For
    /// tests and tools; the log does it by itself.
    pub fn seal(&self) -> Result<bool> {
        match &self.inner.sealer {
            Some(sealer) => sealer.step(),
            None => Ok(false),
        }
    }

    /// Hands an append to the writer. The ticket is resolved once it is durable, or has failed.
    pub fn append(&self, append: Append) -> Result<Ticket> {
        let ticket = self.send(append, false)?;
        self.inner.seat.call();
        Ok(ticket)
    }

    /// Appends, and blocks the thread until that is durable or has failed; not for async code. With
    /// nobody else at it, this thread writes by itself, which takes less than to wait for another.
    pub fn append_and_wait(&self, append: Append) -> Result<Appended> {
        let ticket = self.send(append, self.inner.seat.is_free())?;
        self.inner.seat.call_or_write(&ticket);
        ticket.wait()
    }

    /// `writes`: this thread will most likely be the one that writes it.
    fn send(&self, append: Append, writes: bool) -> Result<Ticket> {
        let shared = &self.inner.shared;
        let append = match append.makes_erasable_topic() {
            true => append.register(
                KEY_STORE_REGISTER,
                Some(shared.make_keys()?.as_bytes().to_vec()),
            ),
            false => append,
        };
        let encoded = Encoded::new(append, shared)?;
        let bytes = encoded.bytes.len();
        if bytes > HASHED_BY_WRITER && !writes {
            encoded.digests();
        }
        shared.waiting.enter(bytes)?;
        let (request, ticket) = request(encoded, &shared.answered);
        let requests = self.inner.requests.read();
        let sent = requests.as_ref().is_some_and(|r| r.send(request).is_ok());
        if !sent {
            shared.waiting.leave(1, bytes);
            return Err(Error::unavailable("the log is closed"));
        }
        Ok(ticket)
    }

    /// Reads events of a topic; see [`ReadOptions`].
    pub fn read(&self, topic: &str, options: ReadOptions) -> Result<Reader> {
        Reader::new(self.inner.shared.clone(), topic, options)
    }

    /// Position of a topic's last event; `None` if there is none.
    pub fn head(&self, topic: &str) -> Result<Option<Position>> {
        let index = self.inner.shared.index.read();
        Ok(Position::new(index.catalog.topic(topic)?.1.head))
    }

    /// Watches a topic's head: the number of its events.
    pub fn watch(&self, topic: &str) -> Result<watch::Receiver<u64>> {
        let index = self.inner.shared.index.read();
        let (id, topic) = index.catalog.topic(topic)?;
        let mut heads = self.inner.shared.heads.lock();
        let sender = sender(&mut heads, id);
        sender.send_if_modified(|head| std::mem::replace(head, topic.head) != topic.head);
        Ok(sender.subscribe())
    }

    /// The last revision of a stream; `None` if it has no events.
    pub fn revision(&self, topic: &str, subject: &str) -> Result<Option<Revision>> {
        let index = self.inner.shared.index.read();
        let last = index.last_revision(index.catalog.id(topic)?, subject)?;
        Ok(last.map(Revision::new))
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Result<TopicInfo> {
        let index = self.inner.shared.index.read();
        let (_, topic) = index.catalog.topic(name)?;
        Ok(TopicInfo {
            name: topic.name.to_string(),
            uuid: topic.uuid,
            head: Position::new(topic.head),
            streams: topic.streams,
            created: Instant::from_nanos(topic.created),
            reuse_ids: topic.reuse_ids,
            erasable: topic.erasable,
        })
    }

    /// The topics there are, by name.
    pub fn topics(&self) -> Vec<TopicInfo> {
        let mut names: Vec<String> = self
            .inner
            .shared
            .index
            .read()
            .catalog
            .names()
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
        let index = self.inner.shared.index.read();
        index.catalog.registers.get(key).cloned()
    }

    /// The registers whose keys begin with a prefix, in order of their keys.
    pub fn registers(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let index = self.inner.shared.index.read();
        index
            .catalog
            .registers
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Bytes that the log takes here, and the number of its files; without what is archived.
    pub fn size(&self) -> (u64, usize) {
        let (mut bytes, mut files) = self.inner.shared.journal.size();
        let sealed = self.inner.shared.index.read().sealed.clone();
        let segments = sealed.segments.iter().map(|segment| &segment.file);
        let here = segments.filter(|file| file.blob().is_none());
        for file in here.chain(sealed.runs.iter().map(|run| &run.file)) {
            bytes += file.bytes;
            files += 1;
        }
        (bytes, files)
    }

    /// Reads everything again and checks every byte, every link of its hash tree, every position
    /// and revision; see [`Verified`].
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified> {
        verify::verify(&self.inner.shared, None, progress)
    }

    /// As [`EventLog::verify`], and that the log still holds what it held when this was its root.
    pub fn verify_since(
        &self,
        earlier: RootAt,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified> {
        verify::verify(&self.inner.shared, Some(earlier), progress)
    }

    /// Where the ends of the journal are kept that recovery has cut off: torn groups, which were
    /// never acknowledged, unless the disk lost some of them.
    pub fn cut_ends(&self) -> Result<Vec<PathBuf>> {
        let store = self.inner.shared.store.as_ref();
        store.map_or(Ok(Vec::new()), |store| store.segments.cut_ends())
    }

    /// How far sealing is.
    pub fn sealing(&self) -> Sealing {
        let shared = &self.inner.shared;
        let index = shared.index.read();
        let files = index.sealed.segments.iter().map(|segment| &segment.file);
        let archived = files.filter(|file| file.blob().is_some());
        Sealing {
            archived_segments: archived.clone().count() as u64,
            archived_bytes: archived.map(|file| file.bytes).sum(),
            archiving_gets_on: shared.archiving.gets_on(),
            unsealed_segments: index.recent.len() as u64,
            sealed_segments: index.sealed.segments.len() as u64,
            runs: index.sealed.runs.len() as u64,
            gets_on: shared.wake.gets_on() && shared.merging.gets_on(),
        }
    }

    /// The files that make up a backup of the log as it is now.
    pub fn backup_files(&self) -> Result<Vec<BackupFile>> {
        let shared = &self.inner.shared;
        match &shared.store {
            Some(store) => backup::files(store, &shared.index),
            None => Err(backup::not_on_disk()),
        }
    }

    /// Reads from a file of a backup; fewer bytes than asked for only at its end. Not found: it is
    /// no longer part of the log, so the files must be asked for again.
    pub fn backup_read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let shared = &self.inner.shared;
        match &shared.store {
            Some(store) => backup::read(store, &shared.index, (name, offset), buffer),
            None => Err(backup::not_on_disk()),
        }
    }

    /// The number of frames and the root of the hash tree over everything durable.
    pub fn root(&self) -> Result<(u64, Hash)> {
        prove::root(&self.inner.shared)
    }

    /// Proves that an event is in the log, by a tree over everything durable.
    pub fn prove(&self, topic: &str, position: Position) -> Result<Proof> {
        prove::prove(&self.inner.shared, (topic, position), None)
    }

    /// The same by the tree that the log had when this was its root.
    pub fn prove_by(&self, topic: &str, position: Position, earlier: RootAt) -> Result<Proof> {
        prove::prove(&self.inner.shared, (topic, position), Some(earlier))
    }

    /// Erases subjects of an erasable topic: their events stay, and so do their places in streams
    /// and proofs, but the key of their data is destroyed. `record` makes the append that says so
    /// in the log; once it is durable there is no way back, see [`EventLog::destroy_keys`].
    /// Events that are appended afterwards have new keys; until then appends of these subjects are
    /// refused as busy, so that `record` may hold no events of them.
    pub fn erase(
        &self,
        topic: &str,
        subjects: &[String],
        record: impl FnOnce(&[ErasedKey]) -> Result<Append>,
    ) -> Result<Erased> {
        erasure::erase(self, &self.inner.shared, topic, subjects, record)
    }

    /// Destroys keys that an append of [`EventLog::erase`] named, unless they are destroyed: the
    /// process may have died in between, or a backup of the keys been brought back.
    pub fn destroy_keys(&self, keys: &[ErasedKey]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let shared = &self.inner.shared;
        let _one = shared.erasing.lock();
        shared.keys()?.destroy(keys)
    }

    /// The identity of the key store; `None` if there is none.
    pub fn key_store(&self) -> Option<uuid::Uuid> {
        self.inner.shared.keys.get().map(|keys| keys.id)
    }

    /// The environment that the log was opened with.
    pub fn environment(&self) -> &Environment {
        &self.inner.shared.environment
    }

    #[cfg(test)]
    pub(crate) fn scanned(&self) -> u64 {
        self.inner.shared.scanned.load(Ordering::Relaxed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends once it has answered what it has taken. A segment that is being sealed is
        // finished, so that many short runs of the process get on too; a merge is given up, and
        // leaves nothing.
        self.requests.write().take();
        self.seat.close();
        if let Some(store) = &self.shared.store {
            store.stop.store(true, Ordering::Relaxed);
        }
        self.shared.wake.stop();
        self.shared.preparing.stop();
        self.shared.merging.stop();
        self.shared.archiving.stop();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
    }
}
