use axum::extract::Request;
use http::Uri;

use crate::Node;

/// Path names are matched without regard to case: the fixed parts become lower case, the names
/// of topics and subscriptions what they were defined as. Subjects stay as they are.
pub fn normalise(node: &Node, mut request: Request) -> Request {
    let path = request.uri().path();
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    // Azure's clients may end a path with a slash.
    while parts.len() > 2 && parts.last().is_some_and(String::is_empty) && !is_subject(&parts) {
        parts.pop();
    }
    lower(&mut parts, 1);
    if parts.get(1).is_some_and(|part| part == "topics") {
        if let Some(name) = parts.get_mut(2)
            && let Ok(topic) = node.topic(name)
        {
            name.clone_from(&topic.config.name);
        }
        lower(&mut parts, 3);
        if parts.get(3).is_some_and(|part| part == "api") {
            lower(&mut parts, 4);
        }
    }
    let mut path = parts.join("/");
    if let Some(query) = request.uri().query() {
        path = format!("{path}?{query}");
    }
    if let Ok(uri) = path.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

fn lower(parts: &mut [String], index: usize) {
    if let Some(part) = parts.get_mut(index) {
        part.make_ascii_lowercase();
    }
}

/// A subject may end with a slash of its own.
fn is_subject(parts: &[String]) -> bool {
    parts.len() > 4
        && parts.get(3).is_some_and(|part| {
            part.eq_ignore_ascii_case("streams") || part.eq_ignore_ascii_case("state")
        })
}
