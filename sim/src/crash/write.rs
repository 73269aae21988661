//! One group: what the log answers is what the model says, or a fault explains it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use foretell_log::{Appended, EventLog, Ticket};
use foretell_types::{ErrorKind, Result, Revision};

use super::Cycle;
use super::life::Next;
use crate::disk::{Fault, Struck};
use crate::failure::{Failure, same};
use crate::model::{Answer, Model, Placed};
use crate::request::{Entry, Request};

const CHECK: &str = "answers";

/// Asks a ticket without waiting.
pub fn poll(ticket: &mut Ticket) -> Option<Result<Appended>> {
    match Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// An answer of the log in the model's words.
pub fn answer(appended: Result<Appended>) -> Answer {
    let appended = appended.map_err(|error| error.kind())?;
    let places = appended.events.iter().map(|event| Placed {
        position: event.position.get(),
        revision: event.revision.map(Revision::get),
        duplicate: event.duplicate,
    });
    Ok(places.collect())
}

impl Cycle {
    /// Has what waits written as one group.
    pub(super) fn write(&mut self, log: &EventLog) -> std::result::Result<Next, Failure> {
        self.clock.move_by_chance(&self.random);
        self.plan_near(12);
        let recorded = self.clock.nanos().max(self.model.recorded);
        let before = self.disk.struck();
        if log.write() == self.waiting.is_empty() {
            return Err(Failure::new(
                CHECK,
                "a group was written of nothing, or not of something",
            ));
        }
        let mut answers = Vec::new();
        let waiting: Vec<_> = self.waiting.drain(..).collect();
        let mut requests = Vec::new();
        for (request, mut ticket) in waiting {
            let Some(found) = poll(&mut ticket) else {
                return Err(Failure::new(
                    CHECK,
                    "no answer though the group was written",
                ));
            };
            answers.push(answer(found));
            requests.push(request);
        }
        let struck = self.disk.struck().filter(|_| self.disk.struck() != before);
        let low = matches!(self.disk.struck(), Some((Fault::LowSpace, _)));
        let failed = |answer: &Answer| {
            matches!(
                answer,
                Err(ErrorKind::Io | ErrorKind::Full | ErrorKind::Unavailable)
            )
        };
        let all_failed = answers.iter().all(failed) && !answers.is_empty();
        // Without a fault, none of them may fail so; a fault strikes all, or one that had to read.
        let may_skip = matches!(struck, Some((_, Struck::Reading)));
        let mut after = self.model.clone();
        let mut skipped = false;
        for (request, found) in requests.iter().zip(&answers) {
            if (may_skip || all_failed && (struck.is_some() || low)) && failed(found) {
                skipped = true;
                if all_failed {
                    let _ = after.append(request, recorded);
                }
                continue;
            }
            let expected = after.append(request, recorded);
            same(CHECK, || format!("{request:?}"), found, &expected)?;
            match expected {
                Ok(_) => self.counts.acknowledged += 1,
                Err(_) => self.counts.refused += 1,
            }
        }
        self.say(|| format!("writes {} appends: {answers:?}", answers.len()));
        if !all_failed || !skipped {
            self.model = after;
            let stopped = matches!(struck, Some((Fault::Stop, _)));
            return Ok(if stopped { Next::End } else { Next::GoOn });
        }
        self.failed(log, &answers, after, struck)
    }

    /// All appends of a group failed.
    fn failed(
        &mut self,
        log: &EventLog,
        answers: &[Answer],
        after: Model,
        struck: Option<(Fault, Struck)>,
    ) -> std::result::Result<Next, Failure> {
        if answers.iter().all(|answer| *answer == Err(ErrorKind::Full)) {
            // Nothing was written, and the log goes on.
            return Ok(Next::GoOn);
        }
        self.maybe = Some(after);
        if matches!(
            struck,
            Some((
                Fault::Error | Fault::Full,
                Struck::Writing | Struck::Syncing
            ))
        ) {
            self.is_poisoned(log)?;
        }
        Ok(Next::End)
    }

    /// After a write or sync that failed, nothing more is taken.
    fn is_poisoned(&mut self, log: &EventLog) -> std::result::Result<(), Failure> {
        let written = self.disk.written();
        let request = Request {
            entries: vec![Entry::Register("z".to_owned(), None)],
            ..Request::default()
        };
        let mut ticket = request
            .append()
            .and_then(|append| log.append(append))
            .map_err(|error| Failure::said("submitting", &error))?;
        log.write();
        let answer = poll(&mut ticket).map(answer);
        let refused = answer == Some(Err(ErrorKind::Unavailable));
        if refused && self.disk.written() == written {
            return Ok(());
        }
        let message = format!("an append after a write that failed: {answer:?}");
        Err(Failure::new("the writer stops", message))
    }
}
