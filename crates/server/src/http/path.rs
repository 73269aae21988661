use std::borrow::Cow;

use axum::extract::Request;
use foretell_types::{Error, Result};
use http::Uri;
use percent_encoding::percent_decode_str;

use crate::Node;

/// Path names are matched without regard to case: the fixed parts become lower case, the names
/// of topics what they were defined as. Subjects stay as they are.
pub fn normalise(node: &Node, mut request: Request) -> Result<Request> {
    let path = request.uri().path();
    if percent_decode_str(path).decode_utf8().is_err() {
        return Err(Error::invalid(format!(
            "the path {path} is percent-encoded, and not UTF-8"
        )));
    }
    let mut parts: Vec<Cow<'_, str>> = path.split('/').map(Cow::Borrowed).collect();
    // Azure's clients may end a path with a slash.
    while parts.len() > 2 && parts.last().is_some_and(|part| part.is_empty()) && !is_subject(&parts)
    {
        parts.pop();
    }
    lower(&mut parts, 1);
    in_namespace(&mut parts);
    split_operation(&mut parts);
    match (parts.get(1).map(|part| &**part), parts.len()) {
        (Some("topics"), _) => {
            if let Some(name) = parts.get_mut(2)
                && let Ok(topic) = node.topic(name)
                && topic.config.name != **name
            {
                *name = topic.config.name.clone().into();
            }
            lower(&mut parts, 3);
            let at = parts.len() - 1;
            if parts[at].starts_with(':') && at > 2 {
                lower(&mut parts, at);
            }
            if parts.get(3).is_some_and(|part| part == "api") {
                lower(&mut parts, 4);
            }
            if parts
                .get(3)
                .is_some_and(|part| part == "eventsubscriptions")
            {
                lower(&mut parts, 5);
            }
        }
        (Some("deadletters"), _) => lower(&mut parts, 2),
        // /functions/{app}/logs, /functions/{app}/{function}/invoke
        (Some("functions"), length) if length > 3 => lower(&mut parts, length - 1),
        (Some("storageaccounts" | "namespaces"), _) => {
            lower(&mut parts, 3);
            // …/containers/{container}/blobs/{blob}
            lower(&mut parts, 5);
        }
        _ => {}
    }
    if path.split('/').eq(parts.iter().map(|part| &**part)) {
        return Ok(request);
    }
    let mut path = parts.join("/");
    if let Some(query) = request.uri().query() {
        path = format!("{path}?{query}");
    }
    *request.uri_mut() = path
        .parse::<Uri>()
        .map_err(|error| Error::invalid(format!("{path:?} is not a path: {error}")))?;
    Ok(request)
}

/// A topic's path in its namespace, `/namespaces/NAMESPACE/topics/TOPIC`, is that of the topic
/// `NAMESPACE.TOPIC`.
fn in_namespace(parts: &mut Vec<Cow<'_, str>>) {
    let is = |at: usize, name: &str| {
        let part = parts.get(at);
        part.is_some_and(|part| part.eq_ignore_ascii_case(name))
    };
    if is(1, "namespaces") && is(3, "topics") && parts.len() > 4 {
        let topic = format!("{}.{}", parts[2], parts[4]);
        parts.splice(1..5, ["topics".into(), topic.into()]);
    }
}

/// The operation of a namespace's path stands behind a colon, `/topics/shop:publish`: it becomes a
/// segment of its own, for the router knows no other. Names hold no colon.
fn split_operation(parts: &mut Vec<Cow<'_, str>>) {
    let resource = match parts.get(1).map(|part| &**part) {
        Some("topics") if parts.len() == 3 => 2,
        Some("topics") if parts.len() == 5 => 4,
        _ => return,
    };
    let subject = resource == 4 && !parts[3].eq_ignore_ascii_case("eventsubscriptions");
    if !subject && let Some(at) = parts[resource].find(':') {
        let operation = parts[resource].to_mut().split_off(at);
        parts.push(operation.into());
    }
}

fn lower(parts: &mut [Cow<'_, str>], index: usize) {
    if let Some(part) = parts.get_mut(index)
        && part.contains(|c: char| c.is_ascii_uppercase())
    {
        part.to_mut().make_ascii_lowercase();
    }
}

/// A subject may end with a slash of its own; an empty one is none.
fn is_subject(parts: &[Cow<'_, str>]) -> bool {
    parts.len() > 5
        && parts.get(3).is_some_and(|part| {
            part.eq_ignore_ascii_case("streams") || part.eq_ignore_ascii_case("state")
        })
}
