//! What happens between an opening and the end: steps by chance, with a fault at some call.

use std::path::Path;

use foretell_log::{EventLog, File, Files, ReadOptions};
use foretell_types::ErrorKind;

use super::recover::FOLDER;
use super::{Cycle, Held};
use crate::check;
use crate::disk::{Fault, SECTOR};
use crate::failure::Failure;
use crate::model::Model;
use crate::request::{Create, Entry, Request};
use crate::workload::read_options;

/// Whether a life goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    GoOn,
    End,
}

impl Cycle {
    pub(super) fn live(&mut self, log: &EventLog) -> Result<(), Failure> {
        if !self.opened_at_once && self.random.chance(30) {
            // One group, up to where a sector ends: no zeros of that sector lie between it and
            // what the openings left behind it.
            let request = self.up_to_a_sector();
            self.submit(log, request)?;
            return self.write(log).map(drop);
        }
        if self.random.chance(25) {
            // A short life: one group, on what the opening left.
            self.submit_any(log)?;
            return self.write(log).map(drop);
        }
        let steps = 10 + self.random.below(80);
        self.plan_a_fault();
        for _ in 0..steps {
            self.counts.steps += 1;
            let struck = self.disk.struck();
            if self.step(log)? == Next::End {
                return Ok(());
            }
            if struck.is_none() && self.disk.struck().is_some() {
                self.counts.faults += 1;
                // The log goes on; so may the misfortune.
                if self.random.chance(60) {
                    self.plan_a_fault();
                }
            }
        }
        Ok(())
    }

    fn plan_a_fault(&mut self) {
        let plan = self.random.chance(85).then(|| self.plan_of(120));
        self.say(|| format!("is to meet {plan:?}"));
        self.disk.plan(plan);
    }

    /// At times, a fault in what is done next: there most of the rare places are.
    pub(super) fn plan_near(&mut self, calls: u64) {
        if self.disk.struck().is_none() && self.random.chance(5) {
            let plan = self.plan_of(calls);
            self.say(|| format!("is to meet {plan:?}"));
            self.disk.plan(Some(plan));
        }
    }

    fn step(&mut self, log: &EventLog) -> Result<Next, Failure> {
        match self.random.below(100) {
            0..=34 => self.submit_any(log),
            35..=59 => self.write(log),
            60..=79 => self.seal(log),
            80..=89 => self.query(log),
            90..=93 => self.hold(log),
            94..=96 => self.read_on(),
            97..=98 if self.waiting.is_empty() => self.erase(log),
            97..=98 => Ok(Next::GoOn),
            _ => match self.waiting.is_empty() {
                true => self.examine(log),
                false => Ok(Next::GoOn),
            },
        }
    }

    /// An append that waits for the next group.
    fn submit_any(&mut self, log: &EventLog) -> Result<Next, Failure> {
        if self.waiting.len() > 5 {
            return Ok(Next::GoOn);
        }
        let request = self.workload.request(&self.model);
        self.submit(log, request)
    }

    fn submit(&mut self, log: &EventLog, mut request: Request) -> Result<Next, Failure> {
        self.say(|| format!("submits {}", brief(&request)));
        let before = self.disk.struck();
        let expected = self.model.send(&mut request);
        let ticket = request.append().and_then(|append| log.append(append));
        match (ticket, expected) {
            (Ok(ticket), Ok(())) => {
                Model::name_keys(&mut request, log.key_store());
                self.waiting.push((request, ticket));
                Ok(Next::GoOn)
            }
            (Err(error), Err(expected)) if error.kind() == expected => Ok(Next::GoOn),
            // Keys are made, or read, before anything waits.
            (Err(_), _) if self.disk.struck().is_some() => Ok(self.after(before)),
            (Err(error), _) => Err(Failure::said("submitting", &error)),
            (Ok(_), Err(expected)) => {
                let message = format!("{} is taken, not {expected:?}", brief(&request));
                Err(Failure::new("submitting", message))
            }
        }
    }

    /// A register so long that its group ends where a sector does. Layout: docs/format.md.
    fn up_to_a_sector(&self) -> Request {
        let folder = Path::new(FOLDER);
        let names = self.disk.list(folder).unwrap_or_default();
        let last = names.iter().rfind(|name| name.ends_with(".segment"));
        let segment = last.and_then(|name| self.disk.open(&folder.join(name)).ok());
        let end = segment.map_or(SECTOR, |segment| end_of(&*segment));
        let (group, frame) = (96 + 8, 40 + 12 + 1);
        let body = (end + group + frame).next_multiple_of(SECTOR) - end - group;
        let value = vec![b'x'; body - frame];
        Request {
            entries: vec![Entry::Register("z".to_owned(), Some(value))],
            ..Request::default()
        }
    }

    /// A piece of the work in the background.
    fn seal(&mut self, log: &EventLog) -> Result<Next, Failure> {
        self.plan_near(30);
        let before = self.disk.struck();
        let done = log.seal();
        self.say(|| format!("seals: {done:?}"));
        match done {
            Ok(done) => self.counts.sealed += u64::from(done),
            Err(error) if self.disk.struck().is_none() => {
                return Err(Failure::said("sealing", &error));
            }
            Err(_) => {}
        }
        Ok(self.after(before))
    }

