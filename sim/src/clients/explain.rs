//! Explains a history by one order of all appends.
//!
//! The positions of a topic give that order, so there is nothing to search for. What is left to
//! check is that the order keeps real time, and that every answer was right at a point of it
//! between question and answer. For a topic, those points are the heads from `known` (what anyone
//! had been told of before the question) to `possible` (what had been asked for before the
//! answer).
//!
//! A name stands for one topic after the other, and for none in between. While one is made or
//! deleted, a question may meet what was before or what comes after: one of them must explain the
//! answer.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use foretell_types::{ErrorKind, NewEvent, RecordedEvent, Revision};

use super::history::{Facts, History, Kind, Op, Outcome};
use crate::failure::{Failure, same};
use crate::model::{Placed, Topic};
use crate::request::Request;

/// What an operation's names stood for: topics by their numbers in the history, or none.
type Names<'a> = BTreeMap<&'a str, Option<usize>>;

/// A topic as it was in the end, and what is known of its growth.
struct Explained<'a> {
    topic: Topic,
    /// The position of each event, by source and id.
    places: HashMap<(&'a str, &'a str), u64>,
    /// When a position was known to somebody, and when it was asked for.
    told: Vec<(u64, u64)>,
    asked: Vec<(u64, u64)>,
}

struct Explanation<'a> {
    history: &'a History,
    /// As in the history.
    topics: Vec<Explained<'a>>,
}

pub fn history(history: &History) -> Result<(), Failure> {
    let mut explanation = Explanation {
        history,
        topics: Vec::new(),
    };
    explanation.take_end()?;
    for op in &history.ops {
        explanation.take_op(op);
    }
    explanation.all_were_asked_for()?;
    for op in &history.ops {
        explanation.op(op).map_err(|failure| {
            let message = format!("{} (of {op:?})", failure.message);
            Failure { message, ..failure }
        })?;
    }
    explanation.registers()
}

impl Explained<'_> {
    fn place(&self, event: &NewEvent) -> Option<u64> {
        self.places.get(&(&*event.source, &*event.id)).copied()
    }

    /// The heads that may have been the durable one while an operation ran.
    fn heads(&self, op: &Op) -> RangeInclusive<u64> {
        let most = |times: &[(u64, u64)], counts: &dyn Fn(u64) -> bool| {
            let counted = times.iter().filter(|(time, _)| counts(*time));
            counted.map(|(_, place)| *place).max().unwrap_or(0)
        };
        let known = most(&self.told, &|time| time < op.invoked);
        known..=most(&self.asked, &|time| time <= op.returned).max(known)
    }

    fn facts(&self, uuid: uuid::Uuid, head: u64) -> Facts {
        let events = &self.topic.events[..head as usize];
        let firsts = events.iter().filter(|event| event.revision == Some(0));
        Facts {
            uuid,
            head,
            streams: firsts.count() as u64,
        }
    }
}

impl<'a> Explanation<'a> {
    fn take_end(&mut self) -> Result<(), Failure> {
        for lived in &self.history.lived {
            let topic = Topic::replayed(&lived.events);
            let mut places = HashMap::new();
            for (event, there) in lived.events.iter().zip(&topic.events) {
                let what = || format!("position {} of {}", event.position, lived.name);
                let revision = event.revision.map(Revision::get);
                same("revisions", what, &revision, &there.revision)?;
                let identity = (&*event.event.source, &*event.event.id);
                if places.insert(identity, event.position.get()).is_some() {
                    let message = format!("{identity:?} is there twice");
                    return Err(Failure::new("events once", message));
                }
            }
            self.topics.push(Explained {
                topic,
                places,
                told: Vec::new(),
                asked: Vec::new(),
            });
        }
        Ok(())
    }

    /// What a name may have stood for while an operation ran.
    fn stood_for(&self, name: &str, op: &Op) -> Vec<Option<usize>> {
        let (mut found, mut nothing_since) = (Vec::new(), Some(0));
        let of_name = self.history.lived.iter().enumerate();
        for (number, lived) in of_name.filter(|(_, lived)| lived.name == name) {
            if nothing_since.is_some_and(|since| since <= op.over()) && op.invoked <= lived.made.1 {
                found.push(None);
            }
            let until = lived.deleted.map_or(u64::MAX, |(_, until)| until);
            if lived.made.0 <= op.over() && op.invoked <= until {
                found.push(Some(number));
            }
            nothing_since = lived.deleted.map(|(from, _)| from);
        }
        if nothing_since.is_some_and(|since| since <= op.over()) {
            found.push(None);
        }
        found
    }

