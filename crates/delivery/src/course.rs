//! Where a subscription begins, and begins again: what is journaled about it beside its own loop.

use foretell_log::{Append, EventLog};
use foretell_types::{Error, Result};
use uuid::Uuid;

use crate::checkpoint::{Checkpoint, register};

fn key(topic: &str, name: &str) -> String {
    format!("{topic}/{name}")
}

/// Adds to a commit the progress of a new subscription, which begins after a number of the topic's
/// `head` events. `id` is its own: what it delivers is told apart by it from what an earlier
/// subscription of the same name did.
#[must_use]
pub fn create(append: Append, topic: &str, name: &str, after: u64, head: u64, id: Uuid) -> Append {
    let checkpoint = Checkpoint::starting_after(after).in_generation(0, head);
    let key = key(topic, name);
    append
        .register(register::checkpoint(&key), Some(checkpoint.to_bytes()))
        .register(register::id(&key), Some(id.as_bytes().to_vec()))
}

/// Adds to a commit that everything about a subscription's progress is forgotten. It must have
/// been stopped before.
#[must_use]
pub fn forget(mut append: Append, log: &EventLog, topic: &str, name: &str) -> Append {
    for (key, _) in log.registers(&register::all(&key(topic, name))) {
        append = append.register(key, None);
    }
    append
}

/// Adds to a commit that a subscription delivers again what comes after a number of the topic's
/// `head` events, as a new generation. It must have been stopped before.
///
/// What is not settled at or before that place stays as it is. What was after it ends: attempts,
/// locks, and replays of dead letters that were asked for, since all of it is delivered anew.
pub fn rewind(
    mut append: Append,
    log: &EventLog,
    topic: &str,
    name: &str,
    after: u64,
    head: u64,
) -> Result<Append> {
    let Some(before) = progress(log, topic, name)? else {
        let message = format!("there is no subscription {:?}", key(topic, name));
        return Err(Error::not_found(message));
    };
    if after > before.upto {
        return Err(Error::invalid(format!(
            "position {} lies ahead: {} are delivered or under way, and a rewind only goes back",
            after + 1,
            before.upto
        )));
    }
    let key = key(topic, name);
    let mut newest = before.generation;
    for prefix in [register::outcomes(&key), register::replays(&key)] {
        for (register, _) in log.registers(&prefix) {
            let place = register::place(&register[prefix.len()..]);
            newest = newest.max(place.map_or(0, |(_, generation)| generation));
            if place.is_some_and(|(position, _)| position > after) {
                append = append.register(register, None);
            }
        }
    }
    let generations = before.pending.values().map(|pending| pending.generation);
    newest = generations.fold(newest, u64::max);
    // The replay of a dead letter takes the time too: generations grow across both.
    let now = log.environment().clock.now().as_nanos().max(1) as u64;
    let mut checkpoint = Checkpoint::starting_after(after);
    checkpoint.pending = before.pending;
    checkpoint.pending.retain(|position, _| *position <= after);
    let checkpoint = checkpoint.in_generation(now.max(newest + 1), head);
    Ok(append.register(register::checkpoint(&key), Some(checkpoint.to_bytes())))
}

/// A subscription's journaled progress.
pub fn progress(log: &EventLog, topic: &str, name: &str) -> Result<Option<Checkpoint>> {
    log.register(&register::checkpoint(&key(topic, name)))
        .map(|bytes| Checkpoint::from_bytes(&bytes))
        .transpose()
}
