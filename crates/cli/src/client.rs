//! How a command reaches its data: through the server that holds the data directory or that
//! `--server` names, or, where there is none, by opening the directory and calling the same HTTP
//! interface without a socket. There is one way for a command to do anything.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use foretell_log::DirectoryLock;
use foretell_protocol::error_from_body;
use foretell_server::{Application, Node, NodeOptions};
use foretell_types::{Error, ErrorKind, Result};
use futures::{Stream, StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::Globals;
use crate::output::bar;
use crate::trust::Trust;

/// How long to wait for another command that holds the data directory.
const WAIT_FOR_LOCK: Duration = Duration::from_secs(10);
const SAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

type Router = BoxCloneSyncService<axum::extract::Request, axum::response::Response, Infallible>;

/// A way to the HTTP interface.
pub struct Client {
    way: Way,
    key: Option<String>,
}

enum Way {
    Remote { http: reqwest::Client, url: String },
    Local { router: Router, node: Arc<Node> },
}

/// A request to be sent.
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Content,
}

/// What a request carries.
enum Content {
    Bytes(Bytes),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>),
}

impl Content {
    fn into_local(self) -> Body {
        match self {
            Content::Bytes(bytes) => Body::from(bytes),
            Content::Stream(stream) => Body::from_stream(stream),
        }
    }

    fn into_remote(self) -> reqwest::Body {
        match self {
            Content::Bytes(bytes) => bytes.into(),
            Content::Stream(stream) => reqwest::Body::wrap_stream(stream),
        }
    }
}

/// An answer whose status is a success.
pub struct Answer {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

/// Checks the URL of a server.
fn server_url(url: &str) -> std::result::Result<String, String> {
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    is_url.then(|| url.to_owned()).ok_or_else(|| {
        format!(
            "{url:?} is not the URL of a server: expected http://HOST:PORT or https://HOST:PORT"
        )
    })
}

/// The server that a user names: none if it is the variable of the environment, and empty.
pub fn server_option(url: &str) -> std::result::Result<String, String> {
    match url {
        "" => Ok(String::new()),
        url => server_url(url),
    }
}

/// Encodes one part of a path, or the value of a query parameter.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, SAFE).to_string()
}

impl Request {
    pub fn new(method: Method, path: impl Into<String>) -> Request {
        Request {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Content::Bytes(Bytes::new()),
        }
    }

