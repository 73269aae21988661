use axum::extract::{Request, State};
use serde_json::json;

use super::answer::Answer;
use super::{Server, progress, require_admin};

/// `POST /verify`: reads everything again; lines as `progress` has them, at the end what was found
/// sound.
pub async fn verify(State(node): Server, request: Request) -> Answer {
    require_admin(&node, &request)?;
    progress::lines(move |tell| {
        let found = node
            .log
            .verify(&mut |done, total| tell("verifying", done, total))?;
        Ok(json!({
            "commits": found.commits,
            "frames": found.frames,
            "events": found.events,
            "topics": found.topics,
            "root": found.root.to_string(),
            "signed": node.sign_root(found.frames, &found.root),
        }))
    })
}
