//! Blobs in a stream of NATS JetStream: each is the last message of its subject.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    self, DiscardPolicy, LastRawMessageErrorKind, PersistenceMode, Stream,
};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use foretell_log::Blobs;
use foretell_types::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};

use crate::blocking::Blocking;

/// Headers of a message are counted with its payload.
const HEADER_BYTES: usize = 4 * 1024;
/// Messages that are asked for at a time.
const FETCH: usize = 1_000;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// The server says so of a subject whose message was purged, and of one that never had any.
const NO_MESSAGES_BEHIND: u64 = 0;

/// A stream of NATS JetStream as blobs, for a [`BlobJournal`]: a message is a group. The name
/// `CONTAINER/BLOB` is the subject `STREAM.CONTAINER.BLOB`. A blob is at most as large as a message
/// (`max_payload` of the server), and with it a commit.
///
/// NATS acknowledges a message once a majority of the stream's replicas have written it, but syncs it
/// only every two minutes, unless `sync_interval` is `always`. A server does not tell its clients, so
/// it is asked where it is monitored; one that doesn't sync each message is refused.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Duration;
/// use foretell_log::{BlobJournal, Blobs, Environment, LogOptions};
/// use foretell_storage::{JetStreamBlobs, JetStreamOptions};
///
/// let options = JetStreamOptions {
///     servers: vec!["nats://127.0.0.1:4222".into()],
///     monitors: vec!["http://127.0.0.1:8222".into()],
///     stream: "foretell".into(),
///     replicas: 1,
///     timeout: Duration::from_secs(10),
/// };
/// let blobs: Arc<dyn Blobs> = Arc::new(JetStreamBlobs::connect(&options)?);
/// let (environment, options) = (Environment::real(), LogOptions::default());
/// let journal = BlobJournal::open(&blobs, "events/log", &environment, &options)?;
/// # Ok::<(), foretell_types::Error>(())
/// ```
///
/// [`BlobJournal`]: foretell_log::BlobJournal
pub struct JetStreamBlobs {
    name: String,
    server: Server,
    largest: usize,
    timeout: Duration,
    blocking: Blocking,
}

/// Where it is, and how the stream is made if it isn't there.
#[derive(Clone, Debug)]
pub struct JetStreamOptions {
    /// URLs of NATS servers: any of them, the others are learned from it.
    pub servers: Vec<String>,
    /// The monitoring URLs of all servers that hold the stream: each that is up must sync what it
    /// acknowledges.
    pub monitors: Vec<String>,
    /// Also the first token of all subjects.
    pub stream: String,
    /// How many servers hold the stream.
    pub replicas: usize,
    /// How long an answer is waited for. What was asked may have been done then, or not; an append is
    /// tried three times.
    pub timeout: Duration,
}

impl fmt::Debug for JetStreamBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JetStreamBlobs({})", self.name)
    }
}

fn failed(doing: impl fmt::Display, error: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("can't {doing}: {error}"))
}

impl JetStreamBlobs {
    /// Connects, and makes the stream if it isn't there. [`ErrorKind::Invalid`]: a server that holds
    /// it doesn't sync each message, or isn't among those that are monitored; or the stream keeps
    /// more, or less, than the last message of each subject.
    pub fn connect(options: &JetStreamOptions) -> Result<JetStreamBlobs> {
        let blocking = Blocking::new("foretell-nats");
        let wanted = options.clone();
        let (context, stream, largest) = blocking.call(async move { open(&wanted).await })?;
        Ok(JetStreamBlobs {
            name: options.stream.clone(),
            server: Server { context, stream },
            largest,
            timeout: options.timeout,
            blocking,
        })
    }

    fn publish(&self, name: &str, content: Vec<u8>, is_new: bool) -> Result<bool> {
        let (subject, content) = (self.subject(name)?, Bytes::from(content));
        let what = format!("write {}", self.describe(name));
        self.persist(what, move |server| {
            server.publish(subject.clone(), content.clone(), is_new)
        })
    }