    pub fn get(path: impl Into<String>) -> Request {
        Request::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>) -> Request {
        Request::new(Method::POST, path)
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Request {
        self.body = Content::Bytes(body.into());
        self.header("content-type", content_type)
    }

    /// A body that is made as it is sent.
    pub fn stream(
        mut self,
        content_type: &str,
        body: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Request {
        self.body = Content::Stream(Box::pin(body));
        self.header("content-type", content_type)
    }

    pub fn json(self, value: &Value) -> Request {
        self.body("application/json", value.to_string())
    }
}

impl Client {
    /// Finds the way. `create`: a data directory that isn't there is made.
    pub async fn connect(globals: &Globals, create: bool) -> Result<Client> {
        if let Some(running) = Client::running(globals).await? {
            return Ok(running);
        }
        let data = &globals.data;
        if !create && !data.exists() {
            return Err(Error::not_found(format!(
                "there is no data directory at {}: name one with --data or FORETELL_DATA, or begin with `foretell topic create NAME` or `foretell serve`",
                data.display()
            )));
        }
        let began = Instant::now();
        loop {
            let options = NodeOptions {
                data: data.clone(),
                application: Application::none(),
                deliver: false,
            };
            match Node::open(options).await {
                Ok(node) => {
                    let key = Some(node.admin_key().as_str().to_owned());
                    let router = foretell_server::router(node.clone());
                    return Ok(Client {
                        way: Way::Local { router, node },
                        key,
                    });
                }
                Err(error) if error.kind() == ErrorKind::Fenced => {
                    // A server may just have started.
                    if let Some(client) = Client::of_holder(data, globals).await? {
                        return Ok(client);
                    }
                    if began.elapsed() > WAIT_FOR_LOCK {
                        return Err(error.context("waited for another command to end"));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server that `--server` names, or the one that holds the data directory; `None` if the
    /// directory has to be opened.
    pub async fn running(globals: &Globals) -> Result<Option<Client>> {
        match globals.server.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => {
                let trust = globals.ca.clone().map_or(Trust::System, Trust::Only);
                Client::trusting(url, globals.key.clone(), &trust).map(Some)
            }
            None => Client::of_holder(&globals.data, globals).await,
        }
    }

    /// The server that holds a data directory, if it answers.
    async fn of_holder(data: &Path, globals: &Globals) -> Result<Option<Client>> {
        let Some(url) = DirectoryLock::holder(data).and_then(|holder| holder.url) else {
            return Ok(None);
        };
        let key = match &globals.key {
            Some(key) => Some(key.clone()),
            None => foretell_server::admin_key(data)?.map(|key| key.as_str().to_owned()),
        };
        let certificate = foretell_server::server_certificate(data)?;
        let trust = certificate.map_or(Trust::System, Trust::Exactly);
        let client = Client::trusting(&url, key, &trust).map_err(|error| {
            let lock = data.join("LOCK");
            error.context(format_args!(
                "{} is held by a server and does not say where it listens: name it by --server, or stop it",
                lock.display()
            ))
        })?;
        let alive = client.send(Request::get("/healthz")).await.is_ok();
        Ok(alive.then_some(client))
    }

    /// A client of a server that the system trusts.
    pub fn remote(url: &str, key: Option<String>) -> Result<Client> {
        Client::trusting(url, key, &Trust::System)
    }

    /// A client of a server.
    fn trusting(url: &str, key: Option<String>, trust: &Trust) -> Result<Client> {
        let url = server_url(url).map_err(Error::invalid)?;
        let http = trust
            .apply(reqwest::Client::builder())?
            .pool_max_idle_per_host(64)
            .build()
            .map_err(|error| Error::unavailable(format!("can't make an HTTP client: {error}")))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Client {
            way: Way::Remote { http, url },
            key,
        })
    }

    /// The URL of the server; none where the directory was opened without one.
    pub fn url(&self) -> Option<&str> {
        match &self.way {
            Way::Remote { url, .. } => Some(url),
            Way::Local { .. } => None,
        }
    }

    /// Sends a request; an answer that isn't a success becomes the error it tells of.
    pub async fn send(&self, mut request: Request) -> Result<Answer> {
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let (status, answer) = match &self.way {
            Way::Remote { http, url } => send_remote(http, url, request).await?,
            Way::Local { router, .. } => send_local(router, request).await?,
        };
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await?;
        Err(error_from_body(status, &body))
    }

    /// Sends a request for work that takes its time, and follows how far it is on the standard
    /// error; gives its result.
    pub async fn follow(&self, request: Request) -> Result<Value> {
        let mut lines = self.send(request).await?.lines();
        let progress = bar(0, "");
        while let Some(text) = lines.next().await {
            let text = text?;
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if let [done, total] = &value["progress"].as_array().map_or(&[][..], Vec::as_slice) {
                progress.set_message(value["step"].as_str().unwrap_or("").to_owned());
                progress.set_length(total.as_u64().unwrap_or(0));
                progress.set_position(done.as_u64().unwrap_or(0));
                continue;
            }
            progress.finish_and_clear();
            if value["error"].is_object() {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Err(error_from_body(status, text.as_bytes()));
            }
            return Ok(value);
        }
        Err(Error::unavailable("the answer was cut off"))
    }

    /// Ends what was begun: a directory that was opened is closed.
    pub async fn close(self) {
        if let Way::Local { node, .. } = self.way {
            node.close().await;
        }
    }
}

async fn send_remote(
    http: &reqwest::Client,
    url: &str,
    request: Request,
) -> Result<(StatusCode, Answer)> {
    let mut built = http
        .request(request.method, format!("{url}{}", request.path))
        .body(request.body.into_remote());
    for (name, value) in &request.headers {
        built = built.header(*name, value);
    }
    let unreachable = |error: reqwest::Error| {
        let hint = match tls_failure(&error) {
            Some(why) => format!(
                ": {why}; name the certificate to trust with --ca, see whether it speaks http"
            ),
            None if error.is_connect() => ": is it running?".to_owned(),
            None if url.starts_with("http:") => ": does it speak https?".to_owned(),
            None => String::new(),
        };
        Error::new(
            ErrorKind::Io,
            format!(
                "server {url} can't be reached{hint} ({})",
                error.without_url()
            ),
        )
    };
    let response = built.send().await.map_err(unreachable)?;
    let status = response.status();
    let stream = response.bytes_stream().map_err(|error| {
        Error::new(
            ErrorKind::Io,
            format!(
                "the server's answer ended early, its log says why: {}",
                error.without_url()
            ),
        )
    });
    Ok((
        status,
        Answer {
            stream: Box::pin(stream),
        },
    ))
}

/// What went wrong with TLS, if that is what did.
fn tls_failure<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    // An I/O error doesn't show what it wraps as its source.
    let wrapped = error.downcast_ref::<std::io::Error>();
    match wrapped.and_then(std::io::Error::get_ref) {
        Some(inner) => tls_failure(inner),
        None => tls_failure(error.source()?),
    }
}

async fn send_local(router: &Router, request: Request) -> Result<(StatusCode, Answer)> {
    let mut built = http::Request::builder()
        .method(request.method)
        .uri(request.path);
    for (name, value) in &request.headers {
        built = built.header(*name, value);
    }
    let built = built
        .body(request.body.into_local())
        .map_err(|error| Error::invalid(format!("the request can't be made: {error}")))?;
    let mut service = router.clone();
    let response = match service.ready().await {
        Ok(ready) => ready.call(built).await,
        Err(never) => match never {},
    };
    let response = match response {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let stream =
        body.into_data_stream()
            .map_err(|error| match error.into_inner().downcast::<Error>() {
                Ok(error) => *error,
                Err(other) => Error::new(ErrorKind::Io, format!("the answer ended early: {other}")),
            });
    Ok((
        parts.status,
        Answer {
            stream: Box::pin(stream),
        },
    ))
}

impl Answer {
    pub async fn bytes(self) -> Result<Vec<u8>> {
        self.stream
            .try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
    }

    /// The answer as it comes.
    pub fn pieces(self) -> impl Stream<Item = Result<Bytes>> + Unpin {
        self.stream
    }

    pub async fn json(self) -> Result<Value> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("the server's answer is not JSON: {error}"),
            )
        })
    }

    /// The lines of the answer, as they come.
    pub fn lines(self) -> impl Stream<Item = Result<String>> + Unpin {
        let state = (self.stream, Vec::<u8>::new(), false);
        Box::pin(futures::stream::unfold(
            state,
            |(mut stream, mut rest, ended)| async move {
                loop {
                    if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = rest.drain(..=end).collect();
                        let text = String::from_utf8_lossy(&line[..end]).into_owned();
                        return Some((Ok(text), (stream, rest, ended)));
                    }
                    if ended {
                        return None;
                    }
                    match stream.next().await {
                        Some(Ok(piece)) => rest.extend_from_slice(&piece),
                        Some(Err(error)) => return Some((Err(error), (stream, Vec::new(), true))),
                        None if rest.is_empty() => return None,
                        None => {
                            let text = String::from_utf8_lossy(&rest).into_owned();
                            return Some((Ok(text), (stream, Vec::new(), true)));
                        }
                    }
                }
            },
        ))
    }
}
