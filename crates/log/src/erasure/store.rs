//! The key store: one file of tree nodes, which another takes the place of whenever keys are
//! destroyed; then the older one is overwritten with zeros and removed. Byte layout:
//! docs/format.md.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_types::limits::SUBJECT_KEYS_CACHED;
use foretell_types::{Error, ErrorKind, Result};
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::ErasedKey;
use super::cipher::SubjectKey;
use super::tree::{Label, Node, label};
use crate::bugs::{self, Bug};
use crate::environment::Environment;
use crate::files::File;

const MAGIC: [u8; 8] = *b"FTkeystr";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 40;
const NODE_BYTES: usize = 45;
const TRAILER_BYTES: u64 = 32;
const SUFFIX: &str = ".keys";
/// Nodes that are read or written at once.
const NODES_AT_ONCE: usize = 1_024;

/// The keys of the erasable subjects of a log.
pub(crate) struct KeyStore {
    folder: PathBuf,
    environment: Environment,
    /// Tells it from other stores.
    pub id: uuid::Uuid,
    state: RwLock<State>,
}

struct State {
    file: KeyFile,
    /// The keys used lately; `None` for one that is destroyed.
    cache: Cache<Label, Option<Arc<SubjectKey>>>,
    /// Subjects (the label of their first key) that are being erased: the generation that new
    /// events are written under.
    closed: HashMap<Label, u32>,
    /// Of these, the subjects whose erasure isn't recorded in the log yet.
    unrecorded: HashSet<Label>,
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyStore({}, {})", self.folder.display(), self.id)
    }
}

