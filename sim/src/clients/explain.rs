//! Explains a history by one order of all appends.
//!
//! The positions of a topic give that order, so there is nothing to search for. What is left to
//! check is that the order keeps real time, and that every answer was right at a point of it
//! between question and answer. For a topic, those points are the heads from `known` (what anyone
//! had been told of before the question) to `possible` (what had been asked for before the
//! answer).

use std::collections::{BTreeMap, HashMap};

use foretell_types::{ErrorKind, RecordedEvent, Revision};

use super::history::{History, Kind, Op, Outcome};
use crate::failure::{Failure, same};
use crate::model::{Placed, Topic};
use crate::request::Request;

struct Explained<'a> {
    history: &'a History,
    topics: BTreeMap<&'a str, Topic>,
    /// The position of each event, by topic, source and id.
    places: HashMap<(&'a str, &'a str, &'a str), u64>,
    /// By topic: when a position was first known to somebody, and when it was first asked for.
    told: BTreeMap<&'a str, Vec<(u64, u64)>>,
    asked: BTreeMap<&'a str, Vec<(u64, u64)>>,
}

pub fn history(history: &History) -> Result<(), Failure> {
    let mut explained = Explained {
        history,
        topics: BTreeMap::new(),
        places: HashMap::new(),
        told: BTreeMap::new(),
        asked: BTreeMap::new(),
    };
    explained.take_end()?;
    for op in &history.ops {
        explained.take_op(op);
    }
    explained.all_were_asked_for()?;
    for op in &history.ops {
        let here = |failure: Failure| {
            let message = format!("{} (of {op:?})", failure.message);
            Failure::new(failure.check, message)
        };
        explained.op(op).map_err(here)?;
    }
    explained.registers()
}

impl<'a> Explained<'a> {
    fn take_end(&mut self) -> Result<(), Failure> {
        for (name, events) in &self.history.end.topics {
            let topic = Topic::replayed(events);
            for (event, there) in events.iter().zip(&topic.events) {
                let revision = event.revision.map(Revision::get);
                let what = || format!("position {} of {name}", event.position);
                same("revisions", what, &revision, &there.revision)?;
                let identity = (&**name, &*event.event.source, &*event.event.id);
                if self.places.insert(identity, event.position.get()).is_some() {
                    return Err(Failure::new(
                        "events once",
                        format!("{identity:?} is there twice"),
                    ));
                }
            }
            self.topics.insert(name, topic);
        }
        Ok(())
    }

    fn place(&self, topic: &str, event: &foretell_types::NewEvent) -> Option<u64> {
        self.places
            .get(&(topic, &*event.source, &*event.id))
            .copied()
    }

    fn take_op(&mut self, op: &'a Op) {
        match (&op.kind, &op.outcome) {
            (Kind::Append(request), outcome) => {
                for (topic, event) in request.events() {
                    if let Some(place) = self.place(topic, event).filter(|_| !op.refused()) {
                        let asked = self.asked.entry(topic).or_default();
                        asked.push((op.invoked, place));
                        if let Outcome::Appended(_) = outcome {
                            self.told
                                .entry(topic)
                                .or_default()
                                .push((op.returned, place));
                        }
                    }
                }
            }
            (Kind::Read(topic, _), Outcome::Events(events)) => {
                let told = self.told.entry(topic).or_default();
                told.extend(events.iter().map(|e| (op.returned, e.position.get())));
            }
            _ => {}
        }
    }

    /// Every event was sent by somebody whose append wasn't refused.
    fn all_were_asked_for(&self) -> Result<(), Failure> {
        for (name, topic) in &self.topics {
            let asked = self.asked.get(name).map_or(&[][..], |asked| asked);
            for position in 1..=topic.head() {
                if !asked.iter().any(|(_, place)| *place == position) {
                    let message = format!("nobody appended position {position} of {name}");
                    return Err(Failure::new("events come from appends", message));
                }
            }
        }
        Ok(())
    }

    /// The heads of a topic that may have been the durable one while an operation ran.
    fn heads(&self, topic: &str, op: &Op) -> std::ops::RangeInclusive<u64> {
        let most = |times: Option<&Vec<(u64, u64)>>, counts: &dyn Fn(u64) -> bool| {
            let all = times.into_iter().flatten();
            let counted = all.filter(|(time, _)| counts(*time));
            counted.map(|(_, place)| *place).max().unwrap_or(0)
        };
        let known = most(self.told.get(topic), &|time| time < op.invoked);
        known..=most(self.asked.get(topic), &|time| time <= op.returned).max(known)
    }

