//! What clients ask for, from a seed: mostly sensible, at times wrong.

use std::sync::Arc;

use foretell_log::ReadOptions;
use foretell_types::{
    AppendCondition, Data, ExpectedRevision, ExtensionValue, Instant, NewEvent, Position, Query,
    QueryItem, Revision, Timestamp,
};

use crate::model::{Model, Topic};
use crate::random::Seeded;
use crate::request::{Create, Entry, Request};

const TOPICS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const REGISTERS: [&str; 4] = ["checkpoint/a", "checkpoint/b", "import/c", "z"];
const START: i64 = 1_700_000_000_000_000_000;
/// So many requests, and events, are remembered to be sent again.
const REMEMBERED: usize = 40;

#[derive(Debug)]
pub struct Workload {
    random: Seeded,
    /// Ids are never used for two events by accident.
    next_id: u64,
    sent: Vec<Request>,
    /// Some topics are erasable.
    erasable: bool,
}

impl Workload {
    pub fn new(random: Seeded) -> Workload {
        Workload {
            erasable: false,
            random,
            next_id: 0,
            sent: Vec::new(),
        }
    }

    /// The same, with topics whose subjects can be erased.
    #[must_use]
    pub fn with_erasable_topics(mut self) -> Workload {
        self.erasable = true;
        self
    }

    /// The next append, given what is there.
    pub fn request(&mut self, model: &Model) -> Request {
        let request = self.make(model);
        if self.sent.len() == REMEMBERED {
            let at = self.random.below(REMEMBERED as u64) as usize;
            self.sent.swap_remove(at);
        }
        self.sent.push(request.clone());
        request
    }

    fn make(&mut self, model: &Model) -> Request {
        let random = self.random.clone();
        let mut request = Request::default();
        let few = model.topics.len() < 2;
        match random.below(100) {
            0..=7 => {
                // As a client that doesn't know what became of it.
                if let Some(again) = random.pick(&self.sent) {
                    return self.again_sent(again.clone());
                }
            }
            8..=10 => {
                let name = self.name(model, 90);
                request.entries.push(Entry::Delete(name));
            }
            11..=13 => request.entries.push(self.register()),
            n if few || n <= 17 => {
                let name = self.name(model, 10);
                let erasable = self.erasable && random.chance(40);
                request.entries.push(Entry::Create(Create {
                    name: name.clone(),
                    uuid: uuid::Uuid::from_u128(u128::from(random.number())),
                    reuse_ids: !erasable && random.chance(25),
                    erasable,
                }));
                if random.chance(40) {
                    self.events(&mut request, &name, model);
                }
            }
            _ => {}
        }
        if request.entries.is_empty() || random.chance(5) {
            let name = self.name(model, 97);
            self.events(&mut request, &name, model);
            if random.chance(15) {
                let other = self.name(model, 97);
                self.events(&mut request, &other, model);
            }
            if random.chance(30) {
                let register = self.register();
                let at = random.below(request.entries.len() as u64 + 1) as usize;
                request.entries.insert(at, register);
            }
        }
        self.add_conditions(&mut request, model);
        request
    }

    /// An erasable topic is never made twice: its keys are those of its identity.
    fn again_sent(&self, mut request: Request) -> Request {
        for entry in &mut request.entries {
            if let Entry::Create(made) = entry
                && made.erasable
            {
                made.uuid = uuid::Uuid::from_u128(u128::from(self.random.number()));
            }
        }
        request
    }

    /// The name of a topic: mostly one that is there, by so many percent.
    fn name(&self, model: &Model, there: u64) -> String {
        let found: Vec<&String> = model.topics.keys().collect();
        match self.random.pick(&found) {
            Some(name) if self.random.chance(there) => (*name).clone(),
            _ => TOPICS[self.random.below(TOPICS.len() as u64) as usize].to_owned(),
        }
    }

    fn register(&self) -> Entry {
        let key = REGISTERS[self.random.below(REGISTERS.len() as u64) as usize];
        let bytes = self.random.below(40);
        let value: Vec<u8> = (0..bytes).map(|_| self.random.number() as u8).collect();
        Entry::Register(key.to_owned(), (!self.random.chance(25)).then_some(value))
    }

    fn events(&mut self, request: &mut Request, topic: &str, model: &Model) {
        let random = self.random.clone();
        for _ in 0..1 + random.below(4) * random.below(2) {
            let event = match random.below(20) {
                0 => self.again(model.topics.get(topic), &request.entries),
                _ => None,
            };
            let event = event.unwrap_or_else(|| self.event());
            request
                .entries
                .push(Entry::Event(topic.to_owned(), Arc::new(event)));
        }
    }

    /// An event that is there already, as it was or with other content.
    fn again(&self, topic: Option<&Topic>, before: &[Entry]) -> Option<NewEvent> {
        let within = before.iter().rev().find_map(|entry| match entry {
            Entry::Event(_, event) => Some(event),
            _ => None,
        });
        let there = topic.and_then(|topic| self.random.pick(&topic.events));
        let known = match self.random.chance(30) {
            true => within.or(there.map(|known| &known.event)),
            false => there.map(|known| &known.event),
        };
        let mut event = NewEvent::clone(known?);
        if self.random.chance(20) {
            event.data = Data::json(self.random.below(9).to_string());
        }
        Some(event)
    }

