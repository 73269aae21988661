use async_trait::async_trait;
use foretell_types::Result;
use serde_json::Value as Json;

/// What the resources ask of the server: requests of its HTTP interface, as its administrator.
///
/// Rules:
/// - An answer that isn't a success becomes the error that it tells of, with its kind.
/// - A path is percent-encoded already.
#[async_trait]
pub trait Control: Send + Sync {
    /// The JSON of the answer; null if it has none.
    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Json>;

    /// Where programs reach the server: `http://127.0.0.1:4077`.
    fn url(&self) -> String;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Put,
    Post,
    Delete,
}

/// What is sent along.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    None,
    Json(Json),
    /// As `application/octet-stream`.
    Bytes(Vec<u8>),
}
