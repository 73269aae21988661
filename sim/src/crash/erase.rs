//! Subjects are erased, and with a fault at some call: then they are erased, or nothing is.

use foretell_log::{Append, ErasedKey, EventLog};
use foretell_types::{Error, ErrorKind, Result};

use super::Cycle;
use super::life::Next;
use crate::failure::{Failure, same};
use crate::model::{ERASURES, record};

const CHECK: &str = "erasing";

impl Cycle {
    /// Erases one subject or two. Nothing waits to be written then.
    pub(super) fn erase(&mut self, log: &EventLog) -> std::result::Result<Next, Failure> {
        let erasable = self.model.topics.iter().filter(|(_, topic)| topic.erasable);
        let names: Vec<&String> = erasable.map(|(name, _)| name).collect();
        let Some(name) = self.random.pick(&names).map(|name| (*name).clone()) else {
            return Ok(Next::GoOn);
        };
        let topic = &self.model.topics[&name];
        let mut known: Vec<&String> = topic.streams.keys().collect();
        known.sort_unstable();
        let mut subjects = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            let subject = self.random.pick(&known).map_or("nobody", |s| s.as_str());
            subjects.push(subject.to_owned());
        }
        let wanted = self.model.erasable(topic, &subjects);
        let uuid = topic.uuid;
        self.say(|| format!("erases {subjects:?} of {name}: {wanted:?}"));
        self.clock.move_by_chance(&self.random);
        self.plan_near(25);
        let recorded = self.clock.nanos().max(self.model.recorded);
        let before = self.disk.struck();
        let register = format!("{ERASURES}{}", self.model.commits);
        let found = erase(log, &name, &subjects, &register);
        let mut after = self.model.clone();
        if let Ok(keys) = &wanted
            && !keys.is_empty()
        {
            after.erase(uuid, keys, recorded);
        }
        let struck = self.disk.struck();
        match found {
            Err(error) if struck.is_some() && error.kind() != ErrorKind::NotFound => {
                self.say(|| format!("isn't told what became of it: {error}"));
                self.maybe = Some(after);
                Ok(Next::End)
            }
            found => {
                let found = found.map_err(|error| error.kind());
                same(CHECK, || format!("{subjects:?} of {name}"), &found, &wanted)?;
                self.counts.erased += found.map_or(0, |keys| keys.len() as u64);
                self.model = after;
                Ok(self.after(before))
            }
        }
    }
}

/// Has a thread erase, which waits for its record to be written.
fn erase(
    log: &EventLog,
    topic: &str,
    subjects: &[String],
    register: &str,
) -> Result<Vec<(String, u32)>> {
    let in_brief = |keys: &[ErasedKey]| -> Vec<(String, u32)> {
        let brief = keys.iter().map(|key| (key.subject.clone(), key.generation));
        brief.collect()
    };
    let said = move |keys: &[ErasedKey]| {
        let topic = keys.first().map(|key| key.topic).unwrap_or_default();
        let value = record(topic, &in_brief(keys));
        Ok(Append::new().register(register, Some(value)))
    };
    std::thread::scope(|scope| {
        #[cfg(feature = "seeded-bugs")]
        let bug = foretell_log::bugs::switched_on();
        let erasing = scope.spawn(move || {
            #[cfg(feature = "seeded-bugs")]
            foretell_log::bugs::switch_on(bug);
            log.erase(topic, subjects, said)
        });
        while !erasing.is_finished() {
            log.write();
            std::thread::yield_now();
        }
        match erasing.join() {
            Ok(erased) => Ok(in_brief(&erased?.keys)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Destroys the keys of everything that the log says is erased, as whoever opens it has to.
pub(super) fn finish_erasures(log: &EventLog) -> Result<()> {
    let mut keys = Vec::new();
    for (_, value) in log.registers(ERASURES) {
        let text = String::from_utf8_lossy(&value).into_owned();
        for line in text.lines() {
            keys.push(key(line).ok_or_else(|| Error::invalid(line.to_owned()))?);
        }
    }
    log.destroy_keys(&keys)
}

fn key(line: &str) -> Option<ErasedKey> {
    let mut parts = line.splitn(3, ' ');
    Some(ErasedKey {
        topic: parts.next()?.parse().ok()?,
        generation: parts.next()?.parse().ok()?,
        subject: parts.next()?.to_owned(),
    })
}