    pub fn event(&mut self) -> NewEvent {
        let random = self.random.clone();
        self.next_id += 1;
        let length = match random.below(60) {
            0 => 3_000 + random.below(4_000),
            1..=4 => 400 + random.below(900),
            _ => random.below(60),
        };
        let text: String = (0..length)
            .map(|_| char::from(b'a' + random.below(26) as u8))
            .collect();
        let time = match random.below(10) {
            0 => None,
            _ => Some(Timestamp::from_instant(Instant::from_nanos(
                START
                    + random.below(400) as i64 * 1_000_000_000
                    + random.below(3) as i64 * 500_000_000,
            ))),
        };
        let mut event = NewEvent {
            id: self.next_id.to_string(),
            source: format!("/{}", random.below(2)),
            event_type: format!("type{}", random.below(4)),
            subject: subject(&random),
            time_filled: time.is_some() && random.chance(5),
            time,
            data: match random.below(8) {
                0 => Data::None,
                1 => Data::Binary(text.into_bytes()),
                _ => Data::json(format!("{{\"text\":\"{text}\"}}")),
            },
            ..NewEvent::default()
        };
        if random.chance(60) {
            let tags = format!("all a{} b{}", random.below(3), random.below(40));
            event.set_extension("tags", ExtensionValue::String(tags));
        }
        event
    }

    fn add_conditions(&self, request: &mut Request, model: &Model) {
        let random = &self.random;
        if random.chance(20) {
            let (name, subject) = match request.events().last() {
                Some((topic, event)) if random.chance(80) => {
                    (topic.to_owned(), event.subject.clone())
                }
                _ => (self.name(model, 97), None),
            };
            let Some(subject) = subject.or_else(|| self::subject(random)) else {
                return;
            };
            let topic = model.topics.get(&name);
            let last = topic.and_then(|topic| topic.revision(&subject));
            let expected = match (random.below(10), last) {
                (0, _) => ExpectedRevision::Any,
                (1, _) => ExpectedRevision::Exact(Revision::new(random.below(20))),
                (2, _) | (_, None) => ExpectedRevision::None,
                (_, Some(last)) => ExpectedRevision::Exact(Revision::new(last)),
            };
            request.expectations.push((name, subject, expected));
        }
        if random.chance(20) {
            let written = request.events().last().map(|(topic, _)| topic.to_owned());
            let name = written.filter(|_| random.chance(80));
            let name = name.unwrap_or_else(|| self.name(model, 97));
            let head = model.topics.get(&name).map_or(0, Topic::head);
            let after = match random.below(10) {
                0..=5 => head,
                6 => random.below(head + 3),
                _ => head.saturating_sub(random.below(12)),
            };
            let condition = AppendCondition {
                fail_if_events_match: query(random),
                after: Position::new(after),
            };
            request.conditions.push((name, condition));
        }
    }
}

pub fn subject(random: &Seeded) -> Option<String> {
    match random.below(10) {
        0 => None,
        1..=3 => Some(format!("order/{}", random.below(50))),
        _ => Some(format!("cart/{}", random.below(5))),
    }
}

pub fn query(random: &Seeded) -> Query {
    let count = [0, 1, 1, 1, 1, 2, 2, 3][random.below(8) as usize];
    let items = (0..count).map(|_| item(random)).collect();
    Query { items }
}

fn item(random: &Seeded) -> QueryItem {
    let mut item = QueryItem::default();
    if random.chance(35) {
        let types = 1 + random.below(2);
        item.types = (0..types)
            .map(|_| format!("type{}", random.below(5)))
            .collect();
    }
    if random.chance(40) {
        let subjects = 1 + random.below(3) * random.below(2);
        item.subjects = (0..subjects).filter_map(|_| subject(random)).collect();
    }
    if random.chance(15) {
        let prefixes = ["order/", "cart/", "order/1", "cart/3", "none"];
        item.subject_prefix = random.pick(&prefixes).map(|prefix| (*prefix).to_owned());
    }
    if random.chance(35) {
        item.tags.push(match random.below(3) {
            0 => "all".to_owned(),
            1 => format!("a{}", random.below(4)),
            _ => format!("b{}", random.below(40)),
        });
        if random.chance(30) {
            item.tags.push(format!("a{}", random.below(3)));
        }
    }
    item
}

/// How to read a topic with this head.
pub fn read_options(random: &Seeded, head: u64) -> ReadOptions {
    let bound = || Position::new(random.below(head + 4));
    let time = || Instant::from_nanos(START + random.below(440) as i64 * 1_000_000_000);
    ReadOptions {
        from: random.chance(40).then(bound).flatten(),
        until: random.chance(40).then(bound).flatten(),
        backward: random.chance(50),
        limit: random.chance(30).then(|| random.below(12)),
        query: query(random),
        time_from: random.chance(15).then(time),
        time_until: random.chance(15).then(time),
    }
}