    /// The last message of a subject, as the leader of the stream has it.
    fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let subject = self.subject(name)?;
        let what = format!("read {}", self.describe(name));
        self.persist(what, move |server| server.get(subject.clone()))
    }

    /// Does what fails again for some time: while a leader is elected there is none.
    fn persist<T: Send + 'static, W>(
        &self,
        what: String,
        work: impl Fn(Server) -> W + Send + Sync + 'static,
    ) -> Result<T>
    where
        W: Future<Output = Result<T, async_nats::Error>> + Send,
    {
        let (server, time) = (self.server.clone(), self.timeout);
        self.blocking.call(async move {
            let until = Instant::now() + time;
            loop {
                let done = tokio::time::timeout(time, work(server.clone())).await;
                match done.unwrap_or_else(|_| Err("there is no answer".into())) {
                    Ok(done) => return Ok(done),
                    Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
                    Err(error) => return Err(failed(what, error)),
                }
            }
        })
    }

    fn subject(&self, name: &str) -> Result<String> {
        let mut subject = self.name.clone();
        for part in name.split('/') {
            if part.is_empty() {
                let message = format!("{name:?} names no blob: CONTAINER/BLOB is expected");
                return Err(Error::invalid(message));
            }
            subject.push('.');
            subject.extend(percent_encoding::utf8_percent_encode(part, RESERVED));
        }
        Ok(subject)
    }

    /// The name that a subject is of.
    fn name_of(&self, subject: &str) -> Option<String> {
        let subject = subject.strip_prefix(&self.name)?.strip_prefix('.')?;
        let parts = subject.split('.').map(|part| {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8();
            decoded.ok().map(std::borrow::Cow::into_owned)
        });
        Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
    }
}

/// What a token of a subject can't have, or means something in one.
const RESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_');

async fn open(options: &JetStreamOptions) -> Result<(Context, Stream, usize)> {
    let name = &options.stream;
    if name.is_empty()
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    {
        let message = format!("{name:?} can't be the name of a stream: letters, digits, - and _");
        return Err(Error::invalid(message));
    }
    let servers = options.servers.join(", ");
    let client = async_nats::connect(&options.servers).await;
    let client = client.map_err(|error| failed(format_args!("connect to {servers}"), error))?;
    let info = client.server_info();
    let mut context = jetstream::new(client);
    context.set_timeout(options.timeout);
    let config = stream::Config {
        name: name.clone(),
        subjects: vec![format!("{name}.>")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        num_replicas: options.replicas,
        allow_direct: false,
        ..stream::Config::default()
    };
    let made = context.get_or_create_stream(config).await;
    let stream = made.map_err(|error| failed(format_args!("make the stream {name}"), error))?;
    check_stream(&stream.cached_info().config)?;
    check_syncs(options, &info.server_name, stream.cached_info()).await?;
    Ok((
        context,
        stream,
        info.max_payload.saturating_sub(HEADER_BYTES),
    ))
}

/// Whether a stream keeps the last message of each subject, and nothing but purging removes it.
fn check_stream(config: &stream::Config) -> Result<()> {
    let unlimited = |limit: i64| limit <= 0;
    let keeps = config.max_messages_per_subject == 1
        && config.retention == stream::RetentionPolicy::Limits
        && config.storage == stream::StorageType::File
        && config.discard == DiscardPolicy::New
        && unlimited(config.max_messages)
        && unlimited(config.max_bytes)
        && config.max_age.is_zero()
        && unlimited(config.max_message_size.into())
        && config.mirror.is_none()
        && config.persist_mode != Some(PersistenceMode::Async)
        && !config.discard_new_per_subject
        && !config.deny_purge
        && !config.no_ack
        && !config.sealed
        && !config.allow_direct;
    if keeps {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the stream {} can't hold blobs: it must keep one message of each subject, in files, synced, without limits, refuse what is too much, acknowledge, let itself be purged, and have no direct access",
        config.name
    )))
}

