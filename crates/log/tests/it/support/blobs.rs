//! Blobs in memory, whose calls can fail.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use foretell_log::{Archive, ArchiveRule, Blobs};
use foretell_types::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    /// This call fails once, before it does anything.
    Once(u64),
    /// This call does what it is asked to, and fails: the answer was lost.
    Answer(u64),
    /// This call and all after it fail.
    From(u64),
    /// This call fails once, and what it puts is there later: see [`MemoryBlobs::land`].
    Late(u64),
}

/// What others do between two calls.
struct Meanwhile(u64, Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meanwhile({})", self.0)
    }
}

/// A blob that is put on its way: whether it must be new, its name, its content.
type Flying = (bool, String, Vec<u8>);

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    calls: u64,
    outage: Option<Outage>,
    /// What is put is stored with a flipped bit.
    lies: bool,
    late: Vec<Flying>,
    meanwhile: Option<Meanwhile>,
    /// The largest blob, if it is not any.
    largest: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(Arc<Mutex<State>>);

impl MemoryBlobs {
    /// An archive that these blobs hold.
    pub fn archive(&self, rule: ArchiveRule) -> Option<Archive> {
        Some(Archive {
            blobs: Arc::new(self.clone()),
            rule: Some(rule),
        })
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    pub fn fail(&self, outage: Option<Outage>) {
        self.0.lock().unwrap().outage = outage;
    }

    /// Before this call is carried out, others do something.
    pub fn meanwhile(&self, call: u64, work: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().meanwhile = Some(Meanwhile(call, Box::new(work)));
    }

    /// Others do nothing any more. False if they have done it.
    pub fn alone(&self) -> bool {
        self.0.lock().unwrap().meanwhile.take().is_some()
    }

    /// What was on its way arrives.
    pub fn land(&self) {
        let state = &mut *self.0.lock().unwrap();
        for (is_new, name, content) in std::mem::take(&mut state.late) {
            if !is_new || !state.blobs.contains_key(&name) {
                state.blobs.insert(name, content);
            }
        }
    }

    pub fn lie(&self, lies: bool) {
        self.0.lock().unwrap().lies = lies;
    }

    /// Such that hold so many bytes each.
    pub fn limited(largest: usize) -> MemoryBlobs {
        MemoryBlobs(Arc::new(Mutex::new(State {
            largest: Some(largest),
            ..State::default()
        })))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().blobs.keys().cloned().collect()
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap().blobs[name].clone()
    }

    /// Puts bytes there without counting a call.
    pub fn set(&self, name: &str, content: Vec<u8>) {
        self.0
            .lock()
            .unwrap()
            .blobs
            .insert(name.to_owned(), content);
    }

    /// Removes a blob without counting a call.
    pub fn lose(&self, name: &str) {
        self.0.lock().unwrap().blobs.remove(name);
    }

    /// Blobs of their own, the same for now.
    pub fn copy(&self) -> MemoryBlobs {
        let blobs = self.0.lock().unwrap().blobs.clone();
        MemoryBlobs(Arc::new(Mutex::new(State {
            blobs,
            ..State::default()
        })))
    }

    fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T> {
        self.call_with(None, work)
    }

    fn call_with<T>(&self, puts: Option<Flying>, work: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        let now = state.calls;
        if state.meanwhile.as_ref().is_some_and(|work| work.0 == now) {
            let meanwhile = state.meanwhile.take();
            drop(state);
            meanwhile.into_iter().for_each(|work| work.1());
            state = self.0.lock().unwrap();
        }
        let failed = || Err(Error::unavailable("the network is down"));
        match state.outage {
            Some(Outage::Once(at)) if at == now => failed(),
            Some(Outage::From(at)) if at <= now => failed(),
            Some(Outage::Answer(at)) if at == now => {
                work(&mut state);
                failed()
            }
            Some(Outage::Late(at)) if at == now => {
                state.late.extend(puts);
                failed()
            }
            _ => Ok(work(&mut state)),
        }
    }
}

impl Blobs for MemoryBlobs {
    fn put(&self, name: &str, mut content: Vec<u8>) -> Result<()> {
        let late = (false, name.to_owned(), content.clone());
        self.call_with(Some(late), |state| {
            if state.lies {
                let middle = content.len() / 2;
                content[middle] ^= 4;
            }
            state.blobs.insert(name.to_owned(), content);
        })
    }

    fn largest(&self) -> usize {
        self.0.lock().unwrap().largest.unwrap_or(usize::MAX)
    }

    fn put_new(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        assert!(content.len() <= self.largest(), "{name}");
        let late = (true, name.to_owned(), content.clone());
        self.call_with(Some(late), |state| {
            match state.blobs.entry(name.to_owned()) {
                Entry::Occupied(_) => false,
                Entry::Vacant(place) => {
                    place.insert(content);
                    true
                }
            }
        })
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.call(|state| {
            let content = state.blobs.get(name)?;
            let rest = content.get(offset as usize..).unwrap_or(&[]);
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Some(count)
        })
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>> {
        self.call(|state| Some(state.blobs.get(name)?.len() as u64))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let below = format!("{folder}/");
        self.call(|state| {
            let blobs = state.blobs.iter();
            let found = blobs.filter(|(name, _)| name.starts_with(&below));
            found
                .map(|(name, content)| (name.clone(), content.len() as u64))
                .collect()
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.call(|state| {
            state.blobs.remove(name);
        })
    }

    fn describe(&self, name: &str) -> String {
        format!("blob {name} in memory")
    }
}
