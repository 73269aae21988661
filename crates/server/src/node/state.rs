use foretell_log::ReadOptions;
use foretell_state::{Fold, KnownAt, Moment};
use foretell_types::{Error, Position, Result, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Node, blocking};

/// The state of a subject, with the moment that it was asked for.
#[derive(Debug, Serialize)]
pub struct StateAnswer {
    pub topic: String,
    pub subject: String,
    /// The event time asked for; null for all.
    pub at: Option<String>,
    /// The position or time that bounds what was known.
    pub known_at: serde_json::Value,
    /// The last position folded; null if no event was.
    pub position: Option<u64>,
    pub revision: Option<u64>,
    pub state: Box<RawValue>,
}

impl Node {
    /// Folds a subject's events into its state at a moment. Fails with *not found* if nothing
    /// about the subject was known then.
    pub async fn state(&self, topic: &str, subject: &str, moment: Moment) -> Result<StateAnswer> {
        let log = self.log.clone();
        let (topic, subject) = (topic.to_owned(), subject.to_owned());
        blocking(move || {
            let head = log.head(&topic)?;
            // What is folded is fixed before reading begins: the answer is one of its moment.
            let until = moment.last_position().or(head);
            let mut fold = Fold::new(moment);
            let mut reader = log.read(
                &topic,
                ReadOptions {
                    until,
                    ..ReadOptions::stream(&*subject)
                },
            )?;
            while let Some(event) = reader.next_recorded()? {
                fold.push(&event)?;
            }
            let state = fold.finish()?;
            if !state.known {
                return Err(Error::not_found(format!(
                    "nothing is known about subject {subject:?} in topic {topic:?}"
                )));
            }
            let time = |instant| Timestamp::from_instant(instant).to_string();
            Ok(StateAnswer {
                topic,
                subject,
                at: moment.at.map(time),
                known_at: match moment.known_at {
                    KnownAt::Head => Position::as_count(head).into(),
                    KnownAt::Position(position) => position.get().into(),
                    KnownAt::Time(instant) => time(instant).into(),
                },
                position: state.position.map(Position::get),
                revision: state.revision.map(foretell_types::Revision::get),
                state: state.value,
            })
        })
        .await
    }
}
