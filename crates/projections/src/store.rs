use std::path::Path;

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch as Batch, PersistMode, Readable,
    Slice, Snapshot,
};
use foretell_state::{Definition, KeyState, Row, Stamp, decode_rows};
use foretell_types::limits::PROJECTION_READ_BYTES;
use foretell_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, unread, unwritten};
use crate::known::{Known, Span};

const META: &str = "meta";

/// How far a projection has folded, in one write with the states.
#[derive(Clone, Default, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) topics: Vec<TopicMeta>,
    /// Events that were read.
    pub(crate) events: u64,
    /// Events that touched no key since theirs was too large.
    pub(crate) too_large: u64,
    /// It has been up to date once.
    pub(crate) complete: bool,
}

#[derive(Clone, Default, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopicMeta {
    /// A topic that was deleted and made anew is another.
    pub(crate) uuid: [u8; 16],
    pub(crate) position: u64,
    /// The largest event time.
    pub(crate) frontier: Option<i64>,
    /// The last event was imported: time stands still at the frontier.
    pub(crate) imported: bool,
}

/// Where a projection keeps states, histories and snapshots. All of it can be dropped.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    states: Keyspace,
    spans: Keyspace,
    rows: Keyspace,
    /// What a snapshot has seen, and its last event.
    snapshots: Keyspace,
    /// Its state, apart: many are looked at before one is taken.
    saved: Keyspace,
    meta: Keyspace,
}

/// A key and what it is to have.
pub(crate) struct Put(Kind, Slice, Slice);

enum Kind {
    State,
    Span,
    Rows,
}

/// A store as it was at one time.
pub(crate) struct View {
    snapshot: Snapshot,
    store: Store,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Store> {
        let here = |error| stored(error).context(folder.display());
        let database = Database::builder(folder)
            .cache_size(PROJECTION_READ_BYTES as u64)
            .worker_threads(1)
            .manual_journal_persist(true)
            .open()
            .map_err(here)?;
        let keyspace = |name: &str| {
            database
                .keyspace(name, || {
                    KeyspaceCreateOptions::default().manual_journal_persist(true)
                })
                .map_err(here)
        };
        Ok(Store {
            states: keyspace("states")?,
            spans: keyspace("spans")?,
            rows: keyspace("rows")?,
            snapshots: keyspace("snapshots")?,
            saved: keyspace("saved")?,
            meta: keyspace("meta")?,
            database,
        })
    }

    pub(crate) fn view(&self) -> View {
        View {
            snapshot: self.database.snapshot(),
            store: self.clone(),
        }
    }

    pub(crate) fn meta(&self) -> Result<Option<Meta>> {
        let bytes = self.meta.get(META).map_err(stored)?;
        bytes
            .map(|bytes| postcard::from_bytes(&bytes).map_err(unread))
            .transpose()
    }

    pub(crate) fn batch(&self) -> Batch {
        self.database.batch()
    }

    pub(crate) fn put(&self, batch: &mut Batch, puts: Vec<Put>) {
        for Put(kind, key, value) in puts {
            let keyspace = match kind {
                Kind::State => &self.states,
                Kind::Span => &self.spans,
                Kind::Rows => &self.rows,
            };
            batch.insert(keyspace, key, value);
        }
    }

    pub(crate) fn put_snapshot(
        &self,
        batch: &mut Batch,
        key: &str,
        seen: &Span,
        state: &KeyState,
    ) -> Result<()> {
        let at = numbered(&numbered(&prefix(key), seen.rows), state.events());
        let about = (seen, state.last());
        let about = postcard::to_extend(&about, Vec::new()).map_err(unwritten)?;
        batch.insert(&self.snapshots, at.clone(), about);
        batch.insert(&self.saved, at, state.encode(Vec::new())?);
        Ok(())
    }

    /// Writes a batch with how far it goes.
    pub(crate) fn commit(&self, mut batch: Batch, meta: &Meta) -> Result<()> {
        batch.insert(
            &self.meta,
            META,
            postcard::to_extend(meta, Vec::new()).map_err(unwritten)?,
        );
        batch.commit().map_err(stored)
    }

