//! Room for calls. A call to a webhook takes a connection, and a connection is an open file: with
//! hundreds of subscriptions the log would find none left for its next segment. So each subscription
//! has room for a few calls of its own, which nobody can take from it, and shares the rest with all
//! others.

use foretell_types::limits::{DELIVERIES_ASSURED, DELIVERIES_SHARED};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Of the process, as its files are.
static SHARED: Semaphore = Semaphore::const_new(DELIVERIES_SHARED);

/// Kept until the call ends.
pub(crate) enum Room {
    Own,
    Shared(
        #[expect(dead_code, reason = "dropping it gives the room back")] SemaphorePermit<'static>,
    ),
}

/// Room for one more call of a subscription with so many in flight. `None` if all is taken; then
/// one of its own calls is under way, whose end is the time to ask again.
pub(crate) fn room(in_flight: usize) -> Option<Room> {
    if in_flight < DELIVERIES_ASSURED {
        return Some(Room::Own);
    }
    SHARED.try_acquire().ok().map(Room::Shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_takes_leaves_others_their_own() {
        let taken: Vec<Room> = (0..).map_while(room).collect();
        assert_eq!(taken.len(), DELIVERIES_ASSURED + DELIVERIES_SHARED);
        assert!(room(DELIVERIES_ASSURED).is_none() && room(0).is_some());
        drop(taken);
        assert!(room(DELIVERIES_ASSURED).is_some());
    }
}
