use foretell_log::EventRef;
use foretell_state::{Definition, Keys, Scalar, Stamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::event::LogEvent;

/// A turn is over once it has so many events, or so many bytes of their texts.
const EVENTS: usize = 1_024;
const BYTES: usize = 4 * 1024 * 1024;

/// Events on their way from the log into states, folded before a question is let in: what is kept
/// of each, in memory of its own, so that many can be looked at before the first is folded.
#[derive(Default, Debug)]
pub(crate) struct Turn {
    texts: String,
    /// For each event, those of the inputs that are kept.
    values: Vec<Held>,
    pub(crate) events: Vec<Taken>,
    pub(crate) touches: Vec<Touch>,
    /// Memory for the inputs of an event; empty.
    inputs: Vec<Scalar<'static>>,
}

/// An event, but for its inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) stamp: Stamp,
    pub(crate) known: i64,
    /// It said itself when it became known.
    pub(crate) imported: bool,
    /// It touches no key since its key is too large.
    pub(crate) too_large: bool,
}

/// An event touches a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    /// Its number in the turn.
    pub(crate) event: usize,
    pub(crate) hash: u64,
    key: Span,
}

/// A place in the texts.
#[derive(Clone, Copy, Debug)]
struct Span(usize, usize);

/// A scalar whose text lies elsewhere.
#[derive(Clone, Copy, Debug)]
enum Held {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Time(i64),
    Text(Span),
    Json(Span),
}

/// By what keys are spread over shards.
pub(crate) fn hash_of(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

/// In which of so many shards the key with a hash is.
pub(crate) fn shard_of(hash: u64, shards: usize) -> usize {
    hash as usize % shards
}

/// The memory of a list for one of values that live as long as they like: collecting happens in
/// place.
fn emptied<'b>(mut list: Vec<Scalar<'_>>) -> Vec<Scalar<'b>> {
    list.clear();
    list.into_iter().map_while(|_| None).collect()
}

impl Turn {
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.values.clear();
        self.events.clear();
        self.touches.clear();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS || self.texts.len() >= BYTES
    }

    /// Takes in the next event of a topic.
    pub(crate) fn take(
        &mut self,
        definition: &Definition,
        kept: &[usize],
        topic: usize,
        event: &EventRef<'_>,
    ) {
        let declared = event.declared_known_time();
        let source = LogEvent(*event);
        let mut inputs = emptied(std::mem::take(&mut self.inputs));
        definition.extractor.read(&source, &mut inputs);
        let number = self.events.len();
        let mut too_large = false;
        match definition.keys(&inputs) {
            Keys::None => {}
            Keys::One(key) => self.touch(number, &key),
            Keys::Many(keys) => keys.iter().for_each(|key| self.touch(number, key)),
            Keys::TooLarge => too_large = true,
        }
        for index in kept {
            let value = self.hold(&inputs[*index]);
            self.values.push(value);
        }
        self.events.push(Taken {
            stamp: Stamp {
                time: event.event_time().as_nanos(),
                topic: topic as u32,
                position: event.position.get(),
            },
            known: declared.unwrap_or_else(|| event.recorded_time()).as_nanos(),
            imported: declared.is_some(),
            too_large,
        });
        self.inputs = emptied(inputs);
    }

    fn touch(&mut self, event: usize, key: &str) {
        let hash = hash_of(key);
        let key = self.text(key);
        self.touches.push(Touch { event, hash, key });
    }

    fn text(&mut self, text: &str) -> Span {
        let from = self.texts.len();
        self.texts.push_str(text);
        Span(from, self.texts.len())
    }

    fn hold(&mut self, value: &Scalar<'_>) -> Held {
        match value {
            Scalar::Null => Held::Null,
            Scalar::Bool(value) => Held::Bool(*value),
            Scalar::Int(value) => Held::Int(*value),
            Scalar::Float(value) => Held::Float(*value),
            Scalar::Time(nanos) => Held::Time(*nanos),
            Scalar::Text(text) => Held::Text(self.text(text)),
            Scalar::Json(text) => Held::Json(self.text(text)),
        }
    }

    pub(crate) fn key(&self, touch: &Touch) -> &str {
        self.at(touch.key)
    }

    /// Of an event, those of the inputs that are kept, which are so many.
    pub(crate) fn values(&self, event: usize, kept: usize) -> impl Iterator<Item = Scalar<'_>> {
        let values = &self.values[event * kept..(event + 1) * kept];
        values.iter().map(|value| match *value {
            Held::Null => Scalar::Null,
            Held::Bool(value) => Scalar::Bool(value),
            Held::Int(value) => Scalar::Int(value),
            Held::Float(value) => Scalar::Float(value),
            Held::Time(nanos) => Scalar::Time(nanos),
            Held::Text(span) => Scalar::text(self.at(span)),
            Held::Json(span) => Scalar::Json(self.at(span).into()),
        })
    }

    fn at(&self, Span(from, to): Span) -> &str {
        self.texts.get(from..to).unwrap_or("")
    }
}
