use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foretell_storage::Account;

use crate::limits::{STOP_GRACE, THREADS};

/// What an app is and how it is run.
#[derive(Clone)]
pub struct AppOptions {
    /// The name that functions are addressed by: `NAME/FUNCTION`.
    pub name: String,
    /// The app's folder, with `function_app.py`. It is only read.
    pub dir: PathBuf,
    /// A folder of our own for this app: logs, and the virtual environment unless it is shared.
    pub work_dir: PathBuf,
    /// Where virtual environments lie, each named by what it was made from, so that apps and data
    /// directories with equal requirements share one. `None`: in `work_dir`.
    pub venv_cache: Option<PathBuf>,
    /// Where blob inputs are read from.
    pub storage: Account,
    /// App settings: the functions' environment variables. They override `Values` of
    /// `local.settings.json`.
    pub settings: BTreeMap<String, String>,
    /// Worker processes.
    pub workers: usize,
    /// Synchronous invocations that one worker runs at a time. The app setting
    /// `PYTHON_THREADPOOL_THREAD_COUNT` overrides it, as on Azure.
    pub threads: usize,
    /// The interpreter to make the virtual environment with. `None`: the first of `python3`,
    /// `python3.13`, … that is recent enough.
    pub python: Option<PathBuf>,
    /// The version of Python that the app asks for, such as `3.11`. Where it isn't installed
    /// another is taken, which the log says.
    pub python_version: Option<String>,
    /// Whether there is a storage account of this name beside the default one.
    pub is_account: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Time that invocations in flight have when the app is stopped.
    pub stop_grace: Duration,
    /// The resource id of a topic, which becomes the source of Event Grid events that functions
    /// return. By default `/topics/NAME`.
    pub topic_id: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

impl AppOptions {
    /// The defaults: one worker, no settings.
    pub fn new(
        name: impl Into<String>,
        dir: impl Into<PathBuf>,
        work_dir: impl Into<PathBuf>,
        storage: Account,
    ) -> AppOptions {
        AppOptions {
            name: name.into(),
            dir: dir.into(),
            work_dir: work_dir.into(),
            venv_cache: None,
            storage,
            settings: BTreeMap::new(),
            workers: 1,
            threads: THREADS,
            python: None,
            python_version: None,
            is_account: Arc::new(|_| false),
            stop_grace: STOP_GRACE,
            topic_id: Arc::new(|name| format!("/topics/{name}")),
        }
    }
}

impl fmt::Debug for AppOptions {
    /// Settings are left out: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppOptions")
            .field("name", &self.name)
            .field("dir", &self.dir)
            .field("work_dir", &self.work_dir)
            .field("workers", &self.workers)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