    fn op(&self, op: &Op) -> Result<(), Failure> {
        match (&op.kind, &op.outcome) {
            (Kind::Append(request), Outcome::Appended(placed)) => {
                self.appended(op, request, placed)
            }
            (Kind::Append(request), Outcome::Refused(kind)) => self.refused(op, request, *kind),
            (Kind::Read(topic, options), Outcome::Events(events)) => {
                let positions: Vec<u64> = events.iter().map(|e| e.position.get()).collect();
                let there = &self.topics[&**topic];
                let mut heads = self.heads(topic, op);
                if !heads.any(|head| there.read(options, head) == positions) {
                    return Err(Failure::new("reads", format!("{positions:?} at no point")));
                }
                let end = &self.history.end.topics[topic];
                let same_events = |e: &&RecordedEvent| end[e.position.get() as usize - 1] == **e;
                match events.iter().all(|e| same_events(&e)) {
                    true => Ok(()),
                    false => Err(Failure::new("reads", "an event changed later")),
                }
            }
            (Kind::Revision(topic, subject), Outcome::Revision(found)) => {
                let there = &self.topics[&**topic];
                let mut heads = self.heads(topic, op);
                match heads.any(|head| there.revision_at(subject, head) == *found) {
                    true => Ok(()),
                    false => Err(Failure::new("revisions", "right at no point")),
                }
            }
            _ => Ok(()),
        }
    }

    fn appended(&self, op: &Op, request: &Request, placed: &[Placed]) -> Result<(), Failure> {
        same(
            "answers",
            || "events".into(),
            &placed.len(),
            &request.events().count(),
        )?;
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        for ((topic, event), placed) in request.events().zip(placed) {
            let place = self.place(topic, event);
            same(
                "acknowledged is there",
                || topic.into(),
                &place,
                &Some(placed.position),
            )?;
            let there = &self.topics[topic].events[placed.position as usize - 1];
            same(
                "acknowledged is there",
                || topic.into(),
                &*there.event,
                event,
            )?;
            same(
                "revisions",
                || topic.into(),
                &placed.revision,
                &there.revision,
            )?;
            if placed.duplicate {
                continue;
            }
            let known = *self.heads(topic, op).start();
            if placed.position <= known {
                let message = format!("{} of {topic} though {known} was known", placed.position);
                return Err(Failure::new("real time", message));
            }
            let follows = last.insert(topic, placed.position);
            if follows.is_some_and(|last| last + 1 != placed.position) {
                return Err(Failure::new("commits are whole", "its events lie apart"));
            }
            first.entry(topic).or_insert(placed.position);
        }
        if placed.iter().all(|placed| placed.duplicate) {
            return Ok(());
        }
        // Just before its own events, or at some point if it has none there, all conditions held.
        let heads = |topic: &str| match first.get(topic) {
            Some(first) => first - 1..=first - 1,
            None => self.heads(topic, op),
        };
        match self.conditions(request, true, &heads) {
            true => Ok(()),
            false => Err(Failure::new(
                "conditions",
                "accepted though it did not hold",
            )),
        }
    }

    fn refused(&self, op: &Op, request: &Request, kind: ErrorKind) -> Result<(), Failure> {
        let heads = |topic: &str| self.heads(topic, op);
        match kind {
            ErrorKind::ConditionFailed if self.conditions(request, false, &heads) => Ok(()),
            ErrorKind::ConditionFailed => Err(Failure::new(
                "conditions",
                "refused though all held all the time",
            )),
            // A part of it is there, from an attempt whose outcome was unknown.
            ErrorKind::Conflict
                if request
                    .events()
                    .any(|(topic, event)| self.place(topic, event).is_some()) =>
            {
                Ok(())
            }
            kind => Err(Failure::new("answers", format!("refused: {kind:?}"))),
        }
    }

    /// Whether every condition held at one of its heads, or else whether one did not.
    fn conditions(
        &self,
        request: &Request,
        held: bool,
        heads: &dyn Fn(&str) -> std::ops::RangeInclusive<u64>,
    ) -> bool {
        let mut all = Vec::new();
        for (topic, subject, expected) in &request.expectations {
            let there = &self.topics[&**topic];
            let holds = |head| {
                let last = there.revision_at(subject, head).map(Revision::new);
                expected.holds(last)
            };
            all.push(heads(topic).any(|head| holds(head) == held));
        }
        for (topic, condition) in &request.conditions {
            let last = self.topics[&**topic].matches(condition);
            let holds = |head: u64| last.first().is_none_or(|first| *first > head);
            all.push(heads(topic).any(|head| holds(head) == held));
        }
        match held {
            true => all.iter().all(|found| *found),
            false => all.iter().any(|found| *found),
        }
    }

    /// A client's register names its last append that happened, and that is there as a whole.
    fn registers(&self) -> Result<(), Failure> {
        let failure = |message: String| Err(Failure::new("commits are whole", message));
        for (key, value) in &self.history.end.registers {
            let number = String::from_utf8_lossy(value).parse::<usize>().ok();
            let sent = number.and_then(|number| self.history.ops.get(number));
            let Some(request) = sent.and_then(Op::request) else {
                return failure(format!("{key} names no append"));
            };
            if request.events().any(|(t, e)| self.place(t, e).is_none()) {
                return failure(format!("{key} names an append whose events aren't there"));
            }
        }
        for op in &self.history.ops {
            let Some(request) = op.request() else {
                continue;
            };
            let mut there = request.events().map(|(t, e)| self.place(t, e).is_some());
            let first = there.next();
            if there.any(|other| Some(other) != first) {
                return failure(format!("a part of {request:?} is there"));
            }
        }
        Ok(())
    }
}
