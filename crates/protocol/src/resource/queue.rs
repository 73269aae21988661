//! The `deliveryConfiguration` of an event subscription of a namespace: its events are received
//! from a queue, or pushed.

use foretell_types::limits::{
    DELIVERY_ATTEMPTS, EVENT_TTL_MINUTES, PULL_DELIVERIES, PULL_TTL_MINUTES, RECEIVE_LOCK_LEAST_S,
    RECEIVE_LOCK_MOST_S,
};
use foretell_types::{Error, Result};
use serde_json::{Value, json};

use super::SubscriptionDefinition;
use super::subscription::dead_letter;
use crate::field::Fields;

/// `properties.deliveryConfiguration.queue`; an empty one if only the mode is given.
pub(super) fn find<'a>(properties: &Fields<'a>) -> Result<Option<Fields<'a>>> {
    let Some(configuration) = properties.object("deliveryConfiguration")? else {
        return Ok(None);
    };
    configuration.only(&["deliveryMode", "queue", "push"])?;
    let mode = configuration.text("deliveryMode")?.unwrap_or("");
    if mode.eq_ignore_ascii_case("Push") {
        return Ok(None);
    }
    if !mode.eq_ignore_ascii_case("Queue") {
        return Err(Error::invalid(format!(
            "{} is {mode:?}: expected Queue or Push",
            configuration.name_of("deliveryMode")
        )));
    }
    let missing = || Error::invalid(format!("{} is missing", configuration.name_of("queue")));
    configuration.object("queue")?.ok_or_else(missing).map(Some)
}

/// Reads the queue into a definition.
pub(super) fn read(queue: &Fields<'_>, definition: &mut SubscriptionDefinition) -> Result<()> {
    queue.only(&[
        "receiveLockDurationInSeconds",
        "maxDeliveryCount",
        "eventTimeToLive",
        "deadLetterDestinationWithResourceIdentity",
        // Not Event Grid's.
        "ordering",
    ])?;
    let name = "receiveLockDurationInSeconds";
    definition.lock_seconds = queue.count(name, RECEIVE_LOCK_MOST_S)?;
    if let Some(seconds) = definition.lock_seconds
        && (seconds as usize) < RECEIVE_LOCK_LEAST_S
    {
        return Err(Error::invalid(format!(
            "{} is {seconds}: expected a whole number from {RECEIVE_LOCK_LEAST_S} to {RECEIVE_LOCK_MOST_S}",
            queue.name_of(name)
        )));
    }
    if let Some(count) = queue.count("maxDeliveryCount", PULL_DELIVERIES)? {
        definition.max_delivery_attempts = count;
    }
    if let Some(minutes) = time_to_live(queue, PULL_TTL_MINUTES)? {
        definition.event_ttl_minutes = minutes;
    }
    if let Some(text) = queue.text("ordering")? {
        let ordered = ordering(text).map_err(|error| error.context(queue.name_of("ordering")))?;
        definition.ordered = Some(ordered);
    }
    read_dead_letter(queue, definition)
}

/// The dead letters of a queue, or of what is pushed. No identity is needed to reach an account.
fn read_dead_letter(fields: &Fields<'_>, definition: &mut SubscriptionDefinition) -> Result<()> {
    if let Some(identified) = fields.object("deadLetterDestinationWithResourceIdentity")? {
        identified.only(&["identity", "deadLetterDestination"])?;
        definition.dead_letter = dead_letter(&identified)?;
    }
    Ok(())
}

fn time_to_live(fields: &Fields<'_>, most: usize) -> Result<Option<u32>> {
    let Some(text) = fields.text("eventTimeToLive")? else {
        return Ok(None);
    };
    let minutes = minutes(text).filter(|m| (1..=most as u64).contains(m));
    let minutes = minutes.ok_or_else(|| {
        Error::invalid(format!(
            "{} is {text:?}: expected whole minutes as an ISO 8601 duration such as P1DT12H30M, at most {most} minutes",
            fields.name_of("eventTimeToLive")
        ))
    })?;
    Ok(Some(minutes as u32))
}

