use foretell_types::{AppendCondition, ErrorKind, ExpectedRevision, NewEvent, Revision};

use super::{Event, Model, Topic, identity};
use crate::request::{Create, Entry, Key, Request};

/// Where an event is: position, revision, and whether it was there already.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Placed {
    pub position: u64,
    pub revision: Option<u64>,
    pub duplicate: bool,
}

pub type Answer = Result<Vec<Placed>, ErrorKind>;

impl Model {
    /// Applies an append as the log must, at a recorded time. Refused, it changes nothing.
    pub fn append(&mut self, request: &Request, recorded: i64) -> Answer {
        self.check_topics(request)?;
        let known = self.known(request)?;
        let events = request.events().count();
        let all_known = events > 0 && known.iter().flatten().count() == events;
        if !all_known {
            if request.is_conditional() && known.iter().any(Option::is_some) {
                return Err(ErrorKind::Conflict);
            }
            let holds = |(topic, subject, expected): &(String, String, ExpectedRevision)| {
                expected.holds(self.topics[topic].revision(subject).map(Revision::new))
            };
            let stands = |(topic, condition): &(String, AppendCondition)| {
                self.topics[topic].matches(condition).is_empty()
            };
            if !request.expectations.iter().all(holds) || !request.conditions.iter().all(stands) {
                return Err(ErrorKind::ConditionFailed);
            }
        }
        Ok(self.put(request, known, recorded))
    }

    /// Every topic named exists, or is made earlier in the append; none is made twice.
    fn check_topics(&self, request: &Request) -> Result<(), ErrorKind> {
        let (mut made, mut gone) = (Vec::new(), Vec::new());
        for entry in &request.entries {
            match entry {
                Entry::Event(topic, _) => {
                    let there = made.contains(&topic) || self.topics.contains_key(topic);
                    if !there || gone.contains(&topic) {
                        return Err(ErrorKind::NotFound);
                    }
                }
                Entry::Create(Create { name, .. }) => {
                    if made.contains(&name) || self.topics.contains_key(name) {
                        return Err(ErrorKind::Conflict);
                    }
                    made.push(name);
                }
                Entry::Delete(name) => {
                    if !self.topics.contains_key(name) || gone.contains(&name) {
                        return Err(ErrorKind::NotFound);
                    }
                    gone.push(name);
                }
                Entry::Register(..) => {}
            }
        }
        let named = request.conditions.iter().map(|(topic, _)| topic);
        let mut named = named.chain(request.expectations.iter().map(|(topic, ..)| topic));
        match named.all(|topic| self.topics.contains_key(topic)) {
            true => Ok(()),
            false => Err(ErrorKind::NotFound),
        }
    }

    /// For each entry: the place of an event that is there already.
    fn known(&self, request: &Request) -> Result<Vec<Option<Placed>>, ErrorKind> {
        let mut known = Vec::with_capacity(request.entries.len());
        let mut new: Vec<(&str, &NewEvent)> = Vec::new();
        for (number, entry) in request.entries.iter().enumerate() {
            let Entry::Event(name, event) = entry else {
                known.push(None);
                continue;
            };
            let key = request.key(number);
            let topic = self.topics.get(name);
            if topic.is_some_and(|topic| !self.takes(topic, event, key)) {
                return Err(ErrorKind::Busy);
            }
            let reuses = topic.map_or_else(|| makes_reusing(request, name), |t| t.reuse_ids);
            let found = topic.and_then(|topic| topic.twin(event, key));
            if found.is_some_and(|(_, same)| !same) && !reuses {
                return Err(ErrorKind::Conflict);
            }
            if let Some((placed, true)) = found {
                known.push(Some(placed));
                continue;
            }
            known.push(None);
            let differs = |(of, other): &(&str, &NewEvent)| {
                *of == name && same_identity(other, event) && content(other) != content(event)
            };
            if !reuses && new.iter().any(differs) {
                return Err(ErrorKind::Conflict);
            }
            new.push((name, event));
        }
        Ok(known)
    }

    fn put(&mut self, request: &Request, known: Vec<Option<Placed>>, recorded: i64) -> Vec<Placed> {
        let (mut answer, mut frames) = (Vec::new(), 0);
        for (number, (entry, known)) in request.entries.iter().zip(known).enumerate() {
            let key = request.key(number);
            match (entry, known) {
                (Entry::Event(..), Some(known)) => {
                    answer.push(known);
                    continue;
                }
                (Entry::Event(topic, event), None) => {
                    let Some(topic) = self.topics.get_mut(topic) else {
                        continue;
                    };
                    if let Some((twin, true)) = topic.twin(event, key) {
                        answer.push(twin);
                        continue;
                    }
                    answer.push(topic.push(Event {
                        event: event.clone(),
                        revision: None,
                        recorded,
                        key,
                        erased: false,
                    }));
                }
                (Entry::Register(key, Some(value)), _) => {
                    self.registers.insert(key.clone(), value.clone());
                }
                (Entry::Register(key, None), _) => {
                    self.registers.remove(key);
                }
                (Entry::Create(made), _) => {
                    self.made += 1;
                    let topic = Topic {
                        number: self.made,
                        uuid: made.uuid,
                        reuse_ids: made.reuse_ids,
                        erasable: made.erasable,
                        created: recorded,
                        events: Vec::new(),
                        streams: Default::default(),
                        ids: Default::default(),
                    };
                    self.topics.insert(made.name.clone(), topic);
                }
                (Entry::Delete(name), _) => {
                    self.topics.remove(name);
                }
            }
            frames += 1;
        }
        if frames > 0 {
            self.frames += frames;
            self.commits += 1;
            self.recorded = self.recorded.max(recorded);
        }
        answer
    }
}

impl Topic {
    /// The last event of the same identity, and whether its content is the same too.
    fn twin(&self, event: &NewEvent, key: Option<Key>) -> Option<(Placed, bool)> {
        let position = *self.ids.get(&identity(event))?;
        let there = &self.events[position as usize - 1];
        let placed = Placed {
            position,
            revision: there.revision,
            duplicate: true,
        };
        let same = content(&there.event) == content(event) && there.key == key;
        Some((placed, same))
    }

    pub(super) fn push(&mut self, mut new: Event) -> Placed {
        if let Some(subject) = &new.event.subject {
            let count = self.streams.entry(subject.clone()).or_insert(0);
            new.revision = Some(*count);
            *count += 1;
        }
        let (position, revision) = (self.head() + 1, new.revision);
        self.ids.insert(identity(&new.event), position);
        self.events.push(new);
        Placed {
            position,
            revision,
            duplicate: false,
        }
    }
}

fn makes_reusing(request: &Request, topic: &str) -> bool {
    let mut entries = request.entries.iter();
    entries
        .any(|entry| matches!(entry, Entry::Create(made) if made.reuse_ids && made.name == topic))
}

fn same_identity(a: &NewEvent, b: &NewEvent) -> bool {
    (&a.source, &a.id) == (&b.source, &b.id)
}

/// What of an event counts when its identity is known: not what the server filled in.
fn content(event: &NewEvent) -> NewEvent {
    let time = event.time.filter(|_| !event.time_filled);
    NewEvent {
        time,
        time_filled: false,
        ..event.clone()
    }
}
