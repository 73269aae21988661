//! The writer batches whatever is waiting into one durable write. One thread at a time is the writer.

mod answer;
mod seat;
mod stage;

use std::sync::Arc;
use std::sync::mpsc;

use foretell_types::limits::UNSEALED_SEGMENTS;
use foretell_types::{Error, ErrorKind, Result};

use self::answer::Asleep;
pub use self::answer::Ticket;
pub(crate) use self::answer::{Answered, End, Request, request};
pub(crate) use self::seat::Seat;
use self::stage::Stage;
use crate::append::{Appended, Encoded};
use crate::bugs::{self, Bug};
use crate::codec::Frame;
use crate::journal::{Group, GroupMeta, Journal, Place, Seq};
use crate::log::Shared;
use crate::merkle::MountainRange;

/// The writer begins no further append in a group beyond so many bytes, or half of the largest group.
const GROUP_SOFT_BYTES: usize = 8 * 1024 * 1024;
const GROUP_APPENDS: usize = 4_096;
/// Tasks that await so many appends of a group are woken while the disk is at work on the next, unless
/// that is larger than this, or has queries to be answered first. Fewer are woken at once: so that
/// those who come again soon are in it.
const WOKEN_LATER: usize = 8;
const WOKEN_FIRST_BYTES: usize = 64 * 1024;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    journal: Box<dyn Journal>,
    range: MountainRange,
    epoch: u64,
    /// No further append is begun beyond so many bytes.
    soft_bytes: usize,
    group: Group,
    /// To wake a task takes the writer longer than to write its event.
    asleep: Asleep,
    /// Why the writer stopped taking appends: a write whose outcome is unknown.
    poison: Option<Error>,
}