    /// Whether a fault that may have struck leaves the log in use.
    pub(super) fn after(&self, before: Option<(Fault, crate::disk::Struck)>) -> Next {
        match self.disk.struck() {
            Some((Fault::Stop, _)) => Next::End,
            struck if struck == before => Next::GoOn,
            _ if self.random.chance(25) => Next::End,
            _ => Next::GoOn,
        }
    }

    /// What a check says; where a fault struck in it, the log may say so, and answer no worse.
    fn unless_struck(&self, checked: Result<(), Failure>) -> Result<Next, Failure> {
        match (checked, self.disk.struck()) {
            (_, Some((Fault::Stop, _))) => Ok(Next::End),
            (Err(failure), Some((Fault::Error, _))) if failure.said => Ok(Next::GoOn),
            (checked, _) => checked.map(|()| Next::GoOn),
        }
    }

    fn query(&mut self, log: &EventLog) -> Result<Next, Failure> {
        let names: Vec<&String> = self.model.topics.keys().collect();
        let Some(name) = self.random.pick(&names) else {
            return Ok(Next::GoOn);
        };
        let fresh = self.disk.struck().is_none();
        let checked = check::one_query(log, name, &self.model.topics[*name], &self.random);
        match fresh {
            true => self.unless_struck(checked),
            false => checked.map(|()| Next::GoOn),
        }
    }

    fn examine(&mut self, log: &EventLog) -> Result<Next, Failure> {
        let fresh = self.disk.struck().is_none();
        let checked = check::everything(log, &self.model, &self.random);
        match fresh {
            true => self.unless_struck(checked),
            false => checked.map(|()| Next::GoOn),
        }
    }

    /// Makes a reader that is read on later, when segments were sealed and runs merged.
    fn hold(&mut self, log: &EventLog) -> Result<Next, Failure> {
        let names: Vec<&String> = self.model.topics.keys().collect();
        let Some(name) = self.random.pick(&names) else {
            return Ok(Next::GoOn);
        };
        let topic = &self.model.topics[*name];
        let options: ReadOptions = read_options(&self.random, topic.head());
        let reader = log
            .read(name, options.clone())
            .map_err(|error| Failure::said("reading", &error))?;
        self.held.push(Held {
            reader,
            topic: (*name).clone(),
            number: topic.number,
            left: topic.read(&options, topic.head()).into(),
        });
        Ok(Next::GoOn)
    }

    fn read_on(&mut self) -> Result<Next, Failure> {
        let at = self.random.below(self.held.len() as u64) as usize;
        if self.held.is_empty() {
            return Ok(Next::GoOn);
        }
        let mut held = self.held.swap_remove(at);
        let topic = self.model.topics.get(&held.topic);
        let topic = topic.filter(|topic| topic.number == held.number);
        for _ in 0..1 + self.random.below(30) {
            let before = self.disk.struck();
            let read = held.reader.next_recorded();
            let failure = |what| Failure::new("a reader held open", what);
            match (read, topic, self.disk.struck()) {
                (_, _, struck) if struck != before => return Ok(self.after(before)),
                // Of a topic that was deleted meanwhile, a reader may give what it had planned.
                (Ok(_), None, _) => return Ok(Next::GoOn),
                (Err(error), None, _) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Next::GoOn);
                }
                (Err(error), ..) => return Err(failure(format!("{error} ({:?})", error.kind()))),
                (Ok(None), Some(_), _) if held.left.is_empty() => return Ok(Next::GoOn),
                (Ok(None), Some(_), _) => {
                    return Err(failure(format!("ends where {:?} must follow", held.left)));
                }
                (Ok(Some(event)), Some(topic), _) => {
                    let position = event.position.get();
                    if held.left.pop_front() != Some(position) {
                        return Err(failure(format!("gives {position} out of turn")));
                    }
                    check::one_event(&held.topic, &event, &topic.events[position as usize - 1])?;
                }
            }
        }
        self.held.push(held);
        Ok(Next::GoOn)
    }
}

/// Where the last group of a segment ends: its trailer is 8 bytes that aren't all zero.
fn end_of(segment: &dyn File) -> usize {
    let mut bytes = vec![0; segment.len().unwrap_or(0) as usize];
    let read = segment.read_at(&mut bytes, 0).unwrap_or(0);
    let last = bytes[..read].iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last + 1).next_multiple_of(8)
}

fn brief(request: &Request) -> String {
    let entries = request.entries.iter().map(|entry| match entry {
        Entry::Event(topic, event) => format!(
            "{topic}:{}{}:{:?}:{}",
            event.source,
            event.id,
            event.subject,
            event.data.len()
        ),
        Entry::Register(key, value) => format!("{key}={:?}", value.as_ref().map(Vec::len)),
        Entry::Create(Create { name, .. }) => format!("+{name}"),
        Entry::Delete(name) => format!("-{name}"),
    });
    let entries: Vec<String> = entries.collect();
    let (expectations, conditions) = (&request.expectations, &request.conditions);
    format!("{} {expectations:?} {conditions:?}", entries.join(" "))
}