    fn take_op(&mut self, op: &'a Op) {
        match (&op.kind, &op.outcome) {
            (Kind::Append(request), outcome) if !op.refused() => {
                let placed = match outcome {
                    Outcome::Appended(placed) => &placed[..],
                    _ => &[],
                };
                for (at, (name, event)) in request.events().enumerate() {
                    let mut told = Vec::new();
                    for number in self.stood_for(name, op).into_iter().flatten() {
                        let explained = &mut self.topics[number];
                        let Some(place) = explained.place(event) else {
                            continue;
                        };
                        explained.asked.push((op.invoked, place));
                        if placed
                            .get(at)
                            .is_some_and(|placed| placed.position == place)
                        {
                            told.push((number, place));
                        }
                    }
                    // Of two that explain it, neither is certain.
                    if let [(number, place)] = told[..] {
                        self.topics[number].told.push((op.returned, place));
                    }
                }
            }
            (Kind::Read(name, _), Outcome::Events(events)) => {
                if let [Some(number)] = self.stood_for(name, op)[..] {
                    let positions = events.iter().map(|e| (op.returned, e.position.get()));
                    self.topics[number].told.extend(positions);
                }
            }
            _ => {}
        }
    }

    /// Every event was sent by somebody whose append wasn't refused.
    fn all_were_asked_for(&self) -> Result<(), Failure> {
        for (lived, explained) in self.history.lived.iter().zip(&self.topics) {
            for position in 1..=explained.topic.head() {
                if !explained.asked.iter().any(|(_, place)| *place == position) {
                    let message = format!("nobody appended position {position} of {}", lived.name);
                    return Err(Failure::new("events come from appends", message));
                }
            }
        }
        Ok(())
    }

