//! One data directory at work: its log, storage account, configuration, functions and running
//! subscriptions. HTTP is a thin layer above.

mod access;
mod app;
mod app_file;
mod apply;
mod apps;
mod config;
mod course;
mod datasets;
mod definitions;
mod erase;
mod expire;
mod explain;
mod forget;
mod function_apps;
mod import;
mod keys;
mod lag;
mod lookup;
mod namespaces;
mod notice;
mod open;
mod packages;
mod projected;
mod projections;
mod publish;
mod quota;
mod secrets;
mod stacks;
mod state;
mod storage_accounts;
mod subscribe;
mod subscriptions;
mod tokens;
mod topics;
mod validate;

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foretell_delivery::{Histogram, Subscription};
use foretell_functions::{App, LogLine, read_logs};
use foretell_log::{Append, Blobs, DirectoryLock, Environment, EventLog, Hash};
use foretell_protocol::{Key, MasterKey, SignedRoot};
use foretell_storage::Account;
use foretell_types::{Error, Instant, NewEvent, Result, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::telemetry::Telemetry;

use apps::Apps;
use packages::Packages;
use secrets::Secrets;

pub use app::Application;
pub use app_file::{AccessSettings, CertificateFiles, TlsSetting};
pub use apps::KnownApp;
pub use config::{Config, Owner, SubscriptionConfig, TopicConfig};
pub use datasets::{BuildRequest, LabelTable, described};
pub use definitions::{NamespaceConfig, StorageAccountConfig};
pub use keys::admin_key;
pub use lag::Lag;
pub use lookup::resource_id;
pub use projected::{Projected, StateQuestion};
pub use publish::Conditions;
pub use state::StateAnswer;
pub use storage_accounts::no_blob;
use tokens::Tokens;

/// What a node is opened with.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The data directory; made if it isn't there.
    pub data: PathBuf,
    /// The application: its functions and its `foretell.toml`.
    pub application: Application,
    /// Runs functions and subscriptions. A command that works on the directory on its own
    /// leaves deliveries to the next server.
    pub deliver: bool,
}

/// Counts of what the node did since it was started.
#[derive(Debug, Default)]
pub struct Counters {
    pub published_events: AtomicU64,
    pub published_bytes: AtomicU64,
    pub publish_requests: AtomicU64,
    pub refused_requests: AtomicU64,
    /// Those of them that were beyond a quota.
    pub over_quota_requests: AtomicU64,
    /// From the request of an append to its being durable.
    pub append: Histogram,
}

impl Counters {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// Where a node is in its life. Subscriptions run only in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Opening,
    Running,
    Closed,
}

/// A data directory at work.
pub struct Node {
    pub log: EventLog,
    pub storage: Account,
    /// The same account, for calls that block.
    pub blobs: Arc<dyn Blobs>,
    pub counters: Counters,
    pub projections: Arc<foretell_projections::Projections>,
    datasets: datasets::Datasets,
    options: NodeOptions,
    environment: Environment,
    master: MasterKey,
    admin: Key,
    /// `None` if bearer tokens are not taken.
    tokens: Option<Arc<Tokens>>,
    config: Arc<RwLock<Config>>,
    topics: RwLock<HashMap<String, Arc<TopicEntry>>>,
    /// Changes of the configuration go one after the other.
    changes: tokio::sync::Mutex<Phase>,
    /// Erasures too.
    erasures: tokio::sync::Mutex<()>,
    /// Held while the log is copied into the storage account.
    pub backing_up: parking_lot::Mutex<()>,
    /// Events of stacks are appended one after the other.
    stack_changes: tokio::sync::Mutex<()>,
    /// Changes whenever a topic was deleted: who follows one looks whether it is still there.
    deletions: tokio::sync::watch::Sender<u64>,
    quotas: quota::Quotas,
    pub(crate) telemetry: Telemetry,
    apps: Arc<Apps>,
    packages: Packages,
    secrets: Secrets,
    running: Mutex<HashMap<(String, String), Subscription>>,
    lock: Mutex<DirectoryLock>,
    url: Mutex<Option<String>>,
    stop: tokio::sync::watch::Sender<bool>,
    /// Told that a subscription may expire at another time.
    expiries: Arc<tokio::sync::Notify>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.options.data.display())
    }
}

