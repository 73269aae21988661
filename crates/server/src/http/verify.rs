use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use foretell_types::Error;
use http::header;
use serde_json::{Value, json};

use super::answer::Answer;
use super::{Server, require_admin};

/// `POST /verify`: reads everything again. JSON lines: `{"progress": [done, total]}` on the way,
/// at the end what was found sound, or `{"error": …}`.
pub async fn verify(State(node): Server, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Value>(64);
    tokio::task::spawn_blocking(move || {
        let mut told = 0;
        let verified = node.log.verify(&mut |done, total| {
            let percent = (done * 100).checked_div(total).unwrap_or(100);
            if percent != told {
                told = percent;
                // Who listens no more need not be told.
                let _ = sender.try_send(json!({ "progress": [done, total] }));
            }
        });
        let last = match verified {
            Ok(found) => json!({
                "commits": found.commits,
                "frames": found.frames,
                "events": found.events,
                "topics": found.topics,
                "root": found.root.to_string(),
                "signed": node.sign_root(found.frames, &found.root),
            }),
            Err(error) => {
                json!({ "error": { "code": error.kind().code(), "message": error.message() } })
            }
        };
        let _ = sender.blocking_send(last);
    });
    let lines = futures::stream::unfold(receiver, |mut receiver| async {
        let value = receiver.recv().await?;
        Some((Ok::<_, Error>(Bytes::from(format!("{value}\n"))), receiver))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}