    /// One of all that its names may have stood for explains the answer.
    fn op(&self, op: &Op) -> Result<(), Failure> {
        let mut all = vec![Names::new()];
        for name in op.names() {
            let stood_for = self.stood_for(name, op);
            all = all
                .iter()
                .flat_map(|names| {
                    stood_for.iter().map(|topic| {
                        let mut names = names.clone();
                        names.insert(name, *topic);
                        names
                    })
                })
                .collect();
        }
        let mut first = None;
        for names in &all {
            match self.explains(op, names) {
                Ok(()) => return Ok(()),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        Err(first.unwrap_or_else(|| Failure::new("answers", "its topics were never there at once")))
    }

    fn explains(&self, op: &Op, names: &Names<'_>) -> Result<(), Failure> {
        let missing = names.values().any(Option::is_none);
        match (&op.kind, &op.outcome) {
            (_, Outcome::Unknown) => Ok(()),
            (_, Outcome::Refused(ErrorKind::NotFound)) if missing => Ok(()),
            (_, Outcome::Refused(ErrorKind::NotFound)) => {
                Err(Failure::new("answers", "not found, though it was there"))
            }
            // Nothing was looked at: there was no room for any.
            (Kind::Append(_), Outcome::Refused(ErrorKind::Full)) => Ok(()),
            (Kind::Append(request), Outcome::Appended(placed)) => {
                self.appended(op, request, placed, names)
            }
            (Kind::Append(request), Outcome::Refused(kind)) => {
                self.refused(op, request, *kind, names)
            }
            (Kind::Append(_), _) => Ok(()),
            (Kind::Read(name, _) | Kind::Revision(name, _) | Kind::Topic(name), outcome) => {
                match names[&**name] {
                    Some(number) => self.answered(op, number, outcome),
                    None => Err(Failure::new("answers", "an answer, though it wasn't there")),
                }
            }
        }
    }

    /// A question about one topic was answered as right at one point.
    fn answered(&self, op: &Op, number: usize, outcome: &Outcome) -> Result<(), Failure> {
        let (lived, explained) = (&self.history.lived[number], &self.topics[number]);
        let mut heads = explained.heads(op);
        let topic = &explained.topic;
        match (&op.kind, outcome) {
            (Kind::Read(_, options), Outcome::Events(events)) => {
                let positions: Vec<u64> = events.iter().map(|e| e.position.get()).collect();
                if !heads.any(|head| topic.read(options, head) == positions) {
                    return Err(Failure::new("reads", format!("{positions:?} at no point")));
                }
                let there = |e: &RecordedEvent| lived.events[e.position.get() as usize - 1] == *e;
                match events.iter().all(there) {
                    true => Ok(()),
                    false => Err(Failure::new("reads", "an event changed later")),
                }
            }
            (Kind::Revision(_, subject), Outcome::Revision(found)) => {
                match heads.any(|head| topic.revision_at(subject, head) == *found) {
                    true => Ok(()),
                    false => Err(Failure::new("revisions", "right at no point")),
                }
            }
            (_, Outcome::Topic(found)) => {
                match heads.any(|head| explained.facts(lived.uuid, head) == *found) {
                    true => Ok(()),
                    false => Err(Failure::new("topics", "right at no point")),
                }
            }
            _ => Err(Failure::new("answers", "no answer to this question")),
        }
    }

    fn appended(
        &self,
        op: &Op,
        request: &Request,
        placed: &[Placed],
        names: &Names<'_>,
    ) -> Result<(), Failure> {
        let events = request.events().count();
        same("answers", || "events".into(), &placed.len(), &events)?;
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        for ((name, event), placed) in request.events().zip(placed) {
            let explained = self.named(names, name)?;
            let what = || name.to_owned();
            let place = explained.place(event);
            same(
                "acknowledged is there",
                what,
                &place,
                &Some(placed.position),
            )?;
            let there = &explained.topic.events[placed.position as usize - 1];
            same("acknowledged is there", what, &*there.event, event)?;
            same("revisions", what, &placed.revision, &there.revision)?;
            if placed.duplicate {
                continue;
            }
            let known = *explained.heads(op).start();
            if placed.position <= known {
                let message = format!("{} of {name} though {known} was known", placed.position);
                return Err(Failure::new("real time", message));
            }
            let follows = last.insert(name, placed.position);
            if follows.is_some_and(|last| last + 1 != placed.position) {
                return Err(Failure::new("commits are whole", "its events lie apart"));
            }
            first.entry(name).or_insert(placed.position);
        }
        if events > 0 && placed.iter().all(|placed| placed.duplicate) {
            return Ok(());
        }
        // Just before its own events, or at some point if it has none there, all conditions held.
        let heads = |name: &str, explained: &Explained<'_>| match first.get(name) {
            Some(first) => first - 1..=first - 1,
            None => explained.heads(op),
        };
        match self.conditions(request, true, names, &heads)? {
            true => Ok(()),
            false => Err(Failure::new(
                "conditions",
                "accepted though it did not hold",
            )),
        }
    }

    fn refused(
        &self,
        op: &Op,
        request: &Request,
        kind: ErrorKind,
        names: &Names<'_>,
    ) -> Result<(), Failure> {
        let heads = |_: &str, explained: &Explained<'_>| explained.heads(op);
        let is_there = |(name, event): (&str, &NewEvent)| {
            let explained = self.named(names, name);
            explained.is_ok_and(|explained| explained.place(event).is_some())
        };
        match kind {
            ErrorKind::ConditionFailed => match self.conditions(request, false, names, &heads)? {
                true => Ok(()),
                false => Err(Failure::new(
                    "conditions",
                    "refused though all held all the time",
                )),
            },
            // A part of it is there, from an attempt whose outcome was unknown.
            ErrorKind::Conflict if request.events().any(is_there) => Ok(()),
            kind => Err(Failure::new("answers", format!("refused: {kind:?}"))),
        }
    }

    fn named(&self, names: &Names<'_>, name: &str) -> Result<&Explained<'a>, Failure> {
        let number = names.get(name).copied().flatten();
        let missing = || Failure::new("answers", format!("{name} wasn't there"));
        number
            .map(|number| &self.topics[number])
            .ok_or_else(missing)
    }

    /// Whether every condition held at one of its heads, or else whether one did not.
    fn conditions(
        &self,
        request: &Request,
        held: bool,
        names: &Names<'_>,
        heads: &dyn Fn(&str, &Explained<'_>) -> RangeInclusive<u64>,
    ) -> Result<bool, Failure> {
        let mut all = Vec::new();
        for (name, subject, expected) in &request.expectations {
            let explained = self.named(names, name)?;
            let holds = |head| {
                let last = explained.topic.revision_at(subject, head);
                expected.holds(last.map(Revision::new))
            };
            all.push(heads(name, explained).any(|head| holds(head) == held));
        }
        for (name, condition) in &request.conditions {
            let explained = self.named(names, name)?;
            let found = explained.topic.matches(condition);
            let holds = |head: u64| found.first().is_none_or(|first| *first > head);
            all.push(heads(name, explained).any(|head| holds(head) == held));
        }
        Ok(match held {
            true => all.iter().all(|found| *found),
            false => all.iter().any(|found| *found),
        })
    }

    /// Whether an event is in any topic of the name.
    fn is_anywhere(&self, name: &str, event: &NewEvent) -> bool {
        let lived = self.history.lived.iter().zip(&self.topics);
        let mut of_name = lived.filter(|(lived, _)| lived.name == name);
        of_name.any(|(_, explained)| explained.place(event).is_some())
    }

    /// A client's register names its last append that happened, and that is there as a whole.
    fn registers(&self) -> Result<(), Failure> {
        let failure = |message: String| Err(Failure::new("commits are whole", message));
        for (key, value) in &self.history.registers {
            let number = String::from_utf8_lossy(value).parse::<usize>().ok();
            let sent = number.and_then(|number| self.history.ops.get(number));
            let Some(request) = sent.and_then(Op::request) else {
                return failure(format!("{key} names no append"));
            };
            if request.events().any(|(name, e)| !self.is_anywhere(name, e)) {
                return failure(format!("{key} names an append whose events aren't there"));
            }
        }
        for op in &self.history.ops {
            let Some(request) = op.request() else {
                continue;
            };
            let mut there = request.events().map(|(name, e)| self.is_anywhere(name, e));
            let first = there.next();
            if there.any(|other| Some(other) != first) {
                return failure(format!("a part of {request:?} is there"));
            }
        }
        Ok(())
    }
}
