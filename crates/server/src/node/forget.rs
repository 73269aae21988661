//! What projections keep is a copy: where a subject is erased, it is dropped and built anew. A
//! small file says up to which erasure that is done, so that one that was cut off is made up for
//! before anything answers.

use std::collections::BTreeSet;
use std::path::Path;

use foretell_log::{EventLog, ReadOptions};
use foretell_types::{Error, Position, Result};
use serde::{Deserialize, Serialize};

use super::erase::{ERASURES, destroy, erased_by};
use super::keys::write_private;
use super::{Node, blocking};

const FILE: &str = "forgotten";

/// Up to which event of the topic of erasures nothing that was erased is kept.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
struct Forgotten {
    /// Of the topic of erasures: another log has another.
    topic_id: uuid::Uuid,
    position: u64,
}

impl Node {
    /// Drops what projections keep of topics of which something was erased since this was done
    /// last. No erasure goes on meanwhile.
    pub(super) async fn forget_erased(&self) -> Result<()> {
        let folder = self.options.data.join("derived");
        let (log, file) = (self.log.clone(), folder.join(FILE));
        let (head, topics) = blocking(move || not_forgotten(&log, &file)).await?;
        let Some(head) = head else {
            return Ok(());
        };
        self.projections.forget(&topics).await?;
        let text = serde_json::to_string(&head)
            .map_err(|error| Error::invalid(format!("{FILE} can't be written: {error}")))?;
        blocking(move || write_private(&folder, FILE, &text)).await
    }
}

/// The topics of erasures that the file doesn't tell of, and what it is to tell; `None` if it
/// tells of all.
fn not_forgotten(log: &EventLog, file: &Path) -> Result<(Option<Forgotten>, Vec<String>)> {
    let here = Forgotten {
        topic_id: log.topic(ERASURES)?.uuid,
        position: Position::as_count(log.head(ERASURES)?),
    };
    // A file that is missing or unreadable tells of none: more is dropped than must be.
    let done = std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Forgotten>(&bytes).ok())
        .filter(|done| done.topic_id == here.topic_id && done.position <= here.position)
        .map_or(0, |done| done.position);
    if done == here.position {
        return Ok((None, Vec::new()));
    }
    let (mut topics, mut keys) = (BTreeSet::new(), Vec::new());
    let mut reader = log.read(ERASURES, ReadOptions::after(Position::new(done)))?;
    while let Some(event) = reader.next_recorded()? {
        let (topic, key) = erased_by(event)?;
        topics.insert(topic);
        keys.push(key);
    }
    // An erasure that failed may have recorded more than it destroyed: what is built anew must not
    // read it.
    destroy(log, &keys)?;
    Ok((Some(here), topics.into_iter().collect()))
}
