//! UmaDB's engine with the writer thread of its server, which commits whatever waits as a group.
//! A stream is a tag.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{
    DcbAppendCondition, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem, DcbResult,
};

use super::engine::{Condition, Engine, Kind, Pending};
use super::event::{self, Event};
use crate::Result;

/// As its server has them.
const REQUESTS: usize = 1_024;
const GROUP_EVENTS: usize = 2_048;
/// Off unless asked for; with it reads are faster.
const PAGE_CACHE_MB: usize = 1_000;

pub const NAME: &str = "umadb-core 0.7";
pub const KIND: Kind = Kind {
    name: NAME,
    open: |folder| Ok(Box::new(Uma::open(folder)?)),
};

pub struct Uma {
    db: UmaDb,
    requests: Option<mpsc::Sender<WriterThreadRequest>>,
    writer: Option<JoinHandle<()>>,
}

impl Uma {
    pub fn open(folder: &Path) -> Result<Uma> {
        let options = StorageOptions::default()
            .db_path(folder)
            .page_cache_max_mb(PAGE_CACHE_MB);
        let mvcc = Arc::new(quietly(|| Mvcc::new(false, options))??);
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let (head, _) = watch::channel(None);
        let of_writer = mvcc.clone();
        let writer = std::thread::spawn(move || {
            writer_thread_blocking(of_writer, receiver, head, GROUP_EVENTS);
        });
        Ok(Uma {
            db: UmaDb::from_arc(mvcc),
            requests: Some(requests),
            writer: Some(writer),
        })
    }

    fn request(
        events: &[Event],
        condition: Condition,
    ) -> Result<(WriterThreadRequest, oneshot::Receiver<DcbResult<u64>>)> {
        let mut made = Vec::with_capacity(events.len());
        for event in events {
            let made_one = DcbEvent::new()
                .event_type(event::TYPE)
                .tags([event.subject()?])
                .data(event.rest());
            made.push(made_one);
        }
        let after = (condition.after > 0).then_some(condition.after);
        let condition = DcbAppendCondition::new(query(condition.stream)?).after(after);
        let (response_tx, answer) = oneshot::channel();
        let request = WriterThreadRequest::Append {
            events: made,
            condition: Some(condition),
            tracking_info: None,
            response_tx,
            cancel: None,
        };
        Ok((request, answer))
    }

    fn requests(&self) -> Result<&mpsc::Sender<WriterThreadRequest>> {
        Ok(self.requests.as_ref().ok_or("the writer has stopped")?)
    }

    fn count(&self, query: Option<DcbQuery>) -> Result<u64> {
        let (mut events, mut bytes) = (0, 0);
        for read in self.db.read(query, None, false, None)? {
            let read = read?;
            events += 1;
            bytes += read.event.data.len() + read.event.event_type.len();
        }
        std::hint::black_box(bytes);
        Ok(events)
    }
}

/// It prints its settings to the standard output, where the results go.
fn quietly<T>(open: impl FnOnce() -> T) -> Result<T> {
    let kept = rustix::io::dup(rustix::stdio::stdout())?;
    let nowhere = std::fs::File::create("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    let opened = open();
    rustix::stdio::dup2_stdout(&kept)?;
    Ok(opened)
}

fn query(stream: u32) -> Result<DcbQuery> {
    let item = DcbQueryItem::new().tags([event::subject(stream)?]);
    Ok(DcbQuery::new().item(item))
}

impl Engine for Uma {
    fn append(&self, events: &[Event], condition: Condition) -> Result<u64> {
        let (request, answer) = Uma::request(events, condition)?;
        let sent = self.requests()?.blocking_send(request);
        sent.map_err(|_| "the writer has stopped")?;
        Ok(answer.blocking_recv()??)
    }

    fn begin(&self, events: &[Event], condition: Condition) -> Result<Pending> {
        let (request, answer) = Uma::request(events, condition)?;
        let sent = self.requests()?.try_send(request);
        sent.map_err(|error| error.to_string())?;
        Ok(Box::pin(async move { Ok(answer.await??) }))
    }

    fn scan(&self) -> Result<u64> {
        self.count(None)
    }

    fn read_stream(&self, stream: u32) -> Result<u64> {
        self.count(Some(query(stream)?))
    }
}

impl Drop for Uma {
    fn drop(&mut self) {
        // The writer ends when nobody can ask it any more. A request to shut down is lost if it
        // comes within a group.
        self.requests.take();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