impl KeyStore {
    /// Opens the store in a folder; `None` if there is none.
    pub fn open(folder: &Path, environment: &Environment) -> Result<Option<KeyStore>> {
        let files = &*environment.files;
        let at = |error| failed("open", folder, error);
        files.create_dir_all(folder).map_err(at)?;
        if !bugs::on(Bug::KeyFolderNotSynced) {
            // The keys in it are no more durable than its name.
            let parent = folder.parent().unwrap_or(folder);
            files.sync_dir(parent).map_err(at)?;
        }
        files.make_private(folder).map_err(at)?;
        let names = files.list(folder).map_err(at)?;
        let numbers = names.iter().rev().filter_map(|name| number_of(name));
        let (mut found, mut refused) = (None, None);
        let mut others = Vec::new();
        for number in numbers {
            if found.is_some() {
                others.push(number);
                continue;
            }
            match KeyFile::open(folder, environment, number) {
                Ok(file) => found = Some(file),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    others.push(number);
                    refused = refused.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        let Some(file) = found else {
            return refused.map_or(Ok(None), Err);
        };
        // A newer one that isn't whole was being written: nobody was told of it. An older one has
        // keys that are destroyed.
        files
            .write_again(&file.path)
            .map_err(|error| failed("write", &file.path, error))?;
        for number in others {
            destroy(folder, environment, number)?;
        }
        Ok(Some(KeyStore::of(folder, environment, file)))
    }

    /// Opens the store in a folder that no log names yet, or makes one.
    pub fn open_or_create(folder: &Path, environment: &Environment) -> Result<KeyStore> {
        match KeyStore::open(folder, environment) {
            // The process died before a log named it.
            Ok(Some(keys)) => return Ok(keys),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let names = environment.files.list(folder);
                let names = names.map_err(|error| failed("open", folder, error))?;
                // Or before it was whole.
                if !names.iter().filter_map(|name| number_of(name)).eq([1]) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        KeyStore::create(folder, environment)
    }

    /// Makes a store with a new secret.
    fn create(folder: &Path, environment: &Environment) -> Result<KeyStore> {
        let id = environment.random.uuid();
        let root = Node::root(environment.random.secret()?);
        let mut writer = Writer::create(folder, environment, 1, id)?;
        writer.put(&root)?;
        let file = writer.finish()?;
        Ok(KeyStore::of(folder, environment, file))
    }

    fn of(folder: &Path, environment: &Environment, file: KeyFile) -> KeyStore {
        KeyStore {
            folder: folder.to_owned(),
            environment: environment.clone(),
            id: file.id,
            state: RwLock::new(State {
                file,
                cache: Cache::new(SUBJECT_KEYS_CACHED),
                closed: HashMap::new(),
                unrecorded: HashSet::new(),
            }),
        }
    }

    /// The key that new events of a subject are written under.
    pub fn current(&self, topic: uuid::Uuid, subject: &str) -> Result<Arc<SubjectKey>> {
        let state = self.state.read();
        let first = label(topic, subject, 0);
        let mut generation = state.closed.get(&first).copied().unwrap_or(0);
        loop {
            if let Some(key) = state.key(topic, subject, generation)? {
                return Ok(key);
            }
            generation += 1;
        }
    }

    /// Whether an event that was encrypted under this key can go into the log now. While a subject
    /// is being erased none can: what comes before the record of it is erased.
    pub fn takes(&self, topic: uuid::Uuid, subject: &str, generation: u32) -> Result<bool> {
        let unrecorded = {
            let state = self.state.read();
            state.unrecorded.contains(&label(topic, subject, 0))
        };
        Ok(!unrecorded && self.current(topic, subject)?.generation == generation)
    }

    /// A subject's key of a generation; `None` if it is destroyed.
    pub fn key(
        &self,
        topic: uuid::Uuid,
        subject: &str,
        generation: u32,
    ) -> Result<Option<Arc<SubjectKey>>> {
        self.state.read().key(topic, subject, generation)
    }

    /// From now on new events of the subjects are written under their next keys. Gives the keys
    /// that are to be destroyed.
    pub fn close(&self, topic: uuid::Uuid, subjects: &[String]) -> Result<Vec<ErasedKey>> {
        let mut keys = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let generation = self.current(topic, subject)?.generation;
            let mut state = self.state.write();
            let next = state.closed.entry(label(topic, subject, 0)).or_insert(0);
            *next = (*next).max(generation + 1);
            state.unrecorded.insert(label(topic, subject, 0));
            keys.push(ErasedKey {
                topic,
                subject: subject.clone(),
                generation,
            });
        }
        Ok(keys)
    }

    /// The erasure is recorded: what is encrypted under the next keys comes behind that.
    pub fn recorded(&self, keys: &[ErasedKey]) {
        let mut state = self.state.write();
        for key in keys {
            let subject = label(key.topic, &key.subject, 0);
            state.unrecorded.remove(&subject);
        }
    }

    /// The subjects are not to be erased after all.
    pub fn reopen(&self, keys: &[ErasedKey]) {
        let mut state = self.state.write();
        for key in keys {
            let subject = label(key.topic, &key.subject, 0);
            state.closed.remove(&subject);
            state.unrecorded.remove(&subject);
        }
    }

    /// Destroys keys, for good, by one at a time. Once this returns, nothing in the store leads to
    /// them.
    pub fn destroy(&self, keys: &[ErasedKey]) -> Result<()> {
        let mut labels: Vec<Label> = keys
            .iter()
            .map(|key| label(key.topic, &key.subject, key.generation))
            .collect();
        labels.sort_unstable();
        labels.dedup();
        let old = self.state.read().file.clone();
        let mut there = false;
        for label in &labels {
            there |= old.find(label)?.is_some();
        }
        if there {
            let next = old.without(&labels, &self.folder, &self.environment)?;
            self.state.write().file = next;
        }
        {
            let mut state = self.state.write();
            for label in &labels {
                state.cache.insert(*label, None);
            }
            for key in keys {
                state.closed.remove(&label(key.topic, &key.subject, 0));
            }
        }
        if there {
            destroy(&self.folder, &self.environment, old.number)?;
        }
        Ok(())
    }
}

impl State {
    fn key(
        &self,
        topic: uuid::Uuid,
        subject: &str,
        generation: u32,
    ) -> Result<Option<Arc<SubjectKey>>> {
        let label = label(topic, subject, generation);
        if let Some(known) = self.cache.get(&label) {
            return Ok(known);
        }
        let node = self.file.find(&label)?;
        let key = node.map(|node| Arc::new(SubjectKey::new(generation, &node.leaf(&label))));
        self.cache.insert(label, key.clone());
        Ok(key)
    }
}

/// A file of nodes, sorted by their ways. None is below another.
#[derive(Clone)]
struct KeyFile {
    number: u64,
    id: uuid::Uuid,
    path: PathBuf,
    file: Arc<dyn File>,
    nodes: u64,
}

impl KeyFile {
    /// Opens a file and checks every byte of it.
    fn open(folder: &Path, environment: &Environment, number: u64) -> Result<KeyFile> {
        let path = folder.join(name(number));
        let opened = environment.files.open(&path);
        let file = opened.map_err(|error| failed("open", &path, error))?;
        KeyFile::read_all(path, number, file)
    }

    fn read_all(path: PathBuf, number: u64, file: Arc<dyn File>) -> Result<KeyFile> {
        let at = |error| failed("read", &path, error);
        let mut header = [0; HEADER_BYTES as usize];
        let count = file.read_at(&mut header, 0).map_err(at)?;
        let sound = count == header.len() && header[..8] == MAGIC;
        let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if sound && version > VERSION {
            let message = format!(
                "{} has a newer format than this foretell reads ({VERSION}): use a newer foretell",
                path.display()
            );
            return Err(Error::new(ErrorKind::NewerFormat, message));
        }
        let bytes = file.len().map_err(at)?;
        let of_nodes = bytes.checked_sub(HEADER_BYTES + TRAILER_BYTES);
        let whole = of_nodes.filter(|bytes| bytes % NODE_BYTES as u64 == 0);
        let (Some(of_nodes), true) = (whole, sound) else {
            return Err(damaged(&path, "it is no whole key store"));
        };
        let id: [u8; 16] = header[16..32].try_into().unwrap_or_default();
        let file = KeyFile {
            number,
            id: uuid::Uuid::from_bytes(id),
            path,
            file,
            nodes: of_nodes / NODE_BYTES as u64,
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        let mut last: Option<Node> = None;
        let mut in_order = true;
        file.walk(&mut |node, bytes| {
            hasher.update(bytes);
            let follows = |last: &Node| last.way < node.way && !last.covers(&node.way);
            in_order &= node.is_sound() && last.as_ref().is_none_or(follows);
            last = Some(node.clone());
            Ok(())
        })?;
        let mut trailer = [0; TRAILER_BYTES as usize];
        let count = file
            .file
            .read_at(&mut trailer, bytes - TRAILER_BYTES)
            .map_err(|error| failed("read", &file.path, error))?;
        let sound = count == trailer.len() && *hasher.finalize().as_bytes() == trailer;
        if !sound || !in_order {
            return Err(damaged(&file.path, "its checksum is wrong"));
        }
        Ok(file)
    }

    fn node(&self, index: u64) -> Result<Node> {
        let mut bytes = Zeroizing::new([0; NODE_BYTES]);
        self.read(&mut *bytes, index)?;
        Ok(node(&bytes))
    }

    fn read(&self, buffer: &mut [u8], index: u64) -> Result<()> {
        let offset = HEADER_BYTES + index * NODE_BYTES as u64;
        let read = self.file.read_at(buffer, offset);
        match read.map_err(|error| failed("read", &self.path, error))? {
            count if count == buffer.len() => Ok(()),
            _ => Err(damaged(&self.path, "it is cut short")),
        }
    }

    /// The node that leads to a label's leaf, if it isn't destroyed.
    fn find(&self, label: &Label) -> Result<Option<Node>> {
        let (mut low, mut high) = (0, self.nodes);
        let mut found = None;
        while low < high {
            let middle = u64::midpoint(low, high);
            let node = self.node(middle)?;
            if node.way <= *label {
                (low, found) = (middle + 1, Some(node));
            } else {
                high = middle;
            }
        }
        Ok(found.filter(|node| node.covers(label)))
    }

    fn walk(&self, visit: &mut dyn FnMut(&Node, &[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = Zeroizing::new(vec![0; NODES_AT_ONCE * NODE_BYTES]);
        let mut index = 0;
        while index < self.nodes {
            let count = (self.nodes - index).min(NODES_AT_ONCE as u64) as usize;
            let bytes = &mut buffer[..count * NODE_BYTES];
            self.read(bytes, index)?;
            for bytes in bytes.as_chunks::<NODE_BYTES>().0 {
                visit(&node(bytes), bytes)?;
            }
            index += count as u64;
        }
        Ok(())
    }

    /// Writes the next file, from which no leaf of these labels can be found. They are sorted.
    fn without(
        &self,
        labels: &[Label],
        folder: &Path,
        environment: &Environment,
    ) -> Result<KeyFile> {
        let mut writer = Writer::create(folder, environment, self.number + 1, self.id)?;
        let mut rest = labels;
        self.walk(&mut |node, _| {
            let before = rest.partition_point(|label| *label < node.way);
            let below = rest[before..].partition_point(|label| node.covers(label));
            let (below, after) = rest[before..].split_at(below);
            rest = after;
            node.without(below, &mut |node| writer.put(node))
        })?;
        writer.finish()
    }
}

/// Writes such a file.
struct Writer<'a> {
    folder: &'a Path,
    environment: &'a Environment,
    file: KeyFile,
    hasher: blake3::Hasher,
    buffer: Zeroizing<Vec<u8>>,
    written: u64,
}

impl<'a> Writer<'a> {
    fn create(
        folder: &'a Path,
        environment: &'a Environment,
        number: u64,
        id: uuid::Uuid,
    ) -> Result<Writer<'a>> {
        let path = folder.join(name(number));
        let files = &*environment.files;
        let at = |error| failed("make", &path, error);
        // A try that failed may have left it.
        if files.list(folder).map_err(at)?.contains(&name(number)) {
            destroy(folder, environment, number)?;
        }
        let file = files.create(&path).map_err(at)?;
        let mut header = [0; HEADER_BYTES as usize];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[16..32].copy_from_slice(id.as_bytes());
        let mut writer = Writer {
            folder,
            environment,
            file: KeyFile {
                number,
                id,
                path,
                file,
                nodes: 0,
            },
            hasher: blake3::Hasher::new(),
            // Never grown: what was moved would stay in memory.
            buffer: Zeroizing::new(Vec::with_capacity(NODES_AT_ONCE * NODE_BYTES)),
            written: 0,
        };
        writer.push(&header)?;
        Ok(writer)
    }

    fn put(&mut self, node: &Node) -> Result<()> {
        let mut bytes = Zeroizing::new([0; NODE_BYTES]);
        bytes[0] = node.depth;
        bytes[1..13].copy_from_slice(&node.way);
        bytes[13..].copy_from_slice(&*node.secret);
        self.file.nodes += 1;
        self.push(&*bytes)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > self.buffer.capacity() {
            self.flush()?;
        }
        self.hasher.update(bytes);
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let (file, path) = (&self.file.file, &self.file.path);
        file.write_all_at(&self.buffer, self.written)
            .map_err(|error| failed("write", path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the file durable.
    fn finish(mut self) -> Result<KeyFile> {
        let trailer = *self.hasher.finalize().as_bytes();
        self.push(&trailer)?;
        self.flush()?;
        if bugs::on(Bug::KeysNotSynced) {
            return Ok(self.file);
        }
        let sync = self.file.file.sync_data();
        let sync = sync.and_then(|()| self.environment.files.sync_dir(self.folder));
        sync.map_err(|error| failed("sync", &self.file.path, error))?;
        Ok(self.file)
    }
}

/// A key store of any nodes, its magic number and checksum put right: keys are found in it, or it
/// is refused.
pub(crate) fn decoder(nodes: &[u8], to_file: impl Fn(Vec<u8>) -> Arc<dyn File>) {
    let mut bytes = vec![0; HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(nodes);
    let trailer = blake3::hash(&bytes);
    bytes.extend_from_slice(trailer.as_bytes());
    let Ok(file) = KeyFile::read_all(PathBuf::from("keys"), 1, to_file(bytes)) else {
        return;
    };
    for label in nodes.as_chunks().0 {
        if let Ok(Some(node)) = file.find(label) {
            let leaf = node.leaf(label);
            let mut kept = Vec::new();
            let punctured = node.without(&[*label], &mut |node| {
                kept.push(node.clone());
                Ok(())
            });
            assert!(punctured.is_ok() && kept.iter().all(|node| !node.covers(label)));
            assert_eq!(
                file.find(label).ok().flatten().map(|n| n.leaf(label)),
                Some(leaf)
            );
        }
    }
}

/// Overwrites a file with zeros and removes it.
fn destroy(folder: &Path, environment: &Environment, number: u64) -> Result<()> {
    let (files, path) = (&*environment.files, folder.join(name(number)));
    let destroy = || {
        let file = files.open(&path)?;
        let (mut offset, bytes) = (0, file.len()?);
        let zeros = vec![0; NODES_AT_ONCE * NODE_BYTES];
        while offset < bytes {
            let count = (bytes - offset).min(zeros.len() as u64) as usize;
            file.write_all_at(&zeros[..count], offset)?;
            offset += count as u64;
        }
        file.sync_data()?;
        files.remove(&path)?;
        files.sync_dir(folder)
    };
    destroy().map_err(|error| failed("destroy", &path, error))
}

fn node(bytes: &[u8; NODE_BYTES]) -> Node {
    let mut way = Label::default();
    way.copy_from_slice(&bytes[1..13]);
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(&bytes[13..]);
    Node {
        depth: bytes[0],
        way,
        secret,
    }
}

fn name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

fn number_of(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(SUFFIX)?;
    (digits.len() == 10).then(|| digits.parse().ok()).flatten()
}

fn damaged(path: &Path, what: &str) -> Error {
    let message = format!("key store {}: {what}", path.display());
    Error::new(ErrorKind::Damaged, message)
}

fn failed(doing: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(
        format_args!("can't {doing} the key store {}", path.display()),
        error,
    )
}