/// Whether all servers that hold the stream sync each message. One that doesn't answer is passed over
/// if it doesn't keep up with the stream's leader either, as when it is down.
async fn check_syncs(
    options: &JetStreamOptions,
    connected: &str,
    stream: &stream::Info,
) -> Result<()> {
    let (mut synced, mut unreachable) = (Vec::new(), Vec::new());
    for monitor in &options.monitors {
        match check_sync(monitor, options.timeout).await {
            Ok(name) => synced.push(name),
            Err(error) if error.kind() == ErrorKind::Io => unreachable.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let mut holders = vec![(connected, true)];
    if let Some(cluster) = &stream.cluster {
        let replicas = cluster.replicas.iter();
        holders = replicas.map(|peer| (&*peer.name, peer.current)).collect();
        holders.extend(cluster.leader.as_deref().map(|leader| (leader, true)));
    }
    holders.retain(|(name, _)| !synced.iter().any(|synced| synced == name));
    let is_up = holders.iter().find(|(_, is_current)| *is_current);
    let too_many = holders.get(unreachable.len());
    if let Some((name, _)) = is_up.or(too_many) {
        let (stream, reasons) = (&options.stream, unreachable.join("; "));
        return Err(Error::invalid(format!(
            "the server {name} holds the stream {stream}, and none of the monitors is its: nobody knows whether it syncs what it acknowledges {reasons}"
        )));
    }
    Ok(())
}

/// The name of a server that syncs each message before it acknowledges it.
async fn check_sync(monitor: &str, time: Duration) -> Result<String> {
    // The client of HTTP wants one, whether or not anything is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}/varz", monitor.trim_end_matches('/'));
    let at = |error: &dyn fmt::Display| failed(format_args!("ask {url}"), error);
    let client = reqwest::Client::builder().timeout(time).build();
    let client = client.map_err(|error| at(&error))?;
    let answer = client.get(&url).send().await.map_err(|error| at(&error))?;
    let answer = answer.bytes().await.map_err(|error| at(&error))?;
    let told: serde_json::Value = serde_json::from_slice(&answer).map_err(|error| at(&error))?;
    if told["jetstream"]["config"]["sync_always"] != true {
        return Err(Error::invalid(format!(
            "the NATS server at {monitor} acknowledges what it hasn't synced: it needs `sync_interval: always` below `jetstream` in its configuration (NATS 2.10 and newer)"
        )));
    }
    let name = told["server_name"].as_str();
    Ok(name.unwrap_or_default().to_owned())
}

impl Blobs for JetStreamBlobs {
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        self.publish(name, content, false).map(drop)
    }

    fn put_new(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        self.publish(name, content, true)
    }

    fn largest(&self) -> usize {
        self.largest
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>> {
        Ok(self.get(name)?.map(|content| {
            let rest = content.get(offset as usize..).unwrap_or(&[]);
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        }))
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.get(name)?.map(|content| content.len() as u64))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let below = format!("{}.>", self.subject(folder)?);
        let what = format!("list {folder} in {}", self.name);
        let found = self.persist(what, move |server| server.list(below.clone()))?;
        let named = found.into_iter().map(|(subject, bytes)| {
            let name = self.name_of(&subject);
            let name = name.ok_or_else(|| failed("read the name of a blob", subject))?;
            Ok((name, bytes))
        });
        let mut named = named.collect::<Result<Vec<_>>>()?;
        named.sort_unstable();
        Ok(named)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let subject = self.subject(name)?;
        let what = format!("remove {}", self.describe(name));
        self.persist(what, move |server| server.remove(subject.clone()))
    }

    fn describe(&self, name: &str) -> String {
        format!("blob {name} in the stream {}", self.name)
    }
}

/// The stream, asked once.
#[derive(Clone)]
struct Server {
    context: Context,
    stream: Stream,
}

impl Server {
    async fn publish(
        self,
        subject: String,
        content: Bytes,
        is_new: bool,
    ) -> Result<bool, async_nats::Error> {
        let mut message = PublishMessage::build().payload(content);
        if is_new {
            message = message.expected_last_subject_sequence(NO_MESSAGES_BEHIND);
        }
        let published = self.context.send_publish(subject, message).await?.await;
        match published {
            Ok(_) => Ok(true),
            Err(error) if is_new && error.kind() == PublishErrorKind::WrongLastSequence => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn get(self, subject: String) -> Result<Option<Bytes>, async_nats::Error> {
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(self, subject: String) -> Result<(), async_nats::Error> {
        self.stream.purge().filter(subject).await?;
        Ok(())
    }

    /// Subjects and lengths of what the stream holds below. Which there are, the leader of the stream
    /// tells; the lengths come from a consumer, which may lie with another server, and be behind.
    async fn list(self, below: String) -> Result<Vec<(String, u64)>, async_nats::Error> {
        let stream = &self.stream;
        loop {
            let subjects = stream.info_with_subjects(&below).await?;
            let subjects: HashMap<String, usize> = subjects.try_collect().await?;
            if subjects.is_empty() {
                return Ok(Vec::new());
            }
            let config = pull::Config {
                deliver_policy: DeliverPolicy::LastPerSubject,
                filter_subject: below.clone(),
                headers_only: true,
                ack_policy: AckPolicy::None,
                ..pull::Config::default()
            };
            let consumer = stream.create_consumer(config).await?;
            let found = fetch(&consumer, subjects.len()).await;
            // One that stays expires by itself.
            let _ = stream.delete_consumer(&consumer.cached_info().name).await;
            let found = found?;
            let is_there = |(subject, _): &(String, u64)| subjects.contains_key(subject);
            if found.len() == subjects.len() && found.iter().all(is_there) {
                return Ok(found);
            }
            // It is behind, or what is there has changed.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn fetch(
    consumer: &Consumer<pull::Config>,
    expected: usize,
) -> Result<Vec<(String, u64)>, async_nats::Error> {
    let mut found = Vec::with_capacity(expected);
    while found.len() < expected {
        let before = found.len();
        let wanted = FETCH.min(expected - before);
        let mut messages = consumer.fetch().max_messages(wanted).messages().await?;
        while let Some(message) = messages.next().await {
            let message = message?;
            let headers = message.headers.as_ref();
            let bytes = headers.and_then(|headers| headers.get("Nats-Msg-Size"));
            let bytes = bytes
                .ok_or("a message without its size")?
                .as_str()
                .parse()?;
            found.push((message.subject.to_string(), bytes));
        }
        if found.len() == before {
            break;
        }
    }
    Ok(found)
}
