//! What a handler returned: whether it can be applied, and where it came from.

use foretell_storage::{check_blob, check_container_of};
use foretell_types::limits::{CAUSATION_DEPTH, INVOCATION_OUTPUT_BYTES, INVOCATION_OUTPUTS};
use foretell_types::{Error, ErrorKind, ExtensionValue, RecordedEvent, Result};

use crate::handler::{Failure, FailureKind, Invocation, Outcome, OutputEvent};
use crate::identity;

/// How deep an event lies in a chain of events returned on events.
const DEPTH: &str = "causationdepth";
/// The event that an event was returned on: `TOPIC/POSITION`.
const CAUSE: &str = "causationid";

/// Refuses what could be journaled but never applied.
pub(crate) fn check(outcome: &Outcome) -> Result<(), Error> {
    for blob in &outcome.blobs {
        check_container_of(&blob.container)?;
        check_blob(&blob.name)?;
    }
    let outputs = outcome.blobs.len() + outcome.events.len();
    let blobs = outcome.blobs.iter().map(|blob| blob.content.len());
    let events = outcome.events.iter().map(|output| output.event.data.len());
    let bytes = blobs.sum::<usize>() + events.sum::<usize>();
    if outputs > INVOCATION_OUTPUTS || bytes > INVOCATION_OUTPUT_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{outputs} outputs of {bytes} bytes: at most {INVOCATION_OUTPUTS} of {INVOCATION_OUTPUT_BYTES} bytes are allowed"
            ),
        ));
    }
    Ok(())
}

/// Gives an output event its identity and its cause.
pub(crate) fn caused(
    invocation: &Invocation,
    mut output: OutputEvent,
    index: usize,
) -> Result<OutputEvent, Failure> {
    let depth = depth(&invocation.event) + 1;
    if depth > CAUSATION_DEPTH as i32 {
        let message = format!(
            "a chain of events that functions return on events is longer than {CAUSATION_DEPTH}"
        );
        return Err(Failure {
            permanent: true,
            ..Failure::new(FailureKind::Aborted, message)
        });
    }
    let event = &mut output.event;
    event.id = identity::output(invocation.id, index).to_string();
    let cause = format!("{}/{}", invocation.topic, invocation.event.position);
    event.set_extension(CAUSE, ExtensionValue::String(cause));
    event.set_extension(DEPTH, ExtensionValue::Integer(depth));
    Ok(output)
}

fn depth(event: &RecordedEvent) -> i32 {
    match event.extension(DEPTH) {
        Some(ExtensionValue::Integer(depth)) => (*depth).clamp(0, CAUSATION_DEPTH as i32),
        _ => 0,
    }
}
