//! One data directory at work: its log, storage account, configuration, functions and running
//! subscriptions. HTTP is a thin layer above.

mod admin;
mod app;
mod config;
mod import;
mod keys;
mod publish;
mod state;
mod subscriptions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foretell_delivery::Subscription;
use foretell_functions::App;
use foretell_log::{Append, DirectoryLock, DiskJournal, Environment, EventLog};
use foretell_protocol::{Key, KeySlot, MasterKey};
use foretell_storage::Account;
use foretell_types::{Error, ErrorKind, Instant, Result};
use parking_lot::{Mutex, RwLock};

pub use app::{AccessSettings, Application};
pub use config::{Config, Owner, SubscriptionConfig, TopicConfig};
pub use keys::admin_key;
pub use publish::Conditions;
pub use state::StateAnswer;

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
}

impl Counters {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// A data directory at work.
pub struct Node {
    pub log: EventLog,
    pub storage: Account,
    pub counters: Counters,
    options: NodeOptions,
    environment: Environment,
    master: MasterKey,
    admin: Key,
    config: RwLock<Config>,
    topics: RwLock<HashMap<String, Arc<TopicEntry>>>,
    /// Changes of the configuration go one after the other.
    changes: tokio::sync::Mutex<()>,
    apps: HashMap<String, App>,
    running: Mutex<HashMap<(String, String), Subscription>>,
    lock: Mutex<DirectoryLock>,
    url: Mutex<Option<String>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.options.data.display())
    }
}

/// A topic as publishing needs it.
#[derive(Debug)]
pub struct TopicEntry {
    pub config: TopicConfig,
    pub resource_id: String,
    pub keys: [Key; 2],
}

/// The Azure resource id of a local topic; the source of its Event Grid events.
pub fn resource_id(topic: &str) -> String {
    format!(
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/foretell/providers/Microsoft.EventGrid/topics/{topic}"
    )
}

impl Node {
    /// Opens a data directory: takes its lock, recovers its log, reads its configuration, applies
    /// the application's `foretell.toml`, starts functions and subscriptions.
    pub async fn open(options: NodeOptions) -> Result<Arc<Node>> {
        let environment = Environment::real();
        let lock = DirectoryLock::acquire(&options.data)?;
        let master = keys::master_key(&options.data, &*environment.random)?;
        let log = open_log(&options.data, &environment).await?;
        let storage = Account::local(&options.application.storage_folder(&options.data))?;
        make_system_topics(&log, &environment).await?;
        let reading = log.clone();
        let config = blocking(move || Config::load(&reading)).await?;
        let mut node = Node {
            log,
            storage,
            counters: Counters::default(),
            environment,
            admin: master.admin_key(0),
            master,
            config: RwLock::new(config),
            topics: RwLock::default(),
            changes: tokio::sync::Mutex::default(),
            apps: HashMap::new(),
            running: Mutex::default(),
            lock: Mutex::new(lock),
            url: Mutex::default(),
            stop: tokio::sync::watch::Sender::new(false),
            options,
        };
        node.refresh_topics();
        if node.options.deliver {
            node.start_apps();
        }
        let node = Arc::new(node);
        if node.options.application.has_file() {
            node.apply_application().await?;
        }
        if node.options.deliver {
            node.start_subscriptions();
        }
        Ok(node)
    }

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

    /// Stops subscriptions and functions, finishing what is in flight.
    pub async fn close(&self) {
        let running: Vec<Subscription> = self
            .running
            .lock()
            .drain()
            .map(|(_, subscription)| subscription)
            .collect();
        futures::future::join_all(running.into_iter().map(Subscription::stop)).await;
        for app in self.apps.values() {
            app.stop().await;
        }
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

    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    pub fn app(&self, name: &str) -> Result<&App> {
        self.apps.get(name).ok_or_else(|| {
            let mut names: Vec<&str> = self.apps.keys().map(String::as_str).collect();
            names.sort_unstable();
            Error::not_found(format!(
                "there is no function app {name:?}; there are: {}",
                names.join(", ")
            ))
        })
    }

    pub fn access(&self) -> &AccessSettings {
        self.options.application.access()
    }

    /// A topic by its name, without regard to case.
    pub fn topic(&self, name: &str) -> Result<Arc<TopicEntry>> {
        let topics = self.topics.read();
        topics
            .get(name)
            .or_else(|| topics.get(&name.to_lowercase()))
            .cloned()
            .ok_or_else(|| {
                Error::not_found(format!(
                    "there is no topic {name:?}: make it with `foretell topic create {name}`"
                ))
            })
    }

    /// The name of a topic that can be read: also one of the product's own.
    pub fn readable_topic(&self, name: &str) -> Result<String> {
        match self.topic(name) {
            Ok(entry) => Ok(entry.config.name.clone()),
            Err(error) => self
                .log
                .topic(&name.to_lowercase())
                .map(|topic| topic.name)
                .map_err(|_| error),
        }
    }

    pub fn config(&self) -> Config {
        self.config.read().clone()
    }

    /// Makes the publishing view of the topics from the configuration. Topics of the product's
    /// own can be read, not published to.
    fn refresh_topics(&self) {
        let config = self.config.read();
        let entries = config.topics.iter().filter_map(|(key, topic)| {
            let uuid = self.log.topic(&topic.name).ok()?.uuid;
            let [one, two] = topic.key_generations;
            let keys = [
                self.master.topic_key(uuid, KeySlot::Key1, one),
                self.master.topic_key(uuid, KeySlot::Key2, two),
            ];
            let resource_id = resource_id(&topic.name);
            Some((
                key.clone(),
                Arc::new(TopicEntry {
                    config: topic.clone(),
                    resource_id,
                    keys,
                }),
            ))
        });
        *self.topics.write() = entries.collect();
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

async fn open_log(data: &Path, environment: &Environment) -> Result<EventLog> {
    let (folder, environment) = (data.join("journal"), environment.clone());
    blocking(move || {
        let journal = DiskJournal::open(&folder, &environment)?;
        EventLog::open(Box::new(journal), &environment, &mut |_, _| {})
    })
    .await
}

/// The product's own topics are there from the first start.
async fn make_system_topics(log: &EventLog, environment: &Environment) -> Result<()> {
    for name in [config::CONFIG, foretell_delivery::dead_letter::DEAD_LETTERS] {
        match log.topic(name) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let uuid = environment.random.uuid();
                log.append(Append::new().create_topic(name.parse()?, uuid, false))?
                    .await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
