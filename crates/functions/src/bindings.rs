//! Inputs of an invocation, and the container and name that a blob path means.

use bytes::Bytes;
use foretell_delivery::{Failure, FailureKind, Invocation};
use foretell_storage::check_blob;
use foretell_types::{
    Error, ErrorKind, Result, Timestamp, check_container, cloudevents, eventgrid,
};

use crate::AppOptions;
use crate::expression::Scope;
use crate::plan::{BlobPath, Plan, Source};

/// The inputs of an invocation in their order; `None` for a blob that isn't there.
pub(crate) async fn read(
    plan: &Plan,
    invocation: &Invocation,
    options: &AppOptions,
) -> Result<Vec<Option<Bytes>>, Failure> {
    let mut inputs = Vec::with_capacity(plan.inputs.len());
    for source in &plan.inputs {
        inputs.push(match source {
            Source::Event => Some(event(plan, invocation)),
            Source::Blob(path) => {
                let (container, name) = {
                    let scope = Scope::new(&plan.info.name, invocation);
                    blob(path, &scope, options).map_err(|error| unresolved(&error))?
                };
                options
                    .storage
                    .get(&container, &name)
                    .await
                    .map_err(|error| {
                        Failure::new(FailureKind::Aborted, format!("blob input: {error}"))
                    })?
            }
        });
    }
    Ok(inputs)
}

/// The event in the schema that the function wants. One without a time has its recorded time.
fn event(plan: &Plan, invocation: &Invocation) -> Bytes {
    let recorded = &invocation.event;
    if !plan.cloud_event {
        return eventgrid::to_json(&recorded.event, Some(recorded.recorded_time)).into();
    }
    if recorded.event.time.is_some() {
        return cloudevents::to_json(&recorded.event).into();
    }
    let mut event = recorded.event.clone();
    event.time = Some(Timestamp::from_instant(recorded.recorded_time));
    cloudevents::to_json(&event).into()
}

/// Container and name of a path, checked. An account that isn't there is the default one, so that
/// an app runs here with the connection string that it has on Azure.
pub(crate) fn blob(
    place: &BlobPath,
    scope: &Scope<'_>,
    options: &AppOptions,
) -> Result<(String, String)> {
    let path = place.path.resolve(scope)?;
    let (container, name) = path.split_once('/').ok_or_else(|| {
        Error::invalid(format!(
            "the blob path {path:?} names no blob: expected container/name"
        ))
    })?;
    check_container(container)?;
    check_blob(name)?;
    let account = place.account.as_deref();
    let container = match account.filter(|account| (options.is_account)(account)) {
        Some(account) => format!("{account}:{container}"),
        None => container.to_owned(),
    };
    Ok((container, name.to_owned()))
}

/// The event doesn't hold what a binding expression names, or what it holds is no blob name.
pub(crate) fn unresolved(error: &Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::TooLarge => FailureKind::PayloadTooLarge,
        _ => FailureKind::BadRequest,
    };
    Failure::new(kind, format!("blob binding: {error}"))
}
