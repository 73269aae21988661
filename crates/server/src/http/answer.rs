use axum::body::Body;
use axum::response::{IntoResponse, Response};
use foretell_protocol::{Face, Reply};
use foretell_types::{Error, Instant};
use http::{HeaderValue, StatusCode, header};

/// An error on its way to a client, in the form that the endpoint's clients expect.
pub struct Failed {
    error: Error,
    event_grid: Option<(String, Instant)>,
}

/// What a handler answers.
pub type Answer = Result<Response, Failed>;

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed {
            error,
            event_grid: None,
        }
    }
}

impl Failed {
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// In the form of Event Grid's own endpoints.
    pub fn event_grid(error: Error, request_id: String, now: Instant) -> Failed {
        Failed {
            error,
            event_grid: Some((request_id, now)),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let face = match &self.event_grid {
            Some((request_id, now)) => Face::EventGrid {
                request_id,
                now: *now,
            },
            None => Face::Own,
        };
        let reply = Reply::from_error(&self.error, face);
        if reply.status.is_server_error() {
            tracing::warn!(error = %self.error, status = reply.status.as_u16(), "a request failed");
        }
        let mut response = Response::new(Body::from(reply.body));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        if let Some(seconds) = reply.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON answer.
pub fn json(value: &impl serde::Serialize) -> Answer {
    json_with(StatusCode::OK, value)
}

/// A JSON answer with a status.
pub fn json_with(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::unavailable(format!("the answer can't be written: {error}")))?;
    Ok((
        status,
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        text,
    )
        .into_response())
}

pub async fn no_route(uri: http::Uri) -> Failed {
    Error::not_found(format!(
        "there is nothing at {}: see /openapi.json",
        uri.path()
    ))
    .into()
}

pub async fn no_method(method: http::Method, uri: http::Uri) -> Response {
    let message = format!("{} does not take {method}: see /openapi.json", uri.path());
    let mut response = Failed::from(Error::invalid(message)).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}
