use async_trait::async_trait;
use foretell_provision::{Body, Control, History, Method, StackEvent, StackName, StackStore};
use foretell_types::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::client::{Client, Request, encode};

/// Where topics have their endpoints while no server runs.
const LATER: &str = "http://127.0.0.1:4077";

/// The server whose parts the resources are, and which keeps the stacks.
pub struct Server {
    client: Client,
    url: String,
}

impl Server {
    pub fn new(client: Client) -> Server {
        let url = client.url().unwrap_or(LATER).to_owned();
        Server { client, url }
    }

    pub async fn close(self) {
        self.client.close().await;
    }
}

fn path(stack: &StackName) -> String {
    format!(
        "/stacks/{}/{}",
        encode(&stack.project),
        encode(&stack.stack)
    )
}

#[async_trait]
impl Control for Server {
    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Value> {
        let method = match method {
            Method::Get => http::Method::GET,
            Method::Put => http::Method::PUT,
            Method::Post => http::Method::POST,
            Method::Delete => http::Method::DELETE,
        };
        let request = Request::new(method, path);
        let request = match body {
            Body::None => request,
            Body::Json(json) => request.json(&json),
            Body::Bytes(bytes) => request.body("application/octet-stream", bytes),
        };
        let bytes = self.client.send(request).await?.bytes().await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("the server's answer is not JSON: {error}"),
            )
        })
    }

    fn url(&self) -> String {
        self.url.clone()
    }
}

#[async_trait]
impl StackStore for Server {
    async fn load(&self, stack: &StackName) -> Result<History> {
        let answer = self
            .client
            .send(Request::get(path(stack)))
            .await?
            .json()
            .await?;
        let mut events = Vec::new();
        if let Value::Array(items) = answer {
            for mut item in items {
                let kind = item["type"].as_str().unwrap_or("").to_owned();
                events.push(StackEvent::from_parts(&kind, item["data"].take())?);
            }
        }
        Ok(History { events })
    }

    async fn append(&self, stack: &StackName, length: u64, events: &[StackEvent]) -> Result<()> {
        let events = events.iter().map(|event| {
            let (kind, data) = event.parts();
            json!({ "type": kind, "data": data })
        });
        let request = Request::post(format!("{}?length={length}", path(stack)))
            .json(&Value::Array(events.collect()));
        self.client.send(request).await?.bytes().await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<StackName>> {
        let answer = self
            .client
            .send(Request::get("/stacks"))
            .await?
            .json()
            .await?;
        let names = answer
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let names = names.filter_map(|name| name.split_once('/'));
        names
            .map(|(project, stack)| StackName::new(project, stack))
            .collect()
    }
}
