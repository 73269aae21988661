//! UmaDB's server over gRPC. A stream is a tag.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem,
};

use super::peer::{Client, FILL_BATCH, Kind, Peer, filled, filling, find_program};
use crate::Result;
use crate::log::engine::Condition;
use crate::log::event::{self, Event};
use crate::log::lane::Streams;
use crate::process::{self, Process};
use crate::results::Goal::RatioAtLeast;

pub const NAME: &str = "umadb";
pub const KIND: Kind = Kind {
    name: NAME,
    append_goal: Some(RatioAtLeast(3.0)),
    read_goal: Some(RatioAtLeast(2.0)),
    program: || find_program(NAME, &[], "pip install umadb==0.7.8"),
    start: |program| Box::pin(start(program)),
};

/// Connections that the writers share: they cost less processor time than one for each.
const CONNECTIONS: usize = 8;
/// Off unless asked for; with it reads are faster.
const PAGE_CACHE_MB: &str = "1000";
/// Most events that the server sends at once.
const READ_BATCH: u32 = 4_096;

struct Uma {
    process: Process,
    url: String,
    clients: Vec<Arc<AsyncUmaDbClient>>,
    /// Writers that have connected.
    writers: AtomicUsize,
}

async fn start(program: PathBuf) -> Result<Box<dyn Peer>> {
    let folder = process::folder()?;
    let address = process::free_address()?;
    let mut command = Command::new(program);
    command
        .args(["--listen", &address.to_string()])
        .args(["--page-cache-max-mb", PAGE_CACHE_MB])
        .args(["--pipelined-writer", "true"])
        .arg("--db-path")
        .arg(folder.path().join("uma.db"));
    let mut process = Process::start(&mut command, folder, "-TERM")?;
    let url = format!("http://{address}");
    process
        .wait_until(async || Ok(client(&url).await?.head().await?))
        .await?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Arc::new(client(&url).await?));
    }
    Ok(Box::new(Uma {
        process,
        url,
        clients,
        writers: AtomicUsize::new(0),
    }))
}

async fn client(url: &str) -> Result<AsyncUmaDbClient> {
    let client = UmaDbClient::new(url.to_owned()).batch_size(READ_BATCH);
    Ok(client.connect_async().await?)
}

#[async_trait]
impl Peer for Uma {
    fn id(&self) -> u32 {
        self.process.id()
    }

    async fn fill(&mut self, streams: u32, rounds: u32) -> Result<Streams> {
        let client = client(&self.url).await?;
        let events: Vec<Event> = filling(streams, rounds).collect();
        for batch in events.chunks(FILL_BATCH) {
            let batch: Result<Vec<DcbEvent>> = batch.iter().map(|event| made(*event)).collect();
            client.append(batch?, None, None).await?;
        }
        Ok(filled(streams, rounds))
    }

    async fn connect(&self) -> Result<Box<dyn Client>> {
        let writer = self.writers.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Writer(self.clients[writer % CONNECTIONS].clone())))
    }

    async fn read_all(&self) -> Result<u64> {
        let client = client(&self.url).await?;
        let mut reader = client.read(None, None, false, None).await?;
        let mut events = 0;
        loop {
            let batch = reader.next_batch().await?;
            if batch.is_empty() {
                return Ok(events);
            }
            events += batch.len() as u64;
            std::hint::black_box(batch);
        }
    }
}

struct Writer(Arc<AsyncUmaDbClient>);

#[async_trait]
impl Client for Writer {
    async fn append(&mut self, event: Event, condition: Condition) -> Result<Option<u64>> {
        let stream = DcbQueryItem::new().tags([event::subject(condition.stream)?]);
        let condition = DcbAppendCondition::new(DcbQuery::new().item(stream))
            .after((condition.after > 0).then_some(condition.after));
        match self
            .0
            .append(vec![made(event)?], Some(condition), None)
            .await
        {
            Ok(position) => Ok(Some(position)),
            Err(DcbError::IntegrityError(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn made(event: Event) -> Result<DcbEvent> {
    Ok(DcbEvent::new()
        .event_type(event::TYPE)
        .tags([event.subject()?])
        .data(event.rest()))
}
