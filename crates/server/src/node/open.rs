use std::path::Path;
use std::sync::Arc;

use foretell_delivery::Subscription;
use foretell_log::{Append, Archive, Blobs, DirectoryLock, Environment, EventLog, LogOptions};
use foretell_storage::{Account, AccountBlobs};
use foretell_types::{ErrorKind, Result};
use parking_lot::{Mutex, RwLock};

use super::datasets::Datasets;
use super::erase::{self, finish_erasures};
use super::packages::Packages;
use super::secrets::Secrets;
use super::stacks;
use super::tokens::Tokens;
use super::{Config, Counters, Node, NodeOptions, Phase, blocking, config, keys};
use crate::telemetry::Telemetry;

impl Node {
    /// Opens a data directory: takes its lock, recovers its log, reads its configuration, applies
    /// the application's `foretell.toml`, starts functions and subscriptions.
    pub async fn open(options: NodeOptions) -> Result<Arc<Node>> {
        let environment = Environment::real();
        let (data, random) = (options.data.clone(), environment.random.clone());
        let (lock, master) = blocking(move || {
            let lock = DirectoryLock::acquire(&data)?;
            Ok((lock, keys::master_key(&data, &*random)?))
        })
        .await?;
        let oidc = options.application.access().oidc.as_ref();
        let tokens = oidc.map(Tokens::new).transpose()?.map(Arc::new);
        let storage = Account::local(&options.application.storage_folder(&options.data))?;
        let blobs: Arc<dyn Blobs> = Arc::new(AccountBlobs::new(&storage)?);
        let log_options = LogOptions {
            archive: Some(Archive {
                blobs: blobs.clone(),
                rule: options.application.archive_rule()?,
            }),
            ..options.application.log_options(&options.data)?
        };
        let log = open_log(&options.data, &environment, log_options).await?;
        make_system_topics(&log, &environment).await?;
        let reading = log.clone();
        let config = blocking(move || {
            finish_erasures(&reading)?;
            Config::load(&reading)
        })
        .await?;
        let projections = foretell_projections::Projections::new(
            options.data.join("derived").join("projections"),
            log.clone(),
            tokio::runtime::Handle::current(),
        );
        let datasets = Datasets::new(&options.data.join("derived"));
        let telemetry = Telemetry::start(options.application.otlp_endpoint())?;
        let keys = options.data.join(keys::FOLDER);
        let node = Node {
            log,
            storage,
            blobs,
            counters: Counters::default(),
            projections,
            datasets,
            environment,
            admin: master.admin_key(0),
            secrets: Secrets::new(&keys, master.clone()),
            packages: Packages::new(&options.data),
            master,
            tokens,
            config: Arc::new(RwLock::new(config)),
            topics: RwLock::default(),
            changes: tokio::sync::Mutex::new(Phase::Opening),
            erasures: tokio::sync::Mutex::default(),
            backing_up: parking_lot::Mutex::default(),
            stack_changes: tokio::sync::Mutex::default(),
            deletions: tokio::sync::watch::Sender::new(0),
            telemetry,
            quotas: super::quota::Quotas::default(),
            apps: Arc::default(),
            running: Mutex::default(),
            lock: Mutex::new(lock),
            url: Mutex::default(),
            stop: tokio::sync::watch::Sender::new(false),
            expiries: Arc::default(),
            options,
        };
        node.refresh_topics();
        if node.options.deliver {
            node.start_apps();
        }
        let node = Arc::new(node);
        if let Err(error) = node.begin().await {
            // Nothing goes on behind a node that could not be opened.
            node.close().await;
            return Err(error);
        }
        if node.options.deliver {
            node.expire_subscriptions();
        }
        Ok(node)
    }

    async fn begin(&self) -> Result<()> {
        // Before anything answers out of what projections keep.
        self.forget_erased().await?;
        if self.options.application.has_file() {
            self.apply_application().await?;
        }
        if self.options.application.has_folder() {
            self.apply_projections().await?;
            self.apply_datasets().await?;
        }
        self.start_projections().await;
        self.drop_unused_columns().await?;
        let mut phase = self.change().await?;
        if self.options.deliver {
            self.start_function_apps().await;
            self.start_subscriptions();
        }
        *phase = Phase::Running;
        Ok(())
    }

    /// Stops subscriptions and functions, finishing what is in flight. A second call finds
    /// nothing to do.
    pub async fn close(&self) {
        self.begin_stop();
        *self.changes.lock().await = Phase::Closed;
        let running: Vec<Subscription> = self
            .running
            .lock()
            .drain()
            .map(|(_, subscription)| subscription)
            .collect();
        futures::future::join_all(running.into_iter().map(Subscription::stop)).await;
        self.projections.stop().await;
        for app in self.apps() {
            if let Some(app) = app.running() {
                app.stop().await;
            }
        }
        self.telemetry.stop().await;
    }
}

async fn open_log(data: &Path, environment: &Environment, options: LogOptions) -> Result<EventLog> {
    let (folder, environment) = (data.join("journal"), environment.clone());
    blocking(move || EventLog::open_folder_with(&folder, &environment, &options)).await
}

/// The product's own topics are there from the first start.
async fn make_system_topics(log: &EventLog, environment: &Environment) -> Result<()> {
    let dead_letters = foretell_delivery::dead_letter::DEAD_LETTERS;
    for name in [
        config::CONFIG,
        dead_letters,
        erase::ERASURES,
        stacks::STACKS,
    ] {
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
