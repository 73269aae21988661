use axum::response::{IntoResponse, Response};
use http::header;

/// `GET /openapi.json`: the description of this interface, written by hand beside the routes; a
/// test holds the two together.
pub async fn document() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        include_str!("openapi.json"),
    )
        .into_response()
}