impl Node {
    /// Signs a root of the log's hash tree, as of now.
    pub fn sign_root(&self, leaves: u64, root: &Hash) -> SignedRoot {
        let now = Timestamp::from_instant(self.environment.clock.now());
        SignedRoot::sign(&self.master, leaves, root.to_string(), now.to_string())
    }
}

/// A topic as publishing needs it.
#[derive(Debug)]
pub struct TopicEntry {
    pub config: TopicConfig,
    pub resource_id: String,
    pub keys: [Key; 2],
}

impl Node {
    /// Writes into the lock file where this node's server listens.
    pub fn announce(&self, url: &str) -> Result<()> {
        *self.url.lock() = Some(url.to_owned());
        self.lock.lock().announce(url)
    }

    /// Where the node's server listens.
    pub fn url(&self) -> Option<String> {
        self.url.lock().clone()
    }

    /// Tells long answers to end.
    pub fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ready once the node is stopping.
    pub async fn stopping(&self) {
        let _ = self.stop.subscribe().wait_for(|stopping| *stopping).await;
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    pub fn now(&self) -> Instant {
        self.environment.clock.now()
    }

    pub fn new_id(&self) -> uuid::Uuid {
        self.environment.random.uuid()
    }

    pub fn admin_key(&self) -> &Key {
        &self.admin
    }

    /// The function apps, in order of their names.
    pub fn apps(&self) -> Vec<KnownApp> {
        self.apps.all()
    }

    /// A function app, whether it runs or not.
    pub fn known_app(&self, name: &str) -> Result<KnownApp> {
        self.apps.get(name).ok_or_else(|| {
            let names: Vec<String> = self.apps().into_iter().map(|app| app.name).collect();
            let there = match names[..] {
                [] => "none runs here".to_owned(),
                _ => format!("there are: {}", names.join(", ")),
            };
            Error::not_found(format!("there is no function app {name:?}; {there}"))
        })
    }

    /// A function app that runs.
    pub fn app(&self, name: &str) -> Result<App> {
        let known = self.known_app(name)?;
        known.running().cloned().ok_or_else(|| {
            Error::invalid(format!(
                "{:?} is not running: {}",
                known.name,
                known.status()
            ))
        })
    }

    /// The last log lines of a function app: of the running one, or those that an earlier server
    /// left in the data directory.
    pub async fn app_logs(
        &self,
        name: &str,
        function: Option<String>,
        last: usize,
    ) -> Result<Vec<LogLine>> {
        let missing = match self.app(name) {
            Ok(app) => return Ok(app.logs(function.as_deref(), last)),
            Err(error) => error,
        };
        let folders = self.options.data.join("functions");
        let name = name.to_owned();
        blocking(move || {
            let known = std::fs::read_dir(&folders).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() == *name))
            });
            if !known {
                return Err(missing);
            }
            Ok(read_logs(&folders.join(&name), function.as_deref(), last))
        })
        .await
    }

    pub fn access(&self) -> &AccessSettings {
        self.options.application.access()
    }

    /// The certificate that `foretell.toml` names.
    pub fn certificate(&self) -> Option<CertificateFiles> {
        self.options.application.certificate()
    }

    pub fn data(&self) -> &Path {
        &self.options.data
    }

    pub fn config(&self) -> Config {
        self.config.read().clone()
    }

    /// Changes whenever a topic was deleted.
    pub fn deletions(&self) -> tokio::sync::watch::Receiver<u64> {
        self.deletions.subscribe()
    }

    /// Makes durable what became of a definition.
    async fn journal(&self, event: NewEvent) -> Result<()> {
        let append = Append::new().events(config::CONFIG, [event]);
        self.log.append(append)?.await.map(drop)
    }

    /// The right to change the configuration, one at a time. A closed node changes no more.
    async fn change(&self) -> Result<tokio::sync::MutexGuard<'_, Phase>> {
        let phase = self.changes.lock().await;
        if *phase == Phase::Closed {
            return Err(Error::unavailable("the node is closed"));
        }
        Ok(phase)
    }
}

/// Runs code that blocks on files.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::unavailable(format!("the work was cut off: {error}")))?
}

/// Runs work to its end although the one who waits for it goes away: a client that hangs up must
/// not leave a change half made.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work)
        .await
        .map_err(|error| Error::unavailable(format!("the work was cut off: {error}")))?
}
