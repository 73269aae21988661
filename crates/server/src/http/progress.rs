//! Answers of work that takes its time: JSON lines on the way, at the end its result.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use foretell_types::{Error, Result};
use http::header;
use serde_json::{Value, json};

use super::answer::Answer;

/// Tells how far the work is: what is being done, what is done of it, what there is of it.
pub type Tell<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// `{"progress": [done, total], "step": …}` on the way, then what the work gives, or
/// `{"error": …}`.
pub fn lines(work: impl FnOnce(&mut Tell<'_>) -> Result<Value> + Send + 'static) -> Answer {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Value>(64);
    tokio::task::spawn_blocking(move || {
        let mut told = (String::new(), 0);
        let done = work(&mut |step, done, total| {
            let percent = (done * 100).checked_div(total).unwrap_or(100);
            if (&*told.0, told.1) != (step, percent) {
                told = (step.to_owned(), percent);
                // Who listens no more need not be told.
                let _ = sender.try_send(json!({ "progress": [done, total], "step": step }));
            }
        });
        let last = done.unwrap_or_else(
            |error| json!({ "error": { "code": error.kind().code(), "message": error.message() } }),
        );
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
