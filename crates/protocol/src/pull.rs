//! The bodies and parameters of pull delivery, as in Event Grid namespaces, API version 2024-06-01.

use foretell_types::limits::{
    LOCK_TOKENS, RECEIVE_EVENTS, RECEIVE_WAIT_LEAST_S, RECEIVE_WAIT_MOST_S,
};
use foretell_types::{Error, NewEvent, Result, cloudevents};
use serde_json::{Value, json};

use crate::field::Fields;

/// The service's default of `maxWaitTime`, in seconds.
const WAIT_S: u64 = 60;
/// What `releaseDelayInSeconds` may be.
const RELEASE_DELAYS_S: [u64; 5] = [0, 10, 60, 600, 3_600];

/// An event as a receiver gets it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub lock_token: &'a str,
    /// From 1.
    pub delivery_count: u32,
    pub event: &'a NewEvent,
}

/// `maxEvents`.
pub fn max_events(given: Option<u64>) -> Result<usize> {
    let count = given.unwrap_or(1);
    match count {
        1.. if count <= RECEIVE_EVENTS as u64 => Ok(count as usize),
        _ => Err(Error::invalid(format!(
            "maxEvents is {count}: expected a whole number from 1 to {RECEIVE_EVENTS}"
        ))),
    }
}

/// `maxWaitTime`, in seconds.
pub fn max_wait_s(given: Option<u64>) -> Result<u64> {
    let wait = given.unwrap_or(WAIT_S);
    if (RECEIVE_WAIT_LEAST_S as u64..=RECEIVE_WAIT_MOST_S as u64).contains(&wait) {
        return Ok(wait);
    }
    Err(Error::invalid(format!(
        "maxWaitTime is {wait}: expected a whole number of seconds from {RECEIVE_WAIT_LEAST_S} to {RECEIVE_WAIT_MOST_S}"
    )))
}

/// `releaseDelayInSeconds`.
pub fn release_delay_s(given: Option<u64>) -> Result<u64> {
    let delay = given.unwrap_or(0);
    if RELEASE_DELAYS_S.contains(&delay) {
        return Ok(delay);
    }
    Err(Error::invalid(format!(
        "releaseDelayInSeconds is {delay}: expected {}",
        RELEASE_DELAYS_S.map(|delay| delay.to_string()).join(", ")
    )))
}

/// The tokens of `{"lockTokens": […]}`.
pub fn lock_tokens(body: &Value) -> Result<Vec<String>> {
    let fields = Fields::of("", body)?;
    fields.only(&["lockTokens"])?;
    let tokens = fields.texts("lockTokens")?.unwrap_or_default();
    if tokens.is_empty() {
        return Err(Error::invalid(
            "lockTokens is missing or empty: send those of received events",
        ));
    }
    if tokens.len() > LOCK_TOKENS {
        return Err(Error::invalid(format!(
            "lockTokens holds {}: at most {LOCK_TOKENS} are allowed in a request",
            tokens.len()
        )));
    }
    Ok(tokens)
}

/// The answer to a receive request.
pub fn received_json<'a>(deliveries: impl IntoIterator<Item = Delivery<'a>>) -> String {
    let mut out = String::from("{\"value\":[");
    for (index, delivery) in deliveries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let broker = json!({
            "lockToken": delivery.lock_token,
            "deliveryCount": delivery.delivery_count,
        });
        out += &format!(
            "{{\"brokerProperties\":{broker},\"event\":{}}}",
            cloudevents::to_json(delivery.event)
        );
    }
    out + "]}"
}

/// The answer to a request about locks; a token that failed comes with a code and a message.
pub fn settled_json<'a>(
    succeeded: &[String],
    failed: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
) -> Value {
    let failed: Vec<Value> = failed
        .into_iter()
        .map(|(token, code, message)| {
            json!({ "lockToken": token, "error": { "code": code, "message": message } })
        })
        .collect();
    json!({ "failedLockTokens": failed, "succeededLockTokens": succeeded })
}
