//! The function apps that run, and handlers that outlive their replacement.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use foretell_delivery::{Failure, FailureKind, Handler, Invocation, Outcome};
use foretell_functions::{App, Status};
use parking_lot::RwLock;

use super::Owner;

/// All function apps of a node, by name.
#[derive(Default)]
pub struct Apps {
    known: RwLock<BTreeMap<String, KnownApp>>,
    changes: AtomicU64,
}

/// A function app, whether it runs or not.
#[derive(Clone, Debug)]
pub struct KnownApp {
    pub name: String,
    pub owner: Owner,
    pub place: Place,
    /// Another after each replacement.
    version: u64,
}

#[derive(Clone, Debug)]
pub enum Place {
    Running(App),
    /// Why it doesn't run.
    Idle(String),
}

impl KnownApp {
    pub fn status(&self) -> Status {
        match &self.place {
            Place::Running(app) => app.status(),
            Place::Idle(reason) => Status::Failed {
                reason: reason.clone(),
            },
        }
    }

    pub fn running(&self) -> Option<&App> {
        match &self.place {
            Place::Running(app) => Some(app),
            Place::Idle(_) => None,
        }
    }
}

impl Apps {
    /// An app by its name: the one of just this name, or one that differs in case.
    pub fn get(&self, name: &str) -> Option<KnownApp> {
        let known = self.known.read();
        let other = || {
            known
                .values()
                .find(|app| app.name.eq_ignore_ascii_case(name))
        };
        known.get(name).or_else(other).cloned()
    }

    /// In order of their names.
    pub fn all(&self) -> Vec<KnownApp> {
        self.known.read().values().cloned().collect()
    }

    /// Puts an app into its place; calls that begin now go to it. Gives the one that was there,
    /// for the caller to stop.
    pub fn set(&self, name: &str, owner: Owner, place: Place) -> Option<KnownApp> {
        let app = KnownApp {
            name: name.to_owned(),
            owner,
            place,
            version: self.changes.fetch_add(1, Ordering::Relaxed),
        };
        self.known.write().insert(name.to_owned(), app)
    }

    pub fn remove(&self, name: &str) -> Option<KnownApp> {
        self.known.write().remove(name)
    }

    /// The handler of a function, whoever runs its app when it is called.
    pub fn handler(self: &Arc<Apps>, app: &str, function: &str) -> Arc<dyn Handler> {
        Arc::new(Function {
            apps: self.clone(),
            app: app.to_owned(),
            function: function.to_owned(),
        })
    }
}

struct Function {
    apps: Arc<Apps>,
    app: String,
    function: String,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({}/{})", self.app, self.function)
    }
}

#[async_trait]
impl Handler for Function {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        loop {
            let app = self.apps.get(&self.app).ok_or_else(|| {
                idle(format!(
                    "there is no function app {:?}: put it into functions/{} of the application directory and start the server with that directory, or make it with PUT /functions/{}",
                    self.app, self.app, self.app
                ))
            })?;
            let running = app
                .running()
                .ok_or_else(|| idle(format!("{:?} is not running: {}", app.name, app.status())))?;
            let handler = running.handler(&self.function);
            let result = handler.handle(invocation.clone()).await;
            // What failed on an app that was replaced meanwhile is tried on the new one: the end
            // of the old one may be why.
            let replaced = || {
                let now = self.apps.get(&self.app);
                now.is_none_or(|now| now.version != app.version)
            };
            if result.is_ok() || !replaced() {
                return result;
            }
        }
    }
}

fn idle(message: String) -> Failure {
    Failure::new(FailureKind::InvalidAzureFunctionDestination, message)
}
