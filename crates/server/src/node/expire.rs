//! A subscription that has expired delivers nothing more. It stays, with its progress: another
//! expiration lets it go on.

use std::sync::Arc;
use std::time::Duration;

use super::{Node, SubscriptionConfig};

/// The wall clock is asked again at least this often: it may be set, and machines sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Node {
    /// Stops subscriptions when they expire, until the node stops.
    pub(super) fn expire_subscriptions(self: &Arc<Self>) {
        let node = Arc::downgrade(self);
        let (mut stop, expiries) = (self.stop.subscribe(), self.expiries.clone());
        tokio::spawn(async move {
            while let Some(node) = node.upgrade() {
                node.stop_expired().await;
                let wait = node.next_expiry();
                drop(node);
                tokio::select! {
                    _ = stop.wait_for(|stopping| *stopping) => return,
                    () = expiries.notified() => {}
                    () = sleep(wait) => {}
                }
            }
        });
    }

    /// The wait until the next running subscription expires; `None` if none will.
    fn next_expiry(&self) -> Option<Duration> {
        let now = self.now().as_millis();
        let config = self.config.read();
        let ends = config.subscriptions.values();
        let ends = ends.filter_map(|found| found.definition.expires_ms);
        let next = ends.filter(|end| *end > now).min()?;
        Some(Duration::from_millis((next - now) as u64).min(LOOK_AGAIN))
    }

    async fn stop_expired(&self) {
        let Ok(_one_at_a_time) = self.change().await else {
            return;
        };
        let now = self.now();
        let config = self.config();
        let expired = |found: &&SubscriptionConfig| found.definition.is_expired(now);
        for found in config.subscriptions.values().filter(expired) {
            if self.subscription_stats(&found.topic, &found.name).is_some() {
                tracing::warn!(
                    topic = found.topic,
                    subscription = found.name,
                    "the subscription has expired: it delivers nothing more"
                );
                self.stop_subscription(&found.topic, &found.name).await;
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
