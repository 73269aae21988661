use std::sync::Arc;

use foretell_types::{ErrorKind, Result};
use tokio::sync::Mutex;

use super::{StackEvent, StackName, StackState, StackStore};

/// The one writer of a stack's events while a program runs, and the state that they make.
pub struct Journal {
    name: StackName,
    /// None in a preview, which keeps nothing.
    store: Option<Arc<dyn StackStore>>,
    at: Mutex<(u64, StackState)>,
}

impl Journal {
    /// Loads a stack. What is recorded is kept only if this is no `preview`.
    pub async fn open(
        store: &Arc<dyn StackStore>,
        name: &StackName,
        preview: bool,
    ) -> Result<Journal> {
        let history = store.load(name).await?;
        let length = history.events.len() as u64;
        Ok(Journal {
            name: name.clone(),
            store: (!preview).then(|| store.clone()),
            at: Mutex::new((length, StackState::fold(history.events)?)),
        })
    }

    /// Records an event: it is durable, then it shows in the state.
    pub async fn record(&self, event: StackEvent) -> Result<()> {
        let mut at = self.at.lock().await;
        if let Some(store) = &self.store {
            let events = std::slice::from_ref(&event);
            store
                .append(&self.name, at.0, events)
                .await
                .map_err(|error| match error.kind() {
                    ErrorKind::ConditionFailed => {
                        error.context(format!("another run of stack {} is under way", self.name))
                    }
                    _ => {
                        error.context(format!("can't record what happened to stack {}", self.name))
                    }
                })?;
        }
        at.0 += 1;
        at.1.apply(event);
        Ok(())
    }

    /// Looks at the state.
    pub async fn with<T>(&self, look: impl FnOnce(&StackState) -> T) -> T {
        look(&self.at.lock().await.1)
    }
}