    pub(crate) fn persist(&self) -> Result<()> {
        self.database.persist(PersistMode::Buffer).map_err(stored)
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    pub(crate) fn entry(&self, definition: &Definition, key: &str) -> Result<Option<Entry>> {
        let bytes = self.states.get(prefix(key)).map_err(stored)?;
        bytes
            .map(|bytes| Entry::decode(definition, &bytes))
            .transpose()
    }
}

impl View {
    /// Calls for every key and what is kept of it, in the order of the keys, until it says stop.
    pub(crate) fn each(
        &self,
        definition: &Definition,
        visit: &mut dyn FnMut(String, Entry) -> Result<bool>,
    ) -> Result<()> {
        for guard in self.snapshot.iter(&self.store.states) {
            let (key, bytes) = guard.into_inner().map_err(stored)?;
            if !visit(unprefix(&key)?, Entry::decode(definition, &bytes)?)? {
                break;
            }
        }
        Ok(())
    }

    /// The latest snapshot of a key that serves: it is not after `until`, all that it has seen is
    /// known, and nothing known that it hasn't seen belongs before it.
    pub(crate) fn snapshot_for(
        &self,
        definition: &Definition,
        key: &str,
        until: Stamp,
        known: &Known,
        is_untouched: &dyn Fn(u64, Stamp) -> bool,
    ) -> Result<Option<KeyState>> {
        for guard in self
            .snapshot
            .prefix(&self.store.snapshots, prefix(key))
            .rev()
        {
            let (at, bytes) = guard.into_inner().map_err(stored)?;
            let (seen, last): (Span, Option<Stamp>) =
                postcard::from_bytes(&bytes).map_err(unread)?;
            let serves = last.is_some_and(|last| last <= until && is_untouched(seen.rows, last));
            if serves && known.covers_all(&seen) {
                let saved = self.snapshot.get(&self.store.saved, at).map_err(stored)?;
                let (state, _) = KeyState::decode(definition, &saved.ok_or_else(misnamed)?)?;
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// The stored blocks of a key: the number of the first row, and what they span.
    pub(crate) fn spans(&self, key: &str) -> Result<Vec<(u64, Span)>> {
        let prefix = prefix(key);
        let mut spans = Vec::new();
        for guard in self.snapshot.prefix(&self.store.spans, &prefix) {
            let (at, bytes) = guard.into_inner().map_err(stored)?;
            let number = at
                .get(prefix.len()..)
                .and_then(|bytes| bytes.try_into().ok());
            let first = u64::from_be_bytes(number.ok_or_else(misnamed)?);
            spans.push((first, postcard::from_bytes(&bytes).map_err(unread)?));
        }
        Ok(spans)
    }

    pub(crate) fn rows(&self, key: &str, first: u64, rows: &mut Vec<Row>) -> Result<()> {
        let at = numbered(&prefix(key), first);
        let bytes = self.snapshot.get(&self.store.rows, at).map_err(stored)?;
        decode_rows(&bytes.ok_or_else(misnamed)?, rows)
    }
}

/// What is to be put for a key.
pub(crate) fn put_entry(puts: &mut Vec<Put>, key: &str, entry: &Entry) -> Result<()> {
    let prefix = prefix(key);
    for (first, span, rows) in &entry.blocks {
        let at = Slice::from(numbered(&prefix, *first));
        let span = postcard::to_extend(span, Vec::new()).map_err(unwritten)?;
        puts.push(Put(Kind::Span, at.clone(), span.into()));
        puts.push(Put(Kind::Rows, at, rows.as_slice().into()));
    }
    puts.push(Put(Kind::State, prefix.into(), entry.encode()?.into()));
    Ok(())
}

/// A key with an end that no other key goes on from.
fn prefix(key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 2);
    for byte in key.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
    out
}

fn unprefix(bytes: &[u8]) -> Result<String> {
    let mut key = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte == 0 && rest.next() != Some(&0xff) {
            break;
        }
        key.push(*byte);
    }
    String::from_utf8(key).map_err(|_| misnamed())
}

fn numbered(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
}

fn misnamed() -> Error {
    Error::new(
        ErrorKind::Damaged,
        "what a projection keeps is not complete: rebuild it with `foretell projection rebuild`",
    )
}

pub(crate) fn stored(error: fjall::Error) -> Error {
    Error::new(ErrorKind::Io, format!("what a projection keeps: {error}"))
}