/// Beyond which bytes no further append is begun in a group, of at most so many.
pub(crate) fn soft_bytes(largest_group: usize) -> usize {
    GROUP_SOFT_BYTES.min(largest_group / 2)
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        journal: Box<dyn Journal>,
        range: MountainRange,
        epoch: u64,
    ) -> Writer {
        let soft_bytes = soft_bytes(shared.largest_group);
        let meta = GroupMeta {
            first: Seq(1),
            commits: 0,
            frames: 0,
            epoch,
            nonce: 0,
            root: [0; 32],
        };
        Writer {
            shared,
            journal,
            range,
            epoch,
            soft_bytes,
            group: Group::new(meta),
            asleep: Asleep::default(),
            poison: None,
        }
    }

    /// Writes what waits, in so many groups at the most. False if nothing waits.
    fn write(&mut self, requests: &mpsc::Receiver<Request>, groups: usize) -> bool {
        let mut written = 0;
        while written < groups
            && let Ok(first) = requests.try_recv()
        {
            self.write_what_waits(first, requests);
            written += 1;
        }
        self.asleep.wake();
        written > 0
    }

    fn write_what_waits(&mut self, first: Request, requests: &mpsc::Receiver<Request>) {
        let mut bytes = first.encoded().bytes.len();
        let mut waiting = vec![first];
        while bytes < self.soft_bytes && waiting.len() < GROUP_APPENDS {
            let Ok(request) = requests.try_recv() else {
                break;
            };
            bytes += request.encoded().bytes.len();
            waiting.push(request);
        }
        self.shared.waiting.leave(waiting.len(), bytes);
        let asks = || waiting.iter().any(|request| request.encoded().asks());
        if bytes > WOKEN_FIRST_BYTES || asks() {
            self.asleep.wake();
        }
        // What isn't sealed is held in memory, which has to end somewhere.
        let shared = &self.shared;
        if shared.index.read().recent.len() > UNSEALED_SEGMENTS {
            self.asleep.wake();
            let is_behind = || shared.index.read().recent.len() > UNSEALED_SEGMENTS;
            shared.wake.catch_up(is_behind);
        }
        self.write_group(waiting);
    }

    /// Stages the appends, makes the group durable, applies it, answers.
    fn write_group(&mut self, waiting: Vec<Request>) {
        let (group, count) = (self.shared.answered.take(), waiting.len());
        let answers = match &self.poison {
            Some(poison) => vec![Err(poison.clone()); count],
            None => self.stage_and_commit(&waiting),
        };
        // Those of the group before, if nothing of this one was written.
        self.asleep.wake();
        let answered = waiting.into_iter().zip(answers);
        let wakers = answered.filter_map(|(request, answer)| request.answer(answer));
        self.asleep.extend(wakers);
        self.shared.answered.tell(group);
        if count < WOKEN_LATER {
            self.asleep.wake();
        }
    }

    fn stage_and_commit(&mut self, waiting: &[Request]) -> Vec<Result<Appended>> {
        let recorded = self.begin();
        let mut stage = Stage::new(self.shared.clone(), recorded, waiting.len());
        let mut answers: Vec<_> = {
            let index = self.shared.index.read();
            let appends = || waiting.iter().map(Request::encoded);
            if waiting.len() > 1 {
                appends().for_each(Encoded::bring_near);
            }
            appends().for_each(|encoded| stage.bring_near(&index, encoded));
            let add = |encoded| stage.add(&index, encoded, &mut self.group);
            appends().map(add).collect()
        };
        if self.group.meta.commits > 0
            && let Err(error) = self.commit(&stage)
        {
            for answer in &mut answers {
                *answer = Err(error.clone());
            }
        }
        answers
    }

    /// Empties the group; gives the recorded time of its frames.
    fn begin(&mut self) -> i64 {
        let index = self.shared.index.read();
        let now = self.shared.environment.clock.now().as_nanos();
        self.group.reset(GroupMeta {
            first: Seq(index.catalog.last.0 + 1),
            commits: 0,
            frames: 0,
            epoch: self.epoch,
            nonce: self.shared.environment.random.next(),
            root: self.range.root(),
        });
        if bugs::on(Bug::RecordedTimeGoesBack) {
            now
        } else {
            now.max(index.catalog.recorded)
        }
    }

    fn commit(&mut self, stage: &Stage<'_>) -> Result<()> {
        let expected = Seq(self.group.meta.first.0 - 1);
        let (range, asleep, shared) = (&mut self.range, &mut self.asleep, &self.shared);
        let mut taken = Ok(false);
        let mut meanwhile = |body: &[u8], place: Place| {
            asleep.wake();
            range.extend(stage.leaves(body));
            taken = take_in(shared, stage, place);
        };
        let appended = self
            .journal
            .append(expected, &mut self.group, &mut meanwhile);
        match appended {
            Ok(()) => {
                let shown = taken.and_then(|begun| self.show(stage).map(|()| begun));
                let begun = shown.inspect_err(|error| self.poison(error))?;
                if begun {
                    // The segment before is full.
                    self.shared.wake.work();
                }
                self.shared.announce(stage.topics());
                let store = self.shared.store.as_ref();
                if store.is_some_and(|store| store.segments.wants_another()) {
                    self.shared.preparing.work();
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Full => Err(error),
            Err(error) => {
                self.poison(&error);
                Err(error)
            }
        }
    }

    /// After a write that failed, what lies on the disk is unknown: nothing more is written.
    fn poison(&mut self, error: &Error) {
        tracing::error!(%error, "the log's writer stops: open the log anew");
        let message =
            format!("the log takes no more appends until it is opened anew, since {error}");
        self.poison = (!bugs::on(Bug::WriterGoesOnAfterError))
            .then(|| Error::new(ErrorKind::Unavailable, message));
    }

    /// Shows everyone what is durable now: up to the heads of the topics.
    fn show(&self, stage: &Stage<'_>) -> Result<()> {
        let mut index = self.shared.index.write();
        for placed in &stage.placed {
            match &placed.event {
                Some(event) => {
                    let (topic, position, revision) = (event.topic, event.position, event.revision);
                    index.catalog.event(topic, position, revision)?;
                }
                None => index.no_event(&Frame::read(&self.group.body()[placed.at..])?)?,
            }
        }
        index.catalog.last = self.group.meta.last();
        index.catalog.recorded = index.catalog.recorded.max(stage.recorded);
        Ok(())
    }
}

/// Takes the events of a group into the index, which shows them to nobody yet. Tells whether a new
/// segment was begun for them.
fn take_in(shared: &Shared, stage: &Stage<'_>, place: Place) -> Result<bool> {
    let segment = shared.segment(place);
    let mut index = shared.index.write();
    let before = index.recent.len();
    let placed = stage.placed.iter();
    let events = placed.filter_map(|placed| Some((placed.event.as_ref()?, placed.at)));
    if let Some((first, _)) = events.clone().next() {
        // Most groups are of one topic.
        let identities = events.clone().map(|(event, _)| event.identity);
        index.bring_near(first.topic, identities);
    }
    for (event, at) in events {
        index.event(event, place.plus(at), segment)?;
    }
    Ok(before > 0 && index.recent.len() > before)
}
