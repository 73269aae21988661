//! PostgreSQL: a table of events. An append is one INSERT of a prepared statement; that its
//! revision is free is checked by the key (stream, revision).

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;

use async_trait::async_trait;
use futures::TryStreamExt;
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{NoTls, Statement};

use super::peer::{Client, Kind, Peer, filled, filling, find_program};
use crate::Result;
use crate::log::engine::Condition;
use crate::log::event::{self, Event};
use crate::log::lane::Streams;
use crate::process::{self, Process};
use crate::results::Goal::RatioAtLeast;

pub const NAME: &str = "postgresql";
pub const KIND: Kind = Kind {
    name: NAME,
    append_goal: Some(RatioAtLeast(2.0)),
    read_goal: Some(RatioAtLeast(2.0)),
    program: || find_program("postgres", &debian(), "apt-get install postgresql"),
    start: |program| Box::pin(start(program)),
};

/// Durable as it is by default, and with the memory and the room for its journal that a server of
/// events would be given: no checkpoint falls into a measure.
const SETTINGS: [&str; 12] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "wal_level=minimal",
    "max_wal_senders=0",
    "wal_buffers=64MB",
    "max_wal_size=16GB",
    "checkpoint_timeout=1h",
    "shared_buffers=2GB",
    "max_connections=100",
    "jit=off",
    "unix_socket_directories=",
];

const TABLE: &str = "
CREATE TABLE events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text COLLATE \"C\" NOT NULL,
    revision bigint NOT NULL,
    type text NOT NULL,
    data bytea NOT NULL,
    UNIQUE (stream, revision)
)";
const INSERT: &str =
    "INSERT INTO events (stream, revision, type, data) VALUES ($1, $2, $3, $4) RETURNING position";
const COPY_IN: &str = "COPY events (stream, revision, type, data) FROM STDIN BINARY";
const COPY_OUT: &str = "
COPY (SELECT position, stream, revision, type, data FROM events ORDER BY position)
TO STDOUT BINARY";

struct Postgres {
    process: Process,
    url: String,
}

/// Where Debian puts the programs of a server, which are not on the path; the newest first.
fn debian() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let mut folders: Vec<PathBuf> = versions
        .map(|versions| versions.flatten().map(|it| it.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    folders
}

async fn start(program: PathBuf) -> Result<Box<dyn Peer>> {
    let folder = process::folder()?;
    let user = user()?;
    if let Some((user, group)) = user {
        chown(folder.path(), Some(user), Some(group))?;
    }
    let data = folder.path().join("data");
    let output = command(&program.with_file_name("initdb"), &data, user)
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .output()?;
    if !output.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let address = process::free_address()?;
    let mut serve = command(&program, &data, user);
    serve.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    for setting in SETTINGS {
        serve.args(["-c", setting]);
    }
    // A fast shutdown, which does not wait for clients.
    let mut process = Process::start(&mut serve, folder, "-INT")?;
    let url = format!("postgresql://postgres@{address}/postgres");
    process
        .wait_until(async || Ok(client(&url).await?.batch_execute(TABLE).await?))
        .await?;
    Ok(Box::new(Postgres { process, url }))
}

/// It refuses to run as root: then it runs as the user that its package has made.
fn user() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Ok(Some(ids.ok_or("there is no user postgres to run it as")?))
}

fn command(program: &Path, data: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.arg("-D").arg(data).current_dir("/");
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

async fn client(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

#[async_trait]
impl Peer for Postgres {
    fn id(&self) -> u32 {
        self.process.id()
    }

    async fn fill(&mut self, streams: u32, rounds: u32) -> Result<Streams> {
        let client = client(&self.url).await?;
        let types = [Type::TEXT, Type::INT8, Type::TEXT, Type::BYTEA];
        let sink = client.copy_in(COPY_IN).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for event in filling(streams, rounds) {
            let revision = (event.number / u64::from(streams)) as i64;
            writer
                .as_mut()
                .write(&[&event.subject()?, &revision, &event::TYPE, &event.rest()])
                .await?;
        }
        writer.finish().await?;
        // What would happen in its own time: here it must not fall into the measure.
        client.batch_execute("VACUUM ANALYZE events").await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(filled(streams, rounds))
    }

    async fn connect(&self) -> Result<Box<dyn Client>> {
        let client = client(&self.url).await?;
        let insert = client.prepare(INSERT).await?;
        Ok(Box::new(Writer { client, insert }))
    }

    async fn read_all(&self) -> Result<u64> {
        let client = client(&self.url).await?;
        let types = [Type::INT8, Type::TEXT, Type::INT8, Type::TEXT, Type::BYTEA];
        let rows = client.copy_out(COPY_OUT).await?;
        let mut rows = pin!(BinaryCopyOutStream::new(rows, &types));
        let mut events = 0;
        while let Some(row) = rows.try_next().await? {
            let (position, revision) = (row.try_get::<i64>(0)?, row.try_get::<i64>(2)?);
            let (stream, event_type) = (row.try_get::<&str>(1)?, row.try_get::<&str>(3)?);
            let data = row.try_get::<&[u8]>(4)?;
            std::hint::black_box((position, stream, revision, event_type, data));
            events += 1;
        }
        Ok(events)
    }
}

struct Writer {
    client: tokio_postgres::Client,
    insert: Statement,
}

#[async_trait]
impl Client for Writer {
    async fn append(&mut self, event: Event, condition: Condition) -> Result<Option<u64>> {
        let (subject, data) = (event.subject()?, event.rest());
        let revision = i64::try_from(condition.events)?;
        let inserted = self
            .client
            .query_one(&self.insert, &[&subject, &revision, &event::TYPE, &data])
            .await;
        match inserted {
            Ok(row) => Ok(Some(row.try_get::<_, i64>(0)?.try_into()?)),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
