//! Identities that derive from (subscription, generation, input position, index), so that what is
//! delivered again makes nothing new.

use uuid::Uuid;

const NAMESPACE: Uuid = Uuid::from_u128(0x1f7b_7a0e_56d1_4c1b_9b5c_66f0_72ad_9e55);

/// The identity of an invocation. `subscription` is the id that the subscription was made with.
pub(crate) fn invocation(subscription: Uuid, generation: u64, position: u64) -> Uuid {
    let text = format!("{subscription}/{generation}/{position}");
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}

/// The identity of an invocation's output.
pub(crate) fn output(invocation: Uuid, index: usize) -> Uuid {
    Uuid::new_v5(&invocation, index.to_string().as_bytes())
}
