//! A node on a temporary directory, asked through its router without a socket.

pub mod http;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use foretell_server::{Application, Node, NodeOptions, router};
use serde_json::{Value, json};
use tower::ServiceExt;

pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct World {
    pub folder: tempfile::TempDir,
    pub node: Arc<Node>,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The error's message.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self}");
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

pub async fn open(data: &Path, application: Application) -> foretell_types::Result<Arc<Node>> {
    Node::open(NodeOptions {
        data: data.to_owned(),
        application,
        deliver: true,
    })
    .await
}

/// An application directory with this `foretell.toml`.
pub fn application(folder: &Path, toml: &str) -> foretell_types::Result<Application> {
    let app = folder.join("app");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("foretell.toml"), toml).unwrap();
    Application::read(&app)
}

impl World {
    /// With a topic `shop`.
    pub async fn new() -> World {
        let world = World::empty().await;
        world.put("/topics/shop", json!({})).await.is(201);
        world
    }

    pub async fn empty() -> World {
        World::with("").await
    }

    pub async fn with(toml: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let application = match toml {
            "" => Application::none(),
            toml => application(folder.path(), toml).unwrap(),
        };
        let node = open(&folder.path().join("data"), application)
            .await
            .unwrap();
        World { folder, node }
    }

    /// Closes the node and opens its directory again.
    pub async fn reopen(self, application: Application) -> World {
        let World { folder, node } = self;
        node.close().await;
        wait_for("the node is let go", || Arc::strong_count(&node) == 1).await;
        drop(node);
        let node = open(&folder.path().join("data"), application)
            .await
            .unwrap();
        World { folder, node }
    }

    pub fn admin(&self) -> String {
        self.node.admin_key().as_str().to_owned()
    }

    /// With the headers as they are.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let mut request = ::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        router(self.node.clone()).oneshot(request).await.unwrap()
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let response = self.raw(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let read = axum::body::to_bytes(body, usize::MAX);
        let body = tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_vec(),
        }
    }

    /// As the administrator.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let key = format!("Bearer {}", self.admin());
        let mut all = vec![("authorization", &*key)];
        all.extend(headers);
        self.send(method, path, &all, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], Body::empty()).await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.call(method, path, &headers, body.to_string()).await
    }

    /// Publishes Event Grid events.
    pub async fn publish(&self, events: Value) -> Answer {
        self.post("/topics/shop/api/events", events).await
    }

    pub async fn read(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/topics/shop/events{query}")).await;
        answer.is(200).json().as_array().unwrap().clone()
    }
}

/// An Event Grid event.
pub fn event(id: &str, subject: &str, data: Value) -> Value {
    json!({
        "id": id, "subject": subject, "eventType": "order.placed",
        "eventTime": "2024-05-01T12:00:00Z", "dataVersion": "1.0", "data": data,
    })
}

/// A CloudEvent.
pub fn cloud(id: &str, subject: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/till", "type": "order.placed",
        "subject": subject, "data": {"id": id},
    })
}

pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "waited for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