/// `properties.deliveryConfiguration.push`, which holds a destination.
pub(super) fn find_push<'a>(properties: &Fields<'a>) -> Result<Option<Fields<'a>>> {
    let Some(configuration) = properties.object("deliveryConfiguration")? else {
        return Ok(None);
    };
    let mode = configuration.text("deliveryMode")?.unwrap_or("");
    if !mode.eq_ignore_ascii_case("Push") {
        return Ok(None);
    }
    let missing = || Error::invalid(format!("{} is missing", configuration.name_of("push")));
    configuration.object("push")?.ok_or_else(missing).map(Some)
}

/// Reads what is pushed into a definition, but for its destination.
pub(super) fn read_push(push: &Fields<'_>, definition: &mut SubscriptionDefinition) -> Result<()> {
    push.only(&[
        "destination",
        "maxDeliveryCount",
        "eventTimeToLive",
        "deadLetterDestinationWithResourceIdentity",
        "deliveryWithResourceIdentity",
    ])?;
    push.unsupported(&[("deliveryWithResourceIdentity", json!({}))])?;
    if let Some(count) = push.count("maxDeliveryCount", DELIVERY_ATTEMPTS)? {
        definition.max_delivery_attempts = count;
    }
    if let Some(minutes) = time_to_live(push, EVENT_TTL_MINUTES)? {
        definition.event_ttl_minutes = minutes;
    }
    read_dead_letter(push, definition)
}

/// The `deliveryConfiguration` of a definition; `dead_letter` is its destination.
pub(super) fn to_json(definition: &SubscriptionDefinition, dead_letter: Option<Value>) -> Value {
    let identified = dead_letter.map(|dead_letter| json!({ "deadLetterDestination": dead_letter }));
    let lock = definition
        .lock_seconds
        .unwrap_or(RECEIVE_LOCK_LEAST_S as u32);
    let mut queue = json!({
        "receiveLockDurationInSeconds": lock,
        "maxDeliveryCount": definition.max_delivery_attempts,
        "eventTimeToLive": duration(definition.event_ttl_minutes),
        "deadLetterDestinationWithResourceIdentity": identified,
    });
    if definition.is_ordered() {
        queue["ordering"] = "subject".into();
    }
    json!({ "deliveryMode": "Queue", "queue": queue })
}

/// Reads an ordering: whether each subject's events are delivered in their order.
pub fn ordering(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Ok(false),
        "subject" => Ok(true),
        _ => Err(Error::invalid(format!(
            "{text:?} is not an ordering: expected none or subject"
        ))),
    }
}

/// The minutes of an ISO 8601 duration of whole days, hours, minutes and seconds; `None` if it is
/// another, or not of whole minutes.
fn minutes(text: &str) -> Option<u64> {
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text.strip_prefix('P')?, ""),
    };
    let mut seconds = 0_u64;
    let mut parts = 0;
    for (mut rest, units) in [
        (days, &[('D', 86_400)][..]),
        (time, &[('H', 3_600), ('M', 60), ('S', 1)]),
    ] {
        for (unit, worth) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                let number: u64 = number.parse().ok().filter(|_| digits)?;
                seconds = seconds.checked_add(number.checked_mul(*worth)?)?;
                parts += 1;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (parts > 0 && seconds.is_multiple_of(60)).then_some(seconds / 60)
}

fn duration(minutes: u32) -> String {
    let (days, hours, left) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    let part = |number: u32, unit: char| match number {
        0 => String::new(),
        _ => format!("{number}{unit}"),
    };
    let time = part(hours, 'H') + &part(left, 'M');
    let time = if time.is_empty() {
        time
    } else {
        format!("T{time}")
    };
    format!("P{}{time}", part(days, 'D'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("P7D", 10_080),
            ("P1DT2H3M", 1_563),
            ("PT1M", 1),
            ("PT60S", 1),
            ("PT90M", 90),
            ("PT1H120S", 62),
        ] {
            assert_eq!(minutes(text), Some(expected), "{text}");
        }
        for wrong in [
            "",
            "P",
            "PT",
            "P1DT",
            "7D",
            "P1M",
            "PT1D",
            "PT1M1H",
            "PT-1M",
            "PT+1M",
            "PT1.5H",
            "PT90S",
            "PTM",
            "P1D1D",
            "PT99999999999999999999M",
            "PT9999999999999999999H",
            "p1d",
        ] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
        for count in [1, 59, 60, 61, 1_439, 1_440, 1_441, 10_080] {
            assert_eq!(minutes(&duration(count)), Some(u64::from(count)));
        }
    }
}
